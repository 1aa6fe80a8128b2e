"""The uni-app project of the trades example, built for H5 by uni-app's own compiler, in Chromium.

What its WeChat build does is tested in js/test/examples/trades.test.ts. Time in the page is Playwright's: it jumps.
"""

import contextlib
import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, WebSocket, expect

import heartline
from examples.trades.server import build
from heartline.faults import FaultProxy
from heartline.transports import Respond
from tests.browser.stage import ROOT, Stage

PROJECT = ROOT / "examples" / "trades" / "uniapp"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".png": "image/png"}
SUBSCRIBE = {"type": "Subscribe", "traderid": 10260}
STOP = {"type": "Stop", "traderid": 10260}
PHONE = {"width": 390, "height": 800}
NOTE_NOTICES = """
globalThis.notices = [];
let last = "";
new MutationObserver(() => {
  const notice = document.querySelector(".notice")?.textContent;
  if (notice && notice !== last) notices.push((last = notice));
}).observe(document, { subtree: true, childList: true, characterData: true });
"""


@pytest.fixture(scope="session")
def h5() -> Path:
    """The folder of the build; the first one on a machine installs the compiler, which takes a minute."""
    subprocess.run(["node", "build.mjs", "h5"], cwd=PROJECT, check=True, timeout=600)
    return PROJECT / "dist" / "build" / "h5"


class Desk:
    """A page that shows positions, its sockets, and the network between it and the server."""

    def __init__(self, page: Page, app: heartline.Server, proxy: FaultProxy) -> None:
        self.page = page
        self.app = app
        self.proxy = proxy
        self.problems: list[str] = []
        self.sockets: list[WebSocket] = []
        self.said: list[Any] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("websocket", self._opened)

    def _opened(self, socket: WebSocket) -> None:
        self.sockets.append(socket)
        socket.on("framesent", lambda data: self.said.append(json.loads(data)))

    @property
    def rows(self) -> Any:
        return self.page.locator(".position")

    async def enter(self) -> None:
        await self.page.get_by_text("Positions 10260").click()
        await expect(self.rows.first).to_be_visible()

    async def pushes(self) -> int:
        text = await self.page.get_by_text(re.compile(r"Pushes: \d+")).inner_text()
        return int(text.split(":")[1])

    async def more_pushes(self) -> None:
        """The screen goes on changing."""
        before = await self.pushes()
        await expect(self.page.get_by_text(f"Pushes: {before}", exact=True)).not_to_be_visible()

    async def notices(self, last: str, within: int = 6) -> list[str]:
        """What was told since this was asked, up to `last`; so many seconds pass in the page at most."""
        told: list[str] = []
        for _ in range(within * 2):
            told = await self.page.evaluate("notices")
            if last in told:
                await self.page.evaluate("notices.length = 0")
                return told
            await self.page.clock.run_for(500)
        raise AssertionError(f"{last!r} was not told, but {told}")


@asynccontextmanager
async def desk(stage: Stage, h5: Path) -> AsyncIterator[Desk]:
    app = build(Path("nowhere"), second=0.1)
    serve(app, "/h5/", h5)
    browser = await stage.chromium()
    async with app.serving() as address, FaultProxy((address.host, address.port)) as proxy:
        context = await browser.new_context(viewport=PHONE, locale="en-US")  # type: ignore[arg-type]
        page = await context.new_page()
        await context.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), away)
        made = Desk(page, app, proxy)
        await page.add_init_script(NOTE_NOTICES)
        await page.clock.install()
        await page.goto(proxy.url("http") + "h5/")
        try:
            yield made
        finally:
            await context.close()
        assert made.problems == []


async def away(route: Route) -> None:
    """uni-app's own page asks hosts of its maker, which nobody here does."""
    await route.abort()


