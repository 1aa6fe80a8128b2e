"""A person's visit to the gallery: pages in a Chromium that is driven as a person drives it, by roles and names.

- whatever a page writes to the console as an error, or throws, fails the visit; a socket that failed does not
  (test_the_page_is_sound);
- nothing but the gallery itself is asked for anything (test_the_page_is_sound).
"""

import re
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, WebSocket, expect

from heartline.demo import Gallery
from heartline.faults import Group
from tests.browser.stage import Stage
from tests.browser.tab import PATIENCE

SHOTS = Path(__file__).parent / "shots"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}
expect.set_options(timeout=1000 * PATIENCE)
_SOCKETS = re.compile(r"WebSocket connection to .* failed")


class Wire:
    """What passed on one WebSocket of a page."""

    def __init__(self, socket: WebSocket) -> None:
        self.url = socket.url
        self.up: list[str | bytes] = []
        self.down: list[str | bytes] = []
        self.over = False
        socket.on("framesent", self._sent)
        socket.on("framereceived", self._received)
        socket.on("close", self._ended)

    def _sent(self, payload: str | bytes) -> None:
        self.up.append(payload)

    def _ended(self, _: WebSocket) -> None:
        self.over = True

    def _received(self, payload: str | bytes) -> None:
        self.down.append(payload)


class Visit:
    """One person with one browser profile. Options are those of Playwright's `new_context`."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        self._stage = stage
        self._options = {"viewport": DESKTOP, "locale": "en-GB", **options}
        self._context: BrowserContext
        self._gallery: Gallery
        self.problems: list[str] = []
        self._wires: list[Wire] = []
        self.home = ""

    async def __aenter__(self) -> Self:
        browser = await self._stage.chromium()
        self._gallery = await self._stage.gallery()
        self.home = self._gallery.url
        self._context = await browser.new_context(**self._options)
        self._context.set_default_timeout(1000 * PATIENCE)
        self._context.on("console", self._said)
        self._context.on("weberror", lambda error: self.problems.append(str(error.error)))
        self._context.on("request", lambda request: self._asked(request.url))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self._context.close()
        if kind is None:
            assert self.problems == []

    async def open(self, path: str, *, clock: bool = False, script: str = "") -> Page:
        """A page of the gallery, ready. `clock`: its time can be moved on. `script` runs in it before its own."""
        page = await self._context.new_page()
        if script:
            await page.add_init_script(script)
        page.on("websocket", lambda socket: self._wires.append(Wire(socket)))
        if clock:
            await page.clock.install()
        await page.goto(self.home + path.lstrip("/"))
        await page.locator("[data-do=language]").wait_for()
        return page

    def wires(self, path: str) -> list[Wire]:
        """The WebSockets there were to this path, oldest first."""
        return [wire for wire in self._wires if urlsplit(wire.url).path == path]

    def network(self, path: str) -> Group:
        """The network of the page that dials this path, to be broken as its panel does not offer."""
        (page,) = parse_qs(urlsplit(self.wires(path)[-1].url).query)["page"]
        return self._gallery.proxy.group(page)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _SOCKETS.search(message.text):
            self.problems.append(message.text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.home, "data:")):
            self.problems.append(f"asks {url}")


async def shoot(page: Page, what: str) -> None:
    """Take a picture of the whole page as it is."""
    SHOTS.mkdir(exist_ok=True)
    name = urlsplit(page.url).path.strip("/") or "gallery"
    await page.screenshot(path=SHOTS / f"{name}-{what}.png", full_page=True)


async def pass_time(page: Page, seconds: float, step: float = 1) -> None:
    """Move the page's clock on, step by step; what is said in each arrives before the next, if it can arrive."""
    while seconds > 0:
        await page.clock.run_for(round(1000 * min(step, seconds)))
        await page.evaluate("fetch('/health').then((answer) => answer.text())")  # the long way round, as the rest
        seconds -= step


class Panel:
    """The network panel of a page, and what it does to it."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.element = page.locator("aside.network")
        self.state = self.element.locator("summary .tag").first

    async def press(self, what: str) -> None:
        """A button: cut, refuse, freeze, freezeUp, shaky, normal. The proxy has done it when this returns."""
        await self.element.locator(f"button[data-do={what}]").click()
        await self._page.evaluate("fetch('/health').then((answer) => answer.text())")

    def number(self, name: str) -> Locator:
        """Where a number stands: roundTrip, beats, attempts, outbox, handled, failed, gaps, stuck, openLinks …"""
        return self.element.locator(f"[data-fact={name}]")

    async def is_in(self, *states: str) -> None:
        """Wait for one of these states, by the words that the panel says for them."""
        await expect(self.state).to_have_text(re.compile(f"^({'|'.join(states)})"))
