"""The echo page: three buttons that are never wrong."""

import re

from playwright.async_api import Locator, Page, expect

from tests.browser.stage import Stage
from tests.browser.visit import Panel, Visit, pass_time, shoot

BOUND = 6  # seconds: a beat after 4, its answer within 2
RETRY = 3


class Echo:
    """The page's parts."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = Panel(page)
        self.state = page.locator("#state")
        self.lines = page.locator("[data-kit=log] li")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def can(self, *names: str) -> None:
        """Exactly these buttons can be pressed."""
        for name in ("Connect", "Send", "Close"):
            expecting = expect(self.button(name))
            await (expecting.to_be_enabled() if name in names else expecting.to_be_disabled())

    async def connect(self) -> None:
        await self.button("Connect").click()
        await expect(self.state).to_have_text("Open")

    async def say(self, text: str) -> None:
        await self.page.get_by_label("Message", exact=True).fill(text)
        await self.button("Send").click()


async def test_exactly_the_buttons_that_make_sense_work(stage: Stage) -> None:
    async with Visit(stage) as visit:
        echo = Echo(await visit.open("/echo/", clock=True))
        await expect(echo.state).to_have_text("Closed")
        await echo.can("Connect")
        await echo.connect()
        await echo.can("Send", "Close")
        await echo.say("hello")
        await expect(echo.lines).to_have_text(["hello", "hello"])
        await echo.button("Close").click()
        await expect(echo.state).to_have_text("Closed")
        await echo.can("Connect")


async def test_the_three_buttons_work_by_keyboard(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/echo/")
        echo = Echo(page)
        await echo.button("Connect").focus()
        await page.keyboard.press("Enter")
        await expect(echo.state).to_have_text("Open")
        await page.keyboard.type("by keyboard")  # the focus has gone to the message
        await page.keyboard.press("Enter")
        await expect(echo.lines).to_have_text(["by keyboard", "by keyboard"])
        await echo.button("Close").focus()
        await page.keyboard.press("Space")
        await expect(echo.state).to_have_text("Closed")
        await expect(echo.button("Connect")).to_be_focused()


async def test_close_never_reconnects(stage: Stage) -> None:
    async with Visit(stage) as visit:
        echo = Echo(await visit.open("/echo/", clock=True))
        await echo.connect()
        await echo.panel.press("freeze")
        await echo.button("Close").click()  # the browser needs up to a minute for such a link
        await expect(echo.state).to_have_text("Closed")
        await echo.can("Connect")
        await pass_time(echo.page, 20, 5)
        await echo.panel.press("normal")
        await expect(echo.panel.number("openLinks")).to_have_text("0")
        await pass_time(echo.page, 20, 5)
        await expect(echo.state).to_have_text("Closed")
        await expect(echo.panel.number("attempts")).to_have_text("1")


async def test_a_frozen_link_is_found_and_replaced_and_nothing_comes_twice(stage: Stage) -> None:
    async with Visit(stage) as visit:
        echo = Echo(await visit.open("/echo/", clock=True))
        await echo.connect()
        await echo.panel.press("freeze")
        await echo.say("into the ice")
        await pass_time(echo.page, BOUND, 2)
        await expect(echo.state).to_have_text(re.compile("^Lost"))
        await echo.can("Connect", "Close")
        await shoot(echo.page, "lost")
        await echo.panel.press("normal")
        await pass_time(echo.page, RETRY, RETRY)
        await expect(echo.state).to_have_text("Open")
        await expect(echo.panel.number("attempts")).to_have_text("2")
        await expect(echo.panel.number("openLinks")).to_have_text("1")
        await shoot(echo.page, "unknown")
        unknown = re.compile("^Nobody knows whether it arrived: into the ice")
        await expect(echo.lines).to_have_text(["into the ice", unknown])
        await echo.say("after it")
        await expect(echo.lines).to_have_text(["into the ice", unknown, "after it", "after it"])


async def test_connect_while_it_waits_connects_at_once_and_once(stage: Stage) -> None:
    async with Visit(stage) as visit:
        echo = Echo(await visit.open("/echo/", clock=True))
        await echo.connect()
        await echo.panel.press("refuse")
        await echo.panel.press("cut")
        await expect(echo.state).to_have_text(re.compile("^Lost"))
        await echo.panel.press("normal")
        await echo.connect()
        await pass_time(echo.page, 10, 2)
        await expect(echo.panel.number("attempts")).to_have_text("2")
        await echo.can("Send", "Close")


async def test_a_live_link_is_kept_as_long_as_it_answers(stage: Stage) -> None:
    async with Visit(stage) as visit:
        echo = Echo(await visit.open("/echo/", clock=True))
        await echo.connect()
        await pass_time(echo.page, 40)
        await expect(echo.state).to_have_text("Open")
        await expect(echo.panel.number("attempts")).to_have_text("1")
        sent, answered = (await echo.panel.number("beats").inner_text()).split(" / ")
        assert int(sent) - int(answered) in (0, 1)  # one may be under way
        assert int(sent) >= 9
