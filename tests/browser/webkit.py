"""A WebKit (WebKitGTK's MiniBrowser) on a screen that nobody sees, driven over WebDriver, which is HTTP and JSON."""

import asyncio
import http.client
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.browser.programs import program
from tests.browser.tab import PATIENCE, unwrapped, wrapped
from tests.cli.processes import free_port


class Driver:
    """Commands to the browser's driver. Blocking."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._session = ""

    def begin(self, capabilities: dict[str, Any]) -> None:
        """Start the browser, as soon as the driver listens."""
        end = time.monotonic() + PATIENCE
        begun = None
        while begun is None:
            try:
                begun = self.command("POST", "/session", capabilities={"alwaysMatch": capabilities})
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        self._session = f"/session/{begun['sessionId']}"

    def post(self, what: str, **words: Any) -> Any:
        """Have something done in the session."""
        return self.command("POST", f"{self._session}/{what}", **words)

    def get(self, what: str) -> Any:
        """Ask the session for something."""
        return self.command("GET", f"{self._session}/{what}")

    def delete(self, what: str = "") -> Any:
        """End something of the session, or the session itself."""
        return self.command("DELETE", f"{self._session}/{what}".rstrip("/"))

    def command(self, method: str, path: str, **words: Any) -> Any:
        """One command; its value. Raises RuntimeError with the driver's words."""
        link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=3 * PATIENCE)
        try:
            body = json.dumps(words) if method == "POST" else None
            link.request(method, path, body, {"Content-Type": "application/json"})
            answer = link.getresponse()
            value = json.loads(answer.read())["value"]
        finally:
            link.close()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {value['error']}: {value['message']}")
        return value


class WebKitTab:
    """One tab. WebDriver has one that is current: commands of several tabs take turns."""

    def __init__(self, driver: Driver, turn: asyncio.Lock, handle: str) -> None:
        self._driver = driver
        self._turn = turn
        self._handle = handle

    async def goto(self, url: str) -> None:
        await self._do("url", url=url)

    async def reload(self) -> None:
        await self._do("refresh")

    async def run(self, body: str, **values: Any) -> Any:
        script = f"const done = arguments[arguments.length - 1]; {wrapped(body, values)}.then(done)"
        return unwrapped(await self._do("execute/async", script=script, args=[]))

    async def close(self) -> None:
        async with self._turn:
            await asyncio.to_thread(self._driver.post, "window", handle=self._handle)
            await asyncio.to_thread(self._driver.delete, "window")

    async def _do(self, what: str, **words: Any) -> Any:
        async with self._turn:
            await asyncio.to_thread(self._driver.post, "window", handle=self._handle)
            return await asyncio.to_thread(self._driver.post, what, **words)


class WebKit:
    """The browser."""

    name = "webkit"

    def __init__(self, driver: Driver, things: ExitStack) -> None:
        self._driver = driver
        self._things = things
        self._turn = asyncio.Lock()

    @classmethod
    async def start(cls) -> "WebKit":
        return await asyncio.to_thread(cls._start)

    @classmethod
    def _start(cls) -> "WebKit":
        with ExitStack() as things:
            display = things.enter_context(_screen())
            driver = things.enter_context(_driver(display))
            browser = {"binary": str(program("minibrowser")), "args": ["--automation"]}
            milliseconds = {"script": round(2000 * PATIENCE), "pageLoad": round(1000 * PATIENCE)}
            driver.begin({"webkitgtk:browserOptions": browser, "timeouts": milliseconds})
            things.callback(driver.delete)
            return cls(driver, things.pop_all())

    async def tab(self, url: str) -> WebKitTab:
        async with self._turn:
            handles = await asyncio.to_thread(self._driver.get, "window/handles")
            await asyncio.to_thread(self._driver.post, "window", handle=handles[0])
            made = await asyncio.to_thread(self._driver.post, "window/new", type="tab")
        tab = WebKitTab(self._driver, self._turn, made["handle"])
        await tab.goto(url)
        return tab

    async def stop(self) -> None:
        await asyncio.to_thread(self._things.close)


@contextmanager
def _screen() -> Iterator[str]:
    """An X server that shows nobody anything; its display."""
    command = [str(program("xvfb")), "-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            yield f":{server.stdout.readline().strip()}"
        finally:
            server.terminate()


@contextmanager
def _driver(display: str) -> Iterator[Driver]:
    """The driver's process."""
    port = free_port()
    environment = {**os.environ, "DISPLAY": display, "GDK_BACKEND": "x11"}
    with subprocess.Popen(
        [str(program("webkit")), "--host=127.0.0.1", f"--port={port}"], env=environment, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield Driver(port)
        finally:
            process.terminate()