def serve(app: heartline.Server, path: str, folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            name = file.relative_to(folder).as_posix().removesuffix("index.html")
            answer = Respond(200, file.read_bytes(), TYPES[file.suffix])
            app.page(path + name)(lambda _, answer=answer: answer)


async def test_positions_are_shown_and_go_on(stage: Stage, h5: Path) -> None:
    async with desk(stage, h5) as at:
        await at.enter()
        assert at.said[0] == SUBSCRIBE
        await at.more_pushes()
        assert await at.rows.count() > 1
        await at.page.get_by_text("Followed and own apart").click()
        await expect(at.page.locator(".heading")).to_have_text(["Followed", "Own"])
        assert len(at.sockets) == 1


async def test_the_second_tab_releases_the_connection_and_the_first_takes_it_again(stage: Stage, h5: Path) -> None:
    async with desk(stage, h5) as at:
        await at.enter()
        await at.page.get_by_text("Closed Trades").click()
        await at.notices("Connection closed")
        assert at.said[-1] == STOP
        await at.page.clock.run_for(60_000)
        assert len(at.sockets) == 1
        await at.page.get_by_text("Open Trades").click()
        await at.more_pushes()
        assert len(at.sockets) == 2


async def test_closed_trades_are_read(stage: Stage, h5: Path) -> None:
    async with desk(stage, h5) as at:
        await at.enter()
        while True:
            await at.page.get_by_text("Closed Trades").click()
            await at.notices("Connection closed")
            with contextlib.suppress(AssertionError):  # nothing was closed so far
                await expect(at.rows.first).to_be_visible(timeout=500)
                break
            await at.page.get_by_text("Open Trades").click()
            await at.more_pushes()


async def test_what_is_cut_is_dialled_again_and_goes_on(stage: Stage, h5: Path) -> None:
    async with desk(stage, h5) as at:
        await at.enter()
        await at.notices("Connected")
        for n in (2, 3):
            at.proxy.cut_all()
            assert await at.notices("Connected") == ["Connection failed, trying for the 1st time", "Connected"]
            await at.more_pushes()
            assert len(at.sockets) == n
        assert at.said.count(SUBSCRIBE) == 3


async def test_five_tries_with_notices_then_a_button(stage: Stage, h5: Path) -> None:
    async with desk(stage, h5) as at:
        await at.enter()
        await at.notices("Connected")
        at.proxy.refuse()
        at.proxy.cut_all()
        numbers = ("1st", "2nd", "3rd", "4th", "5th")
        tries = [f"Connection failed, trying for the {nth} time" for nth in numbers]
        assert await at.notices("Could not connect", within=100) == [*tries, "Could not connect"]
        assert len(at.sockets) == 6
        await at.page.clock.run_for(120_000)
        assert len(at.sockets) == 6
        at.proxy.refuse(False)
        await at.page.get_by_text("Retry").click()
        await at.more_pushes()
        await expect(at.page.get_by_text("Retry")).not_to_be_visible()


async def test_a_link_that_died_silently_is_found(stage: Stage, h5: Path) -> None:
    async with desk(stage, h5) as at:
        await at.enter()
        await at.notices("Connected")
        at.proxy.freeze()
        await at.page.clock.run_for(25_000)  # nothing came for twenty: the subscription is said again
        assert at.said.count(SUBSCRIBE) == 2
        assert await at.notices("Connection failed, trying for the 1st time", within=30)
        at.proxy.thaw()
        await at.more_pushes()


async def test_leaving_the_page_says_stop_and_nothing_dials(stage: Stage, h5: Path) -> None:
    async with desk(stage, h5) as at:
        await at.enter()
        await at.page.go_back()
        await expect(at.page.get_by_text("Positions 10260")).to_be_visible()
        await at.page.clock.run_for(60_000)
        assert at.said[-1] == STOP
        assert len(at.sockets) == 1
        assert at.sockets[0].is_closed()
        await at.enter()
        await at.more_pushes()
        assert len(at.sockets) == 2
