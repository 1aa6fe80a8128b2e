"""The card page: an identity and a binding, said on every link, stored once."""

import re
import uuid

from playwright.async_api import Page, expect

from tests.browser.stage import Stage
from tests.browser.visit import Panel, Visit, pass_time, shoot

SILENT = 60  # seconds of the page in which a dead link must be found, though nothing answers a beat
RETRY = 5


def card_id() -> str:
    """One that nobody has bound."""
    return f"c-{uuid.uuid4().hex[:8]}"


async def enter(page: Page, member: str = "m-1") -> None:
    await page.get_by_label("Member").select_option(member)
    await page.get_by_role("button", name="Open the page").click()


async def bind(page: Page, card: str) -> None:
    await page.get_by_label("Card number").fill(card)
    await page.get_by_label("Shop").fill("Tea")
    await page.get_by_label("Phone").fill("13800001234")
    await page.get_by_role("button", name="Bind", exact=True).click()
    await expect(page.locator(f"[data-card={card}]")).to_be_visible()


async def said(page: Page, card: str) -> int:
    """How often the server was told of the binding."""
    return int(await page.locator(f"[data-card={card}] [data-said]").get_attribute("data-said") or 0)


async def test_a_binding_is_said_on_every_link_and_stored_once(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page, card = await visit.open("/card/", clock=True), card_id()
        panel = Panel(page)
        await enter(page)
        await bind(page, card)
        assert await said(page, card) == 1
        for times in (2, 3):
            await panel.press("cut")
            await panel.is_in("Waiting")
            await pass_time(page, RETRY, RETRY)
            await expect(page.locator(f"[data-card={card}] [data-said='{times}']")).to_be_visible()
        await page.get_by_role("button", name="Bind it again").click()
        await expect(page.locator(f"[data-card={card}] [data-said='4']")).to_be_visible()
        assert await page.locator(f"[data-card={card}]").count() == 1
        await expect(panel.number("openLinks")).to_have_text("1")
        await shoot(page, "bound")


async def test_a_dead_link_is_found_though_nothing_answers_beats(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page, card = await visit.open("/card/", clock=True), card_id()
        panel = Panel(page)
        await enter(page)
        await bind(page, card)
        await panel.press("freeze")
        for _ in range(SILENT // 2):
            await pass_time(page, 2, 2)
            if await panel.number("attempts").inner_text() != "1" or (await panel.state.inner_text()).startswith(
                "Wait"
            ):
                break
        else:
            raise AssertionError(f"a frozen link is not found in {SILENT} s")
        await panel.press("normal")
        await pass_time(page, RETRY, RETRY)
        await panel.is_in("Open")
        await expect(page.locator(f"[data-card={card}] [data-said='1']")).to_be_hidden()
        assert await page.locator(f"[data-card={card}]").count() == 1
        await expect(panel.number("openLinks")).to_have_text("1")


async def test_a_refused_identity_is_told_and_not_tried_again(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/card/", clock=True)
        await enter(page, "m-refused")
        modal = page.get_by_role("dialog")
        await expect(modal).to_be_visible()
        await shoot(page, "refused")
        await pass_time(page, 30, 5)
        await expect(Panel(page).number("attempts")).to_have_text("1")
        await page.keyboard.press("Enter")
        await expect(modal).to_be_hidden()
        await expect(page.get_by_role("button", name="Open the page")).to_be_visible()


async def test_leaving_closes_and_stops_the_beat(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/card/", clock=True)
        panel = Panel(page)
        await enter(page)
        await panel.is_in("Open")
        await page.get_by_role("button", name="Leave the page").click()
        await expect(panel.number("openLinks")).to_have_text("0")
        beats = await panel.number("beats").inner_text()
        await pass_time(page, 30, 5)
        await expect(panel.number("beats")).to_have_text(beats)
        await expect(panel.number("attempts")).to_have_text("1")
        await enter(page)
        await expect(panel.number("openLinks")).to_have_text("1")
        await pass_time(page, 21, 3)
        now = await panel.number("beats").inner_text()
        assert int(re.findall(r"\d+", now)[0]) - int(re.findall(r"\d+", beats)[0]) in (2, 3)  # one beat loop
