"""What one test works with: a server and a network of its own, and tabs that show the test page.

- an error that the test page left anywhere fails the test, also where everything else went well
  (test_an_error_in_the_page_fails_the_test).
"""

import asyncio
from contextlib import AsyncExitStack, suppress

from tests.browser.chromium import ChromiumTab
from tests.browser.stage import Stage
from tests.browser.tab import PATIENCE, PageError, Tab
from tests.browser.world import World, world


class Room:
    """Tests ask for it as `room`; the parameter `browser` says whose tabs it has, Chromium's without."""

    def __init__(self, stage: Stage, browser: str, place: World) -> None:
        self.stage = stage
        self.world = place
        self.browser = browser
        self._things = AsyncExitStack()
        self._tabs: list[Tab] = []

    @classmethod
    async def open(cls, stage: Stage, browser: str) -> "Room":
        """Make one."""
        things = AsyncExitStack()
        room = cls(stage, browser, await things.enter_async_context(world(stage.origin)))
        room._things = things
        return room

    async def tab(self, **options: object) -> Tab:
        """A new tab of this test's browser. With `options` for `connect` it has dialled."""
        browser = await self.stage.browser(self.browser)
        tab = await browser.tab(self.stage.page)
        self._tabs.append(tab)
        await self.ready(tab)
        if options:
            await tab.run("dial(url, options)", url=self.world.url, options=options)
        return tab

    async def chromium(self) -> ChromiumTab:
        """A new tab that can do what only Chromium's can."""
        tab = await self.tab()
        assert isinstance(tab, ChromiumTab)
        return tab

    async def reload(self, tab: Tab) -> None:
        """Load the page again; it is ready."""
        await tab.reload()
        await self.ready(tab)

    async def ready(self, tab: Tab) -> None:
        """Wait until the page is there, has loaded its module and not dialled: also one that reloads itself."""
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(RuntimeError, PageError):  # the page before it goes while it is asked
                    if await tab.run("return globalThis.ready && conn === null"):
                        return
                await asyncio.sleep(0.005)

    async def leave(self, tab: Tab) -> None:
        """Close a tab, whatever state it is in."""
        self._tabs.remove(tab)
        await tab.close()

    async def close(self) -> None:
        """Close everything; fails where a page has left errors."""
        problems = []
        for tab in list(self._tabs):
            problems += await tab.run("return problems")
            await self.leave(tab)
        await self._things.aclose()
        assert problems == []
