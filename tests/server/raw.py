"""A client that says exactly what it is told, over a real socket, and servers for tests. Every wait is bounded."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from heartline import Heartbeat, Server, ServerLimits
from heartline.server import Address
from heartline.server.hub import Hub
from heartline.transports import Socket, SocketLimits, dial

PATIENCE = 10.0  # seconds until a wait for something that has to come fails
QUIET = 0.15  # seconds in which something forbidden would have happened

Frame = list[Any]


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 3 * PATIENCE))

    return run


class Ended(AssertionError):
    """Something was to be heard on a link that ended."""


class Raw:
    """One link. `say` frames, `hear` frames; pings are answered unless `pongs` is False."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.kept: list[Frame] = []
        self.pongs = True
        self.socket: Socket | None = None
        self.ended: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    # what the transport tells

    def on_open(self, socket: Socket) -> None:
        self.socket = socket

    def on_message(self, data: bytes) -> None:
        frame = json.loads(data)
        if frame[0] == "ping" and self.pongs:
            self.say("pong", frame[1])
        else:
            self.frames.put_nowait(frame)

    def on_binary(self, data: bytes) -> None:
        raise AssertionError("a heartline server says nothing in binary")

    def on_activity(self) -> None: ...

    def on_close(self, code: int, reason: str) -> None:
        self.ended.set_result((code, reason))

    def on_writable(self) -> None: ...

    # what tests say

    def say(self, *frame: Any) -> None:
        self.text(json.dumps(frame, ensure_ascii=False, separators=(",", ":")))

    def text(self, text: str | bytes) -> None:
        assert self.socket is not None
        self.socket.send(text if isinstance(text, bytes) else text.encode())

    async def hello(self, **body: Any) -> dict[str, Any]:
        """Say hello and return the body of welcome."""
        self.say("hello", {"instance": "i", "floor": 1} | body)
        welcome: dict[str, Any] = (await self.hear("welcome"))[1]
        return welcome

    async def resume(self, welcome: dict[str, Any], **body: Any) -> dict[str, Any]:
        return await self.hello(session=welcome["session"], key=welcome["key"], **body)

    async def call(self, n: int, event: str, data: Any = None) -> Any:
        """Call, and return the reply's data, or the failure's body."""
        self.say("call", n, event, data)
        return (await self.hear("reply", "fail", n=n))[2]

    async def sub(self, r: int, channel: str, *at: Any) -> Frame:
        """Subscribe, and return the answer."""
        self.say("sub", r, channel, *at)
        return await self.hear("ok", "no", n=r)

    # what tests hear

    async def hear(self, *kinds: str, n: Any = None) -> Frame:
        """The next frame, or the next of these kinds (about `n`); what comes before is kept for later."""

        def fits(frame: Frame) -> bool:
            return (not kinds or frame[0] in kinds) and (n is None or frame[1] == n)

        for at, frame in enumerate(self.kept):
            if fits(frame):
                return self.kept.pop(at)
        while True:
            frame = await asyncio.wait_for(self._next(), PATIENCE)
            if fits(frame):
                return frame
            self.kept.append(frame)

    async def _next(self) -> Frame:
        """The next frame from the socket. Fails when there will be none."""
        waiting = asyncio.ensure_future(self.frames.get())
        try:
            await asyncio.wait((waiting, self.ended), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done() or not self.frames.empty():
                return await waiting
        finally:
            waiting.cancel()
        raise Ended(f"the link ended with {self.ended.result()}, unheard: {self.kept}")

    async def hears_nothing(self, *kinds: str) -> None:
        """Nothing of these kinds comes for a while (of any, without kinds)."""
        await asyncio.sleep(QUIET)
        while not self.frames.empty():
            self.kept.append(self.frames.get_nowait())
        found = [frame for frame in self.kept if not kinds or frame[0] in kinds]
        assert not found, found

    async def end(self) -> tuple[int, str]:
        """Code and reason with which the link ended."""
        return await asyncio.wait_for(asyncio.shield(self.ended), PATIENCE)

    async def close(self, code: int = 1000) -> None:
        """Leave, as a client that comes back would."""
        assert self.socket is not None
        self.socket.close(code)
        await self.end()

    def drop(self) -> None:
        """Die without a word."""
        assert self.socket is not None
        self.socket.abort()


@asynccontextmanager
async def raw(where: Address | str, **options: Any) -> AsyncIterator[Raw]:
    """A link that is dropped at the end."""
    link = Raw()
    url = where if isinstance(where, str) else where.url
    await dial(url, link, limits=SocketLimits(max_message=8 << 20), **options)
    try:
        yield link
    finally:
        link.drop()
        await asyncio.wait_for(asyncio.shield(link.ended), PATIENCE)


@asynccontextmanager
async def greeted(where: Address | str, **hello: Any) -> AsyncIterator[Raw]:
    """A link that has been welcomed."""
    async with raw(where) as link:
        await link.hello(**hello)
        yield link


def make_app(**options: Any) -> Server:
    """A server with quick times. Names of `ServerLimits` go there."""
    limits = {name: options.pop(name) for name in ServerLimits.__struct_fields__ if name in options}
    options.setdefault("heartbeat", Heartbeat(25.0, 10.0))
    return Server(limits=ServerLimits(**limits), **options)


def hub_of(app: Server) -> Hub:
    return app._running()


async def until(condition: Callable[[], Any], what: str = "") -> None:
    """Wait until something is true that no event tells."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what or "waited in vain"
        await asyncio.sleep(0.002)


async def never(condition: Callable[[], Any]) -> None:
    """Check for a while that something does not become true."""
    await asyncio.sleep(QUIET)
    assert not condition()
