"""The hot paths, each a small program that does the same every time: run under callgrind by `benchmarks.budget`.

Real shells, cores and codecs on both sides; what is missing is the transport, whose place a list takes. Each path warms
up, then does its work once more while the instructions are counted. `python -m benchmarks.budget.paths` alone runs them
uncounted, to see that they work.
"""

import asyncio
import ctypes
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import heartline
import heartline.transports
from heartline import Server, ServerLimits, Session
from heartline.dialects.native import SUBPROTOCOL
from heartline.server.socket import HubSocket
from heartline.transports.api import LinkHandler, Request

TEXT = "x" * 62
BODY = b'"' + TEXT.encode() + b'"'
ENTRY = b'"' + b"y" * 198 + b'"'
SUBSCRIBERS = 100
SETTLE_EVERY = 128
TURN_EVERY = 64
"""Messages after which the loop goes round, where nothing waits for it: else it would be most of what is counted."""

Work = Callable[[int], Awaitable[None]]


class Wire:
    """The transport's place: keeps the last that was sent, and counts."""

    congested = False
    buffered = 0
    peer = "budget:1"
    subprotocol = SUBPROTOCOL
    request = None

    def __init__(self, heard: Callable[[bytes], None] | None = None) -> None:
        self.writes = 0
        self.last = b""
        self.send = heard or self._keep
        self.send_framed = self._keep

    def _keep(self, payload: bytes) -> None:
        self.writes += 1
        self.last = payload

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Closed: what comes then is missed by the check at the end of the work."""

    def abort(self) -> None:
        """Gone."""


# --- a server, and clients that are lists of frames ---------------------------------------------


class Side:
    """A serving application without a port."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self.app = Server(limits=ServerLimits(rate=None, frames=1e9))

    async def start(self) -> None:
        """Declare and start it."""
        app = self.app

        @app.on("echo")
        async def echo(session: Session, text: str) -> str:
            return text

        @app.on("note")
        async def note(session: Session, text: str) -> None:
            pass

        app.channel("{name}", publish=True, history=1000)
        _kept.append(self)
        self.hub = await self._stack.enter_async_context(app._started())
        self.hub.allowance.seconds = 3600.0  # counted, all is slow: the clock must not decide what is counted

    async def link(self) -> tuple[HubSocket, Wire]:
        """A welcomed link."""
        wire = Wire()
        socket = HubSocket(self.hub, Request("/", subprotocols=(SUBPROTOCOL,), is_upgrade=True))
        socket.on_open(wire)  # type: ignore[arg-type]
        say(socket, b'["hello",{"instance":"budget","floor":1}]')
        await turns()
        if b'["welcome"' not in wire.last:
            raise SystemExit(f"budget: not welcomed: {wire.last!r}")
        return socket, wire


def say(socket: HubSocket, *frames: bytes) -> None:
    """All frames of one read, and the end of the turn."""
    for frame in frames:
        socket.on_message(frame)
    socket.catch_up()


