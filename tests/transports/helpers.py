"""Both ends of a WebSocket for tests: a handler that records, a server, and a peer that speaks raw bytes."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

from heartline.transports import Accept, Listener, Request, Router, Socket, SocketLimits, frame_text, listen
from heartline.transports.frames import Opcode, frame
from heartline.transports.masking import masked_frame

PATIENCE = 10.0  # seconds until a test that waits for something fails


async def eventually(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for something that tells nobody when it comes. TimeoutError when it does not."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.002)


class Recorder:
    """A LinkHandler that keeps everything and can be waited on; `echo` sends messages back."""

    def __init__(self, *, echo: bool = False) -> None:
        self.echo = echo
        self.socket: Any = None
        self.events: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self.opened = 0
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def on_open(self, socket: Socket) -> None:
        self.opened += 1
        self.socket = socket
        self.events.put_nowait(("open",))

    def on_message(self, data: bytes) -> None:
        assert not self.closed.done()
        self.events.put_nowait(("text", data))
        if self.echo:
            self.socket.send(data)

    def on_binary(self, data: bytes) -> None:
        assert not self.closed.done()
        self.events.put_nowait(("binary", data))
        if self.echo:
            self.socket.send_binary(data)

    def on_activity(self) -> None:
        self.events.put_nowait(("activity",))

    def on_close(self, code: int, reason: str) -> None:
        assert self.opened == 1
        self.closed.set_result((code, reason))  # raises on a second one

    def on_writable(self) -> None:
        self.events.put_nowait(("writable",))

    async def next(self, kind: str | None = None) -> tuple[Any, ...]:
        """The next event, or the next one of that kind."""
        while True:
            event = await asyncio.wait_for(self.events.get(), PATIENCE)
            if kind is None or event[0] == kind:
                return event

    async def text(self) -> bytes:
        """The next text message."""
        data: bytes = (await self.next("text"))[1]
        return data

    async def end(self) -> tuple[int, str]:
        """Code and reason of on_close."""
        return await asyncio.wait_for(asyncio.shield(self.closed), PATIENCE)


@dataclass
class Server:
    """A listener with its links' handlers, in the order of their upgrade."""

    listener: Listener
    links: list[Recorder] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    arrived: asyncio.Queue[Recorder] = field(default_factory=asyncio.Queue)

    @property
    def port(self) -> int:
        return self.listener.addresses[0][1]

    def url(self, path: str = "/", scheme: str = "ws", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def link(self) -> Recorder:
        """The next link that was opened here."""
        return await asyncio.wait_for(self.arrived.get(), PATIENCE)


@asynccontextmanager
async def serving(
    router: Router | None = None, *, echo: bool = False, limits: SocketLimits | None = None, **options: Any
) -> AsyncIterator[Server]:
    """A server on a free port. Without a router every request becomes a link with a Recorder.

    On the way out it aborts its links and waits until nothing is left.
    """
    server: Server

    def accept(request: Request) -> Accept:
        server.requests.append(request)
        handler = Recorder(echo=echo)
        server.links.append(handler)
        server.arrived.put_nowait(handler)
        chosen = "heartline.1" if "heartline.1" in request.subprotocols else None
        return Accept(handler, chosen)

    server = Server(await listen(router or accept, "127.0.0.1", 0, limits=limits or SocketLimits(), **options))
    try:
        yield server
    finally:
        server.listener.close()
        for link in server.links:
            if link.socket is not None:
                link.socket.abort()
        await asyncio.wait_for(server.listener.wait_closed(), PATIENCE)


UPGRADE = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
}


class RawPeer:
    """A peer that writes whatever bytes it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> "RawPeer":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def upgraded(cls, port: int, **headers: str) -> "RawPeer":
        """A connection on which the WebSocket handshake is done."""
        peer = await cls.connect(port)
        await peer.request("GET / HTTP/1.1", UPGRADE | headers)
        head = await peer.head()
        assert head.startswith("HTTP/1.1 101"), head
        return peer

    async def request(self, line: str, headers: dict[str, str]) -> None:
        lines = [line, *(f"{name}: {value}" for name, value in headers.items())]
        await self.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> str:
        return (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode()

    async def rest(self) -> bytes:
        """Everything until the end of the connection."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE)

    async def send(self, opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool = True) -> None:
        """One frame, legal or not."""
        wire = bytearray(masked_frame(opcode, payload, os.urandom(4)) if masked else frame(opcode, payload))
        wire[0] = (0x80 if fin else 0) | rsv << 4 | opcode
        await self.write(bytes(wire))

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload. Fails on a masked or fragmented one."""
        first, second = await asyncio.wait_for(self.reader.readexactly(2), PATIENCE)
        assert first & 0x80
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        if second & 0x80:
            key = await self.reader.readexactly(4)
            payload = await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)
            return first & 0x7F, bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        return first & 0x7F, await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)

    async def close_code(self) -> int:
        """Read up to the close frame; its code, which has to be there."""
        while True:
            opcode, payload = await self.frame()
            if opcode == Opcode.CLOSE:
                assert len(payload) >= 2
                return int.from_bytes(payload[:2], "big")

    def shut(self) -> None:
        self.writer.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.shut()
        with suppress(OSError):
            await self.writer.wait_closed()


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + reason


__all__ = [
    "PATIENCE",
    "UPGRADE",
    "Opcode",
    "RawPeer",
    "Recorder",
    "Server",
    "close_payload",
    "eventually",
    "frame_text",
    "serving",
]
