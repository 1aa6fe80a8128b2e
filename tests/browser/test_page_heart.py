"""The heart page: ping, pong, and an end of trying."""

import re

from playwright.async_api import Page, expect

from tests.browser.stage import Stage
from tests.browser.visit import Panel, Visit, pass_time, shoot

BEAT, ANSWER, RETRY, ATTEMPTS = 10, 10, 5, 12
STABLE = 31  # seconds after which a link that is lost is no failed attempt itself


async def join(page: Page, user: str, task: str) -> None:
    """Connect as somebody on a task."""
    await page.get_by_label("Task").fill(task)
    await page.get_by_label("User").fill(user)
    await page.get_by_role("button", name="Connect").click()
    await expect(page.locator("#state")).to_have_text(re.compile("^Connected"))


async def test_it_beats_every_ten_seconds_and_is_answered(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/heart/", clock=True)
        panel = Panel(page)
        await join(page, "ann", "beats")
        await expect(panel.number("beats")).to_have_text("0 / 0")
        for n in range(1, 4):
            await pass_time(page, BEAT + 1, 2)
            await expect(panel.number("beats")).to_have_text(f"{n} / {n}")
        await expect(panel.number("attempts")).to_have_text("1")


async def test_two_on_a_task_talk_over_a_cut(stage: Stage) -> None:
    async with Visit(stage) as one, Visit(stage) as other:
        ann, bob = await one.open("/heart/", clock=True), await other.open("/heart/")
        await join(ann, "ann", "talk")
        await join(bob, "bob", "talk")
        await Panel(ann).press("cut")
        await expect(ann.locator("#state")).to_have_text(re.compile("^No connection; attempt 1"))
        await ann.get_by_label("Your message").fill("said while it was cut")
        await ann.keyboard.press("Enter")
        await pass_time(ann, RETRY, RETRY)
        await expect(ann.locator("#state")).to_have_text(re.compile("^Connected"))
        await shoot(ann, "talk")
        await expect(bob.locator("[data-kit=log] li")).to_have_text(["ann: said while it was cut"])


async def test_a_frozen_link_is_found_within_twenty_seconds(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/heart/", clock=True)
        panel = Panel(page)
        await join(page, "ann", "frozen")
        await panel.press("freeze")
        await pass_time(page, BEAT + ANSWER, 5)
        await expect(page.locator("#state")).to_have_text(re.compile("^No connection"))
        await panel.press("normal")
        await pass_time(page, RETRY, RETRY)
        await expect(page.locator("#state")).to_have_text(re.compile("^Connected"))
        await expect(panel.number("attempts")).to_have_text("2")
        await expect(panel.number("openLinks")).to_have_text("1")


async def test_it_gives_up_says_so_and_begins_anew(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/heart/", clock=True)
        panel = Panel(page)
        await page.get_by_label("Retry after half a second").check()
        await join(page, "ann", "gives-up")
        gave_up = page.get_by_role("alert").filter(has_text="Gave up after 12 attempts")
        for _ in range(2):  # the counter begins anew as well
            await pass_time(page, STABLE, 5)
            before = int(await panel.number("attempts").inner_text())
            await panel.press("refuse")
            await panel.press("cut")
            while not await gave_up.is_visible():
                await pass_time(page, 1)
            await expect(gave_up).to_be_visible()
            await shoot(page, "gave-up")
            await expect(panel.number("attempts")).to_have_text(str(before + ATTEMPTS))
            await pass_time(page, 20, 5)
            await expect(panel.number("attempts")).to_have_text(str(before + ATTEMPTS))
            await panel.press("normal")
            again = page.get_by_role("button", name="Try again")
            await again.click()
            await expect(page.locator("#state")).to_have_text(re.compile("^Connected"))
            await expect(gave_up).to_be_hidden()


async def test_leaving_stops_everything(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/heart/", clock=True)
        panel = Panel(page)
        await join(page, "ann", "leaves")
        await panel.press("refuse")
        await panel.press("cut")
        await expect(page.locator("#state")).to_have_text(re.compile("^No connection"))
        await page.get_by_role("button", name="Leave").click()
        await panel.press("normal")
        attempts = await panel.number("attempts").inner_text()
        await pass_time(page, 30, 5)
        await expect(panel.number("attempts")).to_have_text(attempts)
        await expect(panel.number("openLinks")).to_have_text("0")
        await join(page, "ann", "leaves")
        await expect(panel.number("openLinks")).to_have_text("1")
