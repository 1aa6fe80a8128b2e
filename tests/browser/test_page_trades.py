"""The trades page: one tab holds the connection, the other lets it go."""

import json
import re

from playwright.async_api import Page, expect

from tests.browser.stage import Stage
from tests.browser.visit import Panel, Visit, pass_time, shoot
from tests.browser.world import until

RETRY, ATTEMPTS = 5, 5
SILENCE = 40  # seconds: twenty without a push, and twenty after the subscription was said again

REMEMBER = """
    const said = [];
    const remember = ({ url }, what) => {
      if (new URL(url).pathname !== "/trades") return;
      said.push(what);
      sessionStorage.said = JSON.stringify(said);
    };
    const { send, close } = WebSocket.prototype;
    WebSocket.prototype.send = function (text) { remember(this, text); send.call(this, text); };
    WebSocket.prototype.close = function (...why) { remember(this, why[0]); close.apply(this, why); };
"""
"""What is said to sockets, kept where the next page finds it: nobody hears the last words of a page from outside."""


async def live(page: Page) -> None:
    """Wait for rows."""
    await expect(page.locator("#live tbody tr").first.locator("td").nth(6)).to_be_visible()


async def shown(page: Page) -> int:
    """How many pushes the page has shown."""
    return int(re.findall(r"\d+", await page.locator("#pushes").text_content() or "")[0])


async def test_tab_0_holds_the_connection_and_tab_1_lets_it_go(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/trades/", clock=True)
        panel = Panel(page)
        await live(page)
        await page.get_by_role("tab", name="Closed Trades").click()
        await expect(page.locator("#history tbody tr").first).to_be_visible()
        await expect(panel.number("openLinks")).to_have_text("0")
        (wire,) = visit.wires("/trades")
        assert wire.up[-1] == '{"type":"Stop","traderid":10260}'
        await expect(page.get_by_role("status").filter(has_text="Connection closed")).to_be_visible()
        await pass_time(page, 30, 5)
        await expect(panel.number("attempts")).to_have_text("1")
        await page.keyboard.press("ArrowLeft")
        await expect(page.get_by_role("tab", name="Open Trades")).to_be_focused()
        await live(page)
        await expect(panel.number("attempts")).to_have_text("2")
        await page.get_by_label("Keep following on the other tab").check()
        await page.get_by_role("tab", name="Closed Trades").click()
        await expect(panel.number("openLinks")).to_have_text("1")


async def test_after_a_reconnect_pushes_come_once(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/trades/", clock=True)
        panel = Panel(page)
        await live(page)
        await panel.press("cut")
        await panel.is_in("Waiting")
        await pass_time(page, RETRY, RETRY)
        await panel.is_in("Open")
        before, after = visit.wires("/trades")
        seen = len(after.down)
        await until(lambda: len(after.down) > seen + 1, "no pushes")
        await page.get_by_role("tab", name="Closed Trades").click()  # nothing comes any more
        assert await shown(page) == len(before.down) + len(after.down)


async def test_five_tries_each_told_and_then_the_person_decides(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/trades/", clock=True)
        panel = Panel(page)
        await live(page)
        await panel.press("refuse")
        await panel.press("cut")
        await panel.is_in("Waiting")
        toasts = page.locator(".toasts > *")
        told: set[str] = set()
        failed = page.locator("#failed")
        for _ in range(300):
            told |= set(await toasts.all_inner_texts())
            if await failed.is_visible():
                break
            await pass_time(page, 1)
        tries = sorted(text for text in told if text.startswith("Connection failed"))
        assert [re.findall(r"the (\w+) time", text)[0] for text in tries] == ["1st", "2nd", "3rd", "4th", "5th"]
        await shoot(page, "gave-up")
        attempts = await panel.number("attempts").inner_text()
        await pass_time(page, 30, 5)
        await expect(panel.number("attempts")).to_have_text(attempts)
        await panel.press("normal")
        await page.get_by_role("button", name="Retry").click()
        await panel.is_in("Open")
        await expect(failed).to_be_hidden()
        await live(page)


async def test_a_frozen_link_is_found_though_nothing_answers_beats(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/trades/", clock=True)
        panel = Panel(page)
        await live(page)
        await panel.press("freeze")
        await pass_time(page, SILENCE + 1, 5)
        await panel.is_in("Waiting", "Dialling")
        await panel.press("normal")
        await pass_time(page, RETRY, RETRY)
        await panel.is_in("Open")
        pushes = await page.locator("#pushes").inner_text()
        await expect(page.locator("#pushes")).not_to_have_text(pushes)
        await expect(panel.number("openLinks")).to_have_text("1")


async def test_rows_are_filtered_as_the_person_asks(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/trades/")
        await live(page)
        kinds = await page.locator("#live tbody tr td:nth-child(7)").all_inner_texts()
        assert kinds == sorted(kinds, key=lambda kind: kind == "Own"), "followed rows come first"
        signal = page.locator("#signal")
        await expect(signal.locator("option")).not_to_have_count(1)
        chosen = (await signal.locator("option").all_inner_texts())[1]
        await signal.select_option(label=chosen)
        assert set(await page.locator("#live tbody tr td:nth-child(7)").all_inner_texts()) <= {chosen}
        await page.get_by_label("Followed and own apart").check()
        await expect(page.locator("#live caption")).to_have_text(["Followed", "Own"])
        await shoot(page, "split")


async def test_leaving_the_page_says_stop_and_coming_back_begins_anew(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/trades/", script=REMEMBER)
        await live(page)
        await page.get_by_role("link", name="All systems").click()
        await page.locator("#cards").wait_for()
        said = json.loads(await page.evaluate("sessionStorage.said"))
        assert said[-2:] == ['{"type":"Stop","traderid":10260}', 1000]
        await page.go_back()
        await live(page)
        await expect(Panel(page).number("openLinks")).to_have_text("1")
