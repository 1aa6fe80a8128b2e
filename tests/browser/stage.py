"""One event loop for all tests of this room, and what they share: the page's host and the running browsers.

It has a thread of its own and lives as long as the test process, because browsers are slow to start.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from playwright import async_api as playwright

import heartline
from heartline.demo import Gallery
from heartline.transports import Respond
from tests.browser.chromium import FLAGS, Chromium
from tests.browser.firefox import Firefox
from tests.browser.programs import program
from tests.browser.tab import Browser
from tests.browser.webkit import WebKit

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "js" / "dist" / "esm" / "index.js"
PAGE = Path(__file__).parent / "page"
FILES = {
    "/": (PAGE / "index.html", "text/html"),
    "/away": (PAGE / "away.html", "text/html"),
    "/watch.js": (PAGE / "watch.js", "text/javascript"),
    "/page.js": (PAGE / "page.js", "text/javascript"),
    "/worker.js": (PAGE / "worker.js", "text/javascript"),
    "/heartline.js": (BUNDLE, "text/javascript"),
}
BROWSERS: dict[str, type[Chromium] | type[Firefox] | type[WebKit]] = {
    "chromium": Chromium,
    "firefox": Firefox,
    "webkit": WebKit,
}
LONGEST = 60.0  # seconds one test may take

T = TypeVar("T")


class Stage:
    """Where tests run. `origin`: of the test page."""

    def __init__(self) -> None:
        self.origin = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="browser tests")
        self._things = AsyncExitStack()
        self._chromium: playwright.Browser | None = None
        self._gallery: Gallery | None = None
        self._browsers: dict[str, Browser] = {}

    def start(self) -> None:
        """Serve the page."""
        if not BUNDLE.exists():
            raise FileNotFoundError(f"{BUNDLE.relative_to(ROOT)} is not there: build it (make js)")
        self._thread.start()
        self.run(self._serve())

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = LONGEST) -> T:
        """Run a coroutine in the loop to its end."""

        async def bounded() -> T:
            async with asyncio.timeout(timeout):
                return await coroutine

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result()

    async def browser(self, name: str) -> Browser:
        """A browser that runs."""
        if name not in self._browsers:
            self._browsers[name] = browser = await BROWSERS[name].start()
            self._things.push_async_callback(browser.stop)
        return self._browsers[name]

    async def chromium(self) -> playwright.Browser:
        """A Chromium for visits to the gallery."""
        if self._chromium is None:
            driver = await playwright.async_playwright().start()
            self._things.push_async_callback(driver.stop)
            self._chromium = await driver.chromium.launch(executable_path=program("chromium"), args=FLAGS)
            self._things.push_async_callback(self._chromium.close)
        return self._chromium

    async def gallery(self) -> Gallery:
        """What `heartline demo` serves."""
        if self._gallery is None:
            self._gallery = await self._things.enter_async_context(Gallery("127.0.0.1", 0))
        return self._gallery

    @property
    def page(self) -> str:
        """The test page's address."""
        return f"{self.origin}/"

    def stop(self) -> None:
        """End everything."""
        self.run(self._things.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        host = heartline.Server(path="/nowhere")
        for path, (file, kind) in FILES.items():
            host.page(path)(_page(file, kind))
        address = await self._things.enter_async_context(host.serving())
        self.origin = f"http://{address.host}:{address.port}"


def _page(file: Path, kind: str) -> Callable[[object], Respond]:
    return lambda request: Respond(200, file.read_bytes(), f"{kind}; charset=utf-8")
