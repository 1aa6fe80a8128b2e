"""A Firefox, driven over WebDriver BiDi."""

from pathlib import Path
from typing import Any

from tests.browser.process import Process, empty_folder
from tests.browser.programs import program
from tests.browser.tab import unwrapped, wrapped
from tests.browser.wire import Wire, announced

PREFERENCES = {  # nothing of its own on the network, no questions, no waiting
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.region.network.url": "",
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.disable_beforeunload": True,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.http.speculative-parallel-limit": 0,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
}


class FirefoxTab:
    """One tab."""

    def __init__(self, wire: Wire, context: str) -> None:
        self._wire = wire
        self._context = context

    async def goto(self, url: str) -> None:
        await self._wire.command("browsingContext.navigate", {"context": self._context, "url": url, "wait": "complete"})

    async def reload(self) -> None:
        await self._wire.command("browsingContext.reload", {"context": self._context, "wait": "complete"})

    async def run(self, body: str, **values: Any) -> Any:
        said = await self._wire.command(
            "script.evaluate",
            {"expression": wrapped(body, values), "target": {"context": self._context}, "awaitPromise": True},
        )
        if said["type"] != "success":
            raise SyntaxError(f"{said['exceptionDetails']} in {body}")
        return unwrapped(said["result"]["value"])

    async def close(self) -> None:
        await self._wire.command("browsingContext.close", {"context": self._context})


class Firefox:
    """The browser."""

    name = "firefox"

    def __init__(self, process: Process, wire: Wire) -> None:
        self._process = process
        self._wire = wire

    @classmethod
    async def start(cls) -> "Firefox":
        folder = empty_folder()
        _write_preferences(folder)
        process = await Process.start(
            folder,
            str(program("firefox")),
            *("--headless", "--no-remote", "--remote-debugging-port=0", "--profile", str(folder), "about:blank"),
        )
        wire = await Wire.to(f"{await announced(process.inner)}/session")
        process.ignore_the_rest()
        await wire.command("session.new", {"capabilities": {}})
        return cls(process, wire)

    async def tab(self, url: str) -> FirefoxTab:
        made = await self._wire.command("browsingContext.create", {"type": "tab"})
        tab = FirefoxTab(self._wire, made["context"])
        await tab.goto(url)
        return tab

    async def stop(self) -> None:
        await self._wire.close()
        await self._process.stop()


def _write_preferences(folder: Path) -> None:
    spelt = {True: "true", False: "false"}
    lines = [
        f'user_pref("{name}", {spelt.get(value) if isinstance(value, bool) else repr(value)});\n'.replace("'", '"')
        for name, value in PREFERENCES.items()
    ]
    (folder / "user.js").write_text("".join(lines))
