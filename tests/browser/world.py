"""A server, a bad network before it, and the page's word for both."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import heartline
from heartline.faults import FaultProxy
from tests.browser.shop import make
from tests.browser.tab import PATIENCE

BOUND = 0.6
"""Seconds in which a dead link is found: interval and time-out of the page's heartbeat."""


@dataclass
class World:
    """What a test works with. `url` leads through the proxy."""

    app: heartline.Server
    proxy: FaultProxy
    noted: list[object]
    name: str
    """For stores and channels: nobody else has it."""

    @property
    def url(self) -> str:
        return self.proxy.url("ws")

    async def write(self, *numbers: int) -> None:
        """Publish in the channel of this test."""
        for number in numbers:
            await self.app.publish(self.channel, "n", number)

    @property
    def channel(self) -> str:
        return f"log/{self.name}"


@asynccontextmanager
async def world(origin: str) -> AsyncIterator[World]:
    """Serve the shop, behind a proxy, to pages of `origin`."""
    app, noted = make("memory://", origin)
    async with app.serving() as address, FaultProxy((address.host, address.port)) as proxy:
        yield World(app, proxy, noted, uuid.uuid4().hex[:8])


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until something is so: for things that announce themselves to nobody."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise TimeoutError(f"it did not come about: {what}") from None


class Watch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began
