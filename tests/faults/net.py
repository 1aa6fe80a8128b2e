"""A client, the proxy and a server on loopback, seen from both ends. Every wait is bounded."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvloop

from heartline.faults import FaultProxy, FaultRules, ProxyEvent, ProxyEventKind

LIMIT = 5.0  # seconds any single wait may take
QUIET = 0.15  # seconds in which something forbidden would have happened
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def sockets() -> int:
    """How many sockets this process has open (Linux; elsewhere 0)."""
    count = 0
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
        with suppress(OSError):  # the listing's own descriptor is closed by now
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


@dataclass
class End:
    """One end of a connection through the proxy."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        if self.writer.is_closing():  # uvloop raises RuntimeError, asyncio says nothing
            raise ConnectionResetError
        self.writer.write(data)
        async with asyncio.timeout(LIMIT):
            await self.writer.drain()

    async def hear(self, size: int) -> bytes:
        async with asyncio.timeout(LIMIT):
            return await self.reader.readexactly(size)

    async def outcome(self) -> tuple[bytes, str]:
        """Everything up to the end, and what the end was: "eof" or "reset"."""
        data = b""
        async with asyncio.timeout(LIMIT):
            try:
                while chunk := await self.reader.read(65536):
                    data += chunk
            except ConnectionResetError:
                return data, "reset"
        return data, "eof"

    async def hears_nothing(self) -> None:
        """Nothing arrives, not even an end, for a while."""
        try:
            async with asyncio.timeout(QUIET):
                got = await self.reader.read(100)
        except TimeoutError:
            return
        raise AssertionError(f"heard {got!r} although nothing should come through")

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Net:
    proxy: FaultProxy
    accepted: "asyncio.Queue[End]"
    events: list[ProxyEvent]
    ends: list[End] = field(default_factory=list)

    async def dial(self) -> End:
        """The client's end only."""
        async with asyncio.timeout(LIMIT):
            end = End(*await asyncio.open_connection(*self.proxy.address))
        self.ends.append(end)
        return end

    async def link(self) -> tuple[End, End]:
        """An open link: (client's end, server's end)."""
        client = await self.dial()
        return client, await self.served()

    async def served(self) -> End:
        async with asyncio.timeout(LIMIT):
            return await self.accepted.get()

    def kinds(self, link: int | None = None) -> list[ProxyEventKind]:
        return [e.what for e in self.events if link in {None, e.link}]

    async def event(self, what: ProxyEventKind) -> ProxyEvent:
        await self.proxy.until(lambda _: what in self.kinds(), LIMIT)
        return next(e for e in self.events if e.what is what)


@asynccontextmanager
async def network(rules: FaultRules | None = None, **options: Any) -> AsyncIterator[Net]:
    """Server and proxy; afterwards everything is closed and nothing may be left."""
    before = sockets()
    tasks = asyncio.all_tasks()
    accepted: asyncio.Queue[End] = asyncio.Queue()
    events: list[ProxyEvent] = []
    served: list[End] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(End(reader, writer))
        accepted.put_nowait(served[-1])

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()
    options.setdefault("on_event", events.append)
    proxy = FaultProxy(target, rules=rules, **options)
    await proxy.start()
    net = Net(proxy, accepted, events)
    try:
        yield net
    finally:
        async with asyncio.timeout(LIMIT):
            await proxy.close()
            server.close()
            for end in [*net.ends, *served]:
                end.writer.transport.abort()
            await server.wait_closed()
            while asyncio.all_tasks() - tasks or sockets() > before:  # noqa: ASYNC110 - no event tells this
                await asyncio.sleep(0.005)


def run(loop: str, test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(bounded())


def each(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))
