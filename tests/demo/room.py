"""What tests of the gallery share: one that runs, pages of it, and their control links. Every wait is bounded."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from http.client import HTTPConnection, HTTPResponse
from typing import Any, Self

import heartline
from heartline.demo import Gallery

PATIENCE = 20.0  # seconds for anything that must come
QUIET = 0.3  # seconds in which something forbidden would have come

Json = dict[str, Any]


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a loop of its own."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 6 * PATIENCE))

    return run


def page_id() -> str:
    return secrets.token_urlsafe(16)


@asynccontextmanager
async def gallery(**options: Any) -> AsyncIterator[Gallery]:
    async with Gallery(port=0, **options) as running:
        yield running


def ws(gallery: Gallery, path: str) -> str:
    host, port = gallery.address
    return f"ws://{host}:{port}{path}"


async def get(gallery: Gallery, path: str, **headers: str) -> tuple[HTTPResponse, bytes]:
    """GET, without following redirections."""

    def ask() -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection(*gallery.address, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


class Page:
    """A page of the gallery as its kit behaves: an id, a control link, and links that say the id."""

    def __init__(self, gallery: Gallery, page: str | None = None) -> None:
        self.id = page or page_id()
        self.seen: list[Json] = []
        self._news = asyncio.Event()
        self.control = heartline.connect(ws(gallery, "/control"), on={"network.seen": self._take})
        self._gallery = gallery

    def url(self, path: str) -> str:
        return ws(self._gallery, f"{path}{'&' if '?' in path else '?'}page={self.id}")

    async def wish(self, **wish: Any) -> Json:
        seen: Json = await self.control.request("network.wish", {"page": self.id, **wish})
        return seen

    async def cut(self, **how: Any) -> int:
        links: int = await self.control.request("network.cut", {"page": self.id, **how})
        return links

    async def until(self, condition: Callable[[Json], bool]) -> Json:
        """The first news that fit."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for seen in self.seen:
                    if condition(seen):
                        return seen
                self._news.clear()
                await self._news.wait()

    def _take(self, seen: Json) -> None:
        self.seen.append(seen)
        self._news.set()

    async def __aenter__(self) -> Self:
        await self.control.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.control.close()
