"""What the gallery's pages do while their network is broken, as somebody sees it who breaks it with the panel.

Long waits are not waited for: the page's clock is moved on. The network is real, and so is the server's time.
"""

import re

from playwright.async_api import expect

from tests.browser.stage import Stage
from tests.browser.visit import Panel, Visit

OPEN, WAITING = "Open", "Waiting"


async def test_native_counts_each_number_once_over_cuts_and_freezes(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/native/", clock=True)
        panel = Panel(page)
        await panel.is_in(OPEN)
        await page.get_by_role("button", name="Count", exact=True).click()
        await page.clock.run_for(3000)
        await panel.press("cut")
        await page.clock.run_for(500)
        await panel.is_in(OPEN)
        await page.clock.run_for(2000)
        await panel.press("freeze")
        await page.clock.run_for(5500)  # a beat every 3 s, an answer within 2 s: the link is found dead
        await expect(panel.number("openLinks")).not_to_have_text("0")
        await panel.press("normal")
        await page.clock.run_for(1000)
        await expect(page.locator("#verdict")).to_have_text("Each number once, in order.")
        assert await page.locator("#counted").inner_text() == "1000"
        assert await page.locator("#wrong").inner_text() == "0"
        await expect(panel.number("handled")).to_have_text("1000")
        await expect(panel.number("outbox")).to_have_text("0")


async def test_the_panel_does_what_its_buttons_say(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/native/", clock=True)
        panel = Panel(page)
        await panel.is_in(OPEN)
        await expect(panel.number("attempts")).to_have_text("1")
        await expect(panel.number("openLinks")).to_have_text("1")

        await panel.press("cut")
        await page.clock.run_for(1000)
        await expect(panel.number("attempts")).to_have_text("2")
        await panel.is_in(OPEN)

        await panel.press("freeze")
        await page.get_by_label("Your line").fill("written on a frozen link")
        await page.keyboard.press("Enter")
        await expect(panel.number("outbox")).to_have_text("1")
        await expect(panel.number("stuck")).not_to_have_text("0 bytes")
        await panel.press("freeze")
        await expect(panel.number("outbox")).to_have_text("0")
        await expect(panel.number("stuck")).to_have_text("0 bytes")
        await expect(page.locator("#board li", has_text="written on a frozen link")).to_have_count(1)

        await panel.press("refuse")
        await panel.press("cut")
        await panel.is_in(WAITING)
        await page.clock.run_for(10_000)
        await panel.is_in(WAITING)
        await panel.press("normal")
        await page.clock.run_for(30_000)
        await panel.is_in(OPEN)


async def test_a_slow_network_is_seen_and_kills_nothing(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/native/")
        panel = Panel(page)
        await panel.is_in(OPEN)
        await page.get_by_label("Delay, each way").select_option("0.2")
        await expect(panel.number("roundTrip")).to_have_text(re.compile(r"^([4-9]\d\d|\d{4,}) ms$"))
        await page.get_by_label("Your line").fill("written slowly")
        await page.keyboard.press("Enter")
        await expect(page.locator("#board li").last).to_have_text(re.compile("written slowly"))
        await expect(panel.number("attempts")).to_have_text("1")


async def test_what_one_page_breaks_no_other_feels(stage: Stage) -> None:
    async with Visit(stage) as one, Visit(stage) as other:
        broken, sound = await one.open("/native/"), await other.open("/native/")
        await Panel(broken).is_in(OPEN)
        await Panel(sound).is_in(OPEN)
        await Panel(broken).press("freeze")
        await sound.get_by_label("Your line").fill("from the sound page")
        await sound.get_by_role("button", name="Write").click()
        await expect(sound.locator("#board li").last).to_have_text(re.compile("from the sound page"))
        assert await broken.locator("#board li", has_text="from the sound page").count() == 0
        await Panel(broken).press("normal")
        await expect(broken.locator("#board li").last).to_have_text(re.compile("from the sound page"))
        assert await broken.locator("#board li", has_text="from the sound page").count() == 1


async def test_the_proof_runs_and_everybody_sees_it(stage: Stage) -> None:
    async with Visit(stage) as one, Visit(stage) as other:
        page, beside = await one.open("/"), await other.open("/")
        await page.get_by_role("button", name="Start").click()
        for each in (page, beside):
            await expect(each.locator("#verdict")).to_have_text("Running")
            await expect(each.locator("#fact-received")).not_to_have_text("0")
            await expect(each.get_by_role("button", name="Start")).to_be_disabled()
        await beside.get_by_role("button", name="Stop").click()
        for each in (page, beside):
            await expect(each.locator("#verdict")).to_have_text("Stopped")
            await expect(each.get_by_role("button", name="Start")).to_be_enabled()