async def turns(count: int = 4) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def numbered(kind: bytes, event: bytes, window: int) -> Work:
    """Messages of one session, so many in a read, the floor told now and then."""
    side = Side()
    await side.start()
    socket, wire = await side.link()
    number = 0

    async def work(count: int) -> None:
        nonlocal number
        for _ in range(count // window):
            frames = [b'["%b",%d,"%b",%b]' % (kind, n, event, BODY) for n in range(number + 1, number + window + 1)]
            number += window
            if number % SETTLE_EVERY == 0:
                frames.insert(0, b'["settled",%d]' % (number - window + 1))
            say(socket, *frames)
            if number % TURN_EVERY == 0:
                await turns(1)
        if b"%d" % number not in wire.last:
            raise SystemExit(f"budget: {wire.last!r} does not settle {number}")

    return work


async def fan_out(together: int) -> Work:
    """Publications of one session to many others, so many in a read; `count` are deliveries."""
    side = Side()
    await side.start()
    publisher, _ = await side.link()
    followers = [await side.link() for _ in range(SUBSCRIBERS)]
    for socket, _ in followers:
        say(socket, b'["sub",1,"bench"]')
    await turns()
    number = 0

    async def work(count: int) -> None:
        nonlocal number
        for _ in range(count // (together * SUBSCRIBERS)):
            frames = [b'["pub",%d,"bench","m",%b]' % (n, ENTRY) for n in range(number + 1, number + together + 1)]
            number += together
            if number % 64 == 0:
                frames.insert(0, b'["settled",%d]' % (number - together + 1))
            say(publisher, *frames)
            await turns(3)
            if number % 64 == 0:
                for socket, _ in followers:
                    say(socket, b'["at","bench",%d]' % number)
        if any(b'"bench",%d,' % number not in wire.last for _, wire in followers):
            raise SystemExit(f"budget: not everybody has entry {number}: {followers[0][1].last!r}")

    return work


# --- a client, and a server that is a list of frames --------------------------------------------

WELCOME = (
    b'["welcome",{"session":"budget","resumed":false,"key":"0123456789abcdef0123456789abcdef","received":0,'
    b'"heartbeat":{"interval":25,"timeout":10},"limits":{"message":1048576,"window":256,"window_bytes":1048576,'
    b'"credit":512,"credit_bytes":262144,"subscriptions":100},"inbox":{"epoch":"e","offset":0},"time":1,'
    b'"server":"budget"}]'
)


class FarServer:
    """What a client's frames are answered with, in the next turn of the loop."""

    def __init__(self) -> None:
        self.handler: LinkHandler | None = None
        self.at = 0
        self._answers: list[bytes] = []

    async def dial(self, url: str, handler: LinkHandler, **options: Any) -> None:
        """Take the place of `heartline.transports.dial`."""
        self.handler = handler
        handler.on_open(Wire(self._heard))  # type: ignore[arg-type]

    def _heard(self, frame: bytes) -> None:
        kind, _, rest = frame.partition(b",")
        if kind == b'["call"':
            self._say(b'["reply",' + rest[: rest.index(b",")] + b"," + BODY + b"]")
        elif kind == b'["hello"':
            self._say(WELCOME)
        elif kind == b'["sub"':
            self._say(b'["ok",' + rest[: rest.index(b",")] + b',{"epoch":"e","offset":0}]')
        elif kind == b'["at"':
            self.at = int(rest.rpartition(b",")[2][:-1])
        elif kind not in (b'["settled"', b'["unsub"'):
            raise SystemExit(f"budget: unexpected {frame!r}")

    def _say(self, frame: bytes) -> None:
        if not self._answers:
            asyncio.get_running_loop().call_soon(self._flush)
        self._answers.append(frame)

    def _flush(self) -> None:
        answers, self._answers = self._answers, []
        for answer in answers:
            self.tell(answer)

    def tell(self, frame: bytes) -> None:
        """A frame from here."""
        if self.handler is None:
            raise SystemExit("budget: nobody dialled")
        self.handler.on_message(frame)


async def connected() -> tuple[FarServer, heartline.Connection]:
    """A client that believes itself connected."""
    far = FarServer()
    heartline.transports.dial = far.dial  # type: ignore[assignment]
    connection = heartline.connect("ws://budget/")
    await connection.start()
    await connection.connected()
    return far, connection


async def receiving() -> Work:
    """Entries of a channel, 64 to a read, taken by `async for`."""
    far, connection = await connected()
    seen = 0
    offset = 0

    async def follow() -> None:
        nonlocal seen
        async for entry in connection.subscribe("bench"):
            if not isinstance(entry, heartline.Entry):
                raise SystemExit(f"budget: {entry!r}")
            seen = entry.offset

    following = asyncio.create_task(follow())
    _kept.append(following)
    await turns(10)

    async def work(count: int) -> None:
        nonlocal offset
        for _ in range(count // 64):
            for n in range(offset + 1, offset + 65):
                far.tell(b'["msg","bench",%d,"m",%b]' % (n, ENTRY))
            offset += 64
            for _ in range(1000):
                if seen == offset:
                    break
                await turns(1)
        if seen != offset or far.at < offset - 256:
            raise SystemExit(f"budget: {seen} of {offset} seen, {far.at} told")

    return work


async def requesting() -> Work:
    """Sixty-four tasks, each with one request after the other."""
    _, connection = await connected()

    async def ask(count: int) -> None:
        for _ in range(count):
            if await connection.request("echo", TEXT) != TEXT:
                raise SystemExit("budget: a wrong answer")

    async def work(count: int) -> None:
        await asyncio.gather(*(ask(count // 64) for _ in range(64)))

    return work


_kept: list[object] = []
"""What would otherwise be gone, and stop, before its path is over."""

PATHS: dict[str, tuple[Callable[[], Awaitable[Work]], int]] = {
    "server: request and reply, 8 in a read": (lambda: numbered(b"call", b"echo", 8), 2048),
    "server: request and reply, 1 in a read": (lambda: numbered(b"call", b"echo", 1), 2048),
    "server: one-way sends, 64 in a read": (lambda: numbered(b"send", b"note", 64), 2048),
    "server: delivery to one of 100, 8 publications in a read": (lambda: fan_out(8), 51_200),
    "server: delivery to one of 100, 1 publication in a read": (lambda: fan_out(1), 51_200),
    "client: receiving an entry": (receiving, 2048),
    "client: request, 64 under way": (requesting, 2048),
}
"""What makes the work ready, and how much of it is counted."""


def main() -> None:
    """Run every path, counted when a library to count with is named."""
    switch = ctypes.CDLL(sys.argv[1]) if sys.argv[1:] else None
    for name, (make, count) in PATHS.items():
        loop = asyncio.new_event_loop()
        loop.run_until_complete(run(switch, name, make, count))
        gc.enable()
    os._exit(0)  # nothing here has an end that matters


async def run(switch: ctypes.CDLL | None, name: str, make: Callable[[], Awaitable[Work]], count: int) -> None:
    """One path, warm."""
    work = await make()
    await work(count)
    gc.collect()
    gc.disable()
    if switch is not None:
        switch.count_on()
    await work(count)
    if switch is not None:
        switch.count_off(f"{count} {name}".encode())


if __name__ == "__main__":
    main()
