"""A Chromium as a person runs it: no emulated focus, pages go hidden, are frozen, and come back from its cache.

It is driven over DevTools (CDP), because the usual tools switch just that off. Beside what every `Tab` can:
`front` (the other tabs of its window are hidden), `freeze`, `offline`, `crash`.
"""

import asyncio
from typing import Any

from tests.browser.process import Process, empty_folder
from tests.browser.programs import program
from tests.browser.tab import unwrapped, wrapped
from tests.browser.wire import Wire, announced

FLAGS = [
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--mute-audio",
    "--no-default-browser-check",
    "--window-size=1280,800",
]


class ChromiumTab:
    """One tab."""

    def __init__(self, wire: Wire, target: str, session: str) -> None:
        self._wire = wire
        self._target = target
        self._session = session

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """A DevTools command to this tab."""
        return await self._wire.command(method, params, sessionId=self._session)

    async def goto(self, url: str) -> None:
        loaded = self._loaded()
        said = await self.command("Page.navigate", url=url)
        assert "errorText" not in said, f"{url}: {said['errorText']}"
        await loaded

    async def reload(self) -> None:
        loaded = self._loaded()
        await self.command("Page.reload")
        await loaded

    async def back(self) -> None:
        """As the person's button."""
        shown = asyncio.create_task(self._wire.event("Page.frameNavigated", self._mine))
        history = await self.command("Page.getNavigationHistory")
        entry = history["entries"][history["currentIndex"] - 1]
        await self.command("Page.navigateToHistoryEntry", entryId=entry["id"])
        await shown

    async def run(self, body: str, **values: Any) -> Any:
        said = await self.command(
            "Runtime.evaluate", expression=wrapped(body, values), awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in said:
            raise SyntaxError(f"{said['exceptionDetails']} in {body}")
        return unwrapped(said["result"]["value"])

    async def front(self) -> None:
        """Show this tab, and hide the others."""
        await self._wire.command("Target.activateTarget", {"targetId": self._target})

    async def freeze(self, frozen: bool = True) -> None:
        """Have the browser stop the page's tasks, as it does with tabs in the background; or go on."""
        await self.command("Page.setWebLifecycleState", state="frozen" if frozen else "active")

    async def offline(self, offline: bool = True) -> None:
        """No network for this tab: open sockets stay open and silent."""
        await self.command(
            "Network.emulateNetworkConditions", offline=offline, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )

    async def crash(self) -> None:
        """The page's process dies on the spot; the tab stays and shows nothing until it is closed."""
        crashed = asyncio.create_task(self._wire.event("Inspector.targetCrashed", self._mine))
        asked = asyncio.create_task(self.command("Page.crash"))  # never answered
        await crashed
        asked.cancel()

    async def close(self) -> None:
        gone = asyncio.create_task(
            self._wire.event("Target.targetDestroyed", lambda params: params["targetId"] == self._target)
        )
        await self._wire.command("Target.closeTarget", {"targetId": self._target})
        await gone

    def _loaded(self) -> asyncio.Task[dict[str, Any]]:
        return asyncio.create_task(self._wire.event("Page.loadEventFired", self._mine))

    def _mine(self, params: dict[str, Any]) -> bool:
        return bool(params["@session"] == self._session)


class Chromium:
    """The browser."""

    name = "chromium"

    def __init__(self, process: Process, wire: Wire) -> None:
        self._process = process
        self._wire = wire

    @classmethod
    async def start(cls) -> "Chromium":
        folder = empty_folder()
        process = await Process.start(
            folder, str(program("chromium")), *FLAGS, f"--user-data-dir={folder}", "about:blank"
        )
        wire = await Wire.to(await announced(process.inner))
        process.ignore_the_rest()
        await wire.command("Target.setDiscoverTargets", {"discover": True})
        return cls(process, wire)

    async def tab(self, url: str) -> ChromiumTab:
        target = (await self._wire.command("Target.createTarget", {"url": "about:blank"}))["targetId"]
        attached = await self._wire.command("Target.attachToTarget", {"targetId": target, "flatten": True})
        tab = ChromiumTab(self._wire, target, attached["sessionId"])
        for domain in ("Page", "Runtime", "Network", "Inspector"):
            await tab.command(f"{domain}.enable")
        await tab.goto(url)
        return tab

    async def stop(self) -> None:
        await self._wire.close()
        await self._process.stop()
