"""All systems on one port, behind the fault proxy.

Invariants, tests in ``tests/demo/test_gallery.py``:
- every system's page, its files and its WebSocket are there (test_everything_is_served);
- links without a page's id pass clean, whatever pages do (test_links_without_a_page_pass_clean);
- afterwards there is no port, no process and no file of it (test_closing_leaves_nothing).
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from heartline.faults import FaultProxy, ProxyEvent
from heartline.server import Server

from .control import make_control
from .files import redirect, serve_file, serve_folder
from .network import Network, page_of
from .places import CLIENT, SYSTEMS, DemoError, Places, find_places
from .prover import Prover

NEWS_EVERY = 0.2  # seconds


class Gallery:
    """Serve while the block runs. `url` is where a browser goes.

    `data`: a folder for the systems' files, made where it is missing; without one a temporary folder that is deleted at
    the end. `prove`: further options of `heartline prove`. Raises DemoError and, on entering, OSError when the port
    cannot be had.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8002,
        *,
        data: Path | None = None,
        prove: Iterable[str] = (),
        places: Places | None = None,
    ) -> None:
        self._listen = (host, port)
        self._data = data
        self._places = places or find_places()
        self._prove = tuple(prove)
        self._stack = AsyncExitStack()
        self._network: Network
        self._prover: Prover
        self._proxy: FaultProxy
        self._changed = asyncio.Event()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self._proxy.address

    @property
    def url(self) -> str:
        """The gallery's page."""
        host, port = self.address
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    @property
    def proxy(self) -> FaultProxy:
        """The port itself."""
        return self._proxy

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = self._data or Path(stack.enter_context(TemporaryDirectory(prefix="heartline-demo-")))
            app = self._application(folder)
            behind = await stack.enter_async_context(app.serving())
            self._proxy = FaultProxy(
                (behind.host, behind.port), listen=self._listen, name_of=page_of, on_event=self._note
            )
            self._network = Network(self._proxy)
            self._prover = Prover(lambda what, data: app.publish("prove", what, data), self._prove)
            await stack.enter_async_context(self._proxy)
            stack.callback(self._network.close)
            stack.push_async_callback(self._prover.close)
            telling = asyncio.create_task(self._tell_news(), name="heartline-demo-news")
            stack.push_async_callback(_ended, telling)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def _application(self, folder: Path) -> Server:
        places, names = self._places, {self._listen[0].lower(), socket.gethostname().lower()}
        app = make_control(frozenset(names), lambda: self._network, lambda: self._prover)
        serve_folder(app, "/", places.examples / "gallery")
        for file in CLIENT:
            serve_file(app, f"/heartline/{file}", places.client / file)
        redirect(app, "/favicon.ico", "/icon.svg")  # what browsers ask for by themselves
        for name in SYSTEMS:
            app.mount(places.system(name)(_made(folder / name)))
            serve_folder(app, f"/{name}/", places.examples / name / "page")
            redirect(app, f"/{name}", f"/{name}/")
        return app

    def _note(self, event: ProxyEvent) -> None:
        if event.name is not None:
            self._changed.set()

    async def _tell_news(self) -> None:
        """At once when a link changes, a few times a second at most; bytes that are stuck are news as well."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 5 * NEWS_EVERY)
            self._changed.clear()
            self._network.news()
            await asyncio.sleep(NEWS_EVERY)


def _made(folder: Path) -> Path:
    """A folder to write in. Raises DemoError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"{folder} cannot be made: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise DemoError(f"{folder} cannot be written to")
    return folder


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
