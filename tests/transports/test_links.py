"""A link between our client and our server: order, joining, limits, callbacks that raise."""

import asyncio
import fcntl
import os
import socket
import sys
import termios
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from heartline.transports import Accept, Listener, Request, SocketLimits, dial, frame_text
from heartline.transports import link as link_module
from heartline.transports.link import LinkState

from .helpers import PATIENCE, Opcode, RawPeer, Recorder, Server, close_payload, eventually, serving

RUNNERS = {"asyncio": asyncio.run, "uvloop": uvloop.run}
Runner = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=RUNNERS)
def run_in(request: pytest.FixtureRequest) -> Runner:
    runner: Runner = RUNNERS[request.param]
    return runner


@asynccontextmanager
async def pair(*, echo: bool = False, limits: SocketLimits | None = None) -> AsyncIterator[tuple[Recorder, Recorder]]:
    """The server's and the client's handler of one link."""
    async with serving(echo=echo, limits=limits) as server:
        client = Recorder()
        await dial(server.url(), client, limits=limits or SocketLimits())
        yield await server.link(), client
        client.socket.abort()
        await client.end()


async def closed(server: Server, link: Recorder) -> None:
    await link.end()
    await eventually(lambda: not server.listener.links)


# --- order and joining ---


def test_messages_of_every_kind_arrive_in_order_both_ways(run_in: Runner) -> None:
    async def run() -> None:
        async with pair() as (server, client):
            for sender, receiver in ((server, client), (client, server)):
                for turn in range(20):
                    for i in range(turn):
                        sender.socket.send(b"%d/%d" % (turn, i))
                        if i % 3 == 0:
                            sender.socket.send_binary(b"b%d/%d" % (turn, i))
                    await asyncio.sleep(0)
                sender.socket.send("ü".encode() * 100_000)
                for turn in range(20):
                    for i in range(turn):
                        assert (await receiver.next("text"))[1] == b"%d/%d" % (turn, i)
                        if i % 3 == 0:
                            assert await receiver.next() == ("binary", b"b%d/%d" % (turn, i))
                assert await receiver.text() == "ü".encode() * 100_000

    run_in(run())


def test_framed_bytes_keep_their_place_among_others(run_in: Runner) -> None:
    async def run() -> None:
        async with pair() as (server, client):
            server.socket.send(b"1")
            server.socket.send_framed(frame_text(b"2") + frame_text(b"3" * 200))
            server.socket.send(b"4")
            assert [await client.text() for _ in range(4)] == [b"1", b"2", b"3" * 200, b"4"]

    run_in(run())


class Writes:
    """Counts what reaches the transport."""

    def __init__(self, recorder: Recorder) -> None:
        self.sizes: list[int] = []
        self._transport = recorder.socket._transport
        recorder.socket._transport = self

    def write_nocheck(self, data: bytes) -> None:
        self.sizes.append(len(data))
        self._transport.write_nocheck(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def test_the_first_of_a_turn_is_written_at_once_and_the_others_in_one_write() -> None:
    async def run() -> None:
        async with pair() as (server, _client):
            writes = Writes(server)
            for round_ in range(3):
                for _ in range(8):
                    server.socket.send(b"x" * 10)
                assert len(writes.sizes) == 2 * round_ + 1
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert writes.sizes[-2:] == [12, 7 * 12]
            assert server.socket.buffered == 0

    asyncio.run(run())


def test_an_answer_from_the_callback_is_written_at_once_and_needs_no_turn_end() -> None:
    async def run() -> None:
        async with pair(echo=True) as (server, client):
            writes = Writes(server)
            for i in range(5):
                client.socket.send(b"%d" % i)
                assert await client.text() == b"%d" % i
                assert len(writes.sizes) == i + 1
                assert not server.socket._turn.due

    asyncio.run(run())


def test_answers_to_what_was_read_together_leave_together() -> None:
    async def run() -> None:
        async with serving(echo=True) as server, await RawPeer.upgraded(server.port) as peer:
            writes = Writes(await server.link())
            await peer.write(b"\x81\x81\0\0\0\0a" * 8)
            for _ in range(8):
                assert await peer.frame() == (Opcode.TEXT, b"a")
            assert writes.sizes == [24]
            assert server.links[0].socket._turn.due is False

    asyncio.run(run())


def test_joined_bytes_are_written_before_they_grow_large() -> None:
    async def run() -> None:
        async with pair() as (server, client):
            writes = Writes(server)
            for _ in range(100):
                server.socket.send(b"x" * 4000)
            assert len(writes.sizes) > 5
            assert server.socket.buffered < link_module.JOIN_LIMIT + 4004 + 400_000
            for _ in range(100):
                assert await client.text() == b"x" * 4000

    asyncio.run(run())


def test_joined_messages_leave_before_the_goodbye_also_when_picows_finds_the_fault() -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            link.socket.send(b"1")
            link.socket.send(b"2")
            link.socket.send(b"3")
            link.socket.parser_failed(1002, "as picows tells it")
            assert [(await peer.frame())[1] for _ in range(3)] == [b"1", b"2", b"3"]
            assert await peer.close_code() == 1002

    asyncio.run(run())


def test_a_message_may_be_sent_from_on_open() -> None:
    async def run() -> None:
        class Greets(Recorder):
            def on_open(self, socket: Any) -> None:
                super().on_open(socket)
                socket.send(b"hello")
                socket.send(b"world")

        async with serving(lambda request: Accept(Greets(), "heartline.1")) as server:
            client = Greets()
            connection = await dial(server.url(), client)
            assert [await client.text() for _ in range(2)] == [b"hello", b"world"]
            connection.close()
            assert await client.end() == (1000, "")

    asyncio.run(run())


# --- callbacks that raise ---


@pytest.mark.parametrize("where", ["on_open", "on_message", "on_binary", "on_activity", "on_fragments"])
def test_a_handler_that_raises_closes_its_own_link_with_1011(where: str, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        class Raises(Recorder):
            def on_open(self, socket: Any) -> None:
                super().on_open(socket)
                if where == "on_open":
                    raise RuntimeError("in " + where)

            def on_message(self, data: bytes) -> None:
                raise RuntimeError("in " + where)

            def on_binary(self, data: bytes) -> None:
                raise RuntimeError("in " + where)

            def on_activity(self) -> None:
                raise RuntimeError("in " + where)

        handlers: list[Recorder] = []

        def router(request: Request) -> Accept:
            handlers.append(Recorder(echo=True) if request.path == "/good" else Raises())
            return Accept(handlers[-1], "heartline.1")

        async with serving(router) as server:
            good = Recorder()
            await dial(server.url("/good"), good)
            async with await RawPeer.upgraded(server.port, **{"Sec-WebSocket-Protocol": "heartline.1"}) as peer:
                if where == "on_message":
                    await peer.send(Opcode.TEXT, b"x")
                elif where == "on_fragments":
                    await peer.send(Opcode.TEXT, b"x", fin=False)
                    await peer.send(Opcode.CONTINUATION, b"x")
                elif where == "on_binary":
                    await peer.send(Opcode.BINARY, b"x")
                elif where == "on_activity":
                    await peer.send(Opcode.PONG, b"")
                assert await peer.frame() == (Opcode.CLOSE, close_payload(1011, b"internal error"))
                await peer.send(Opcode.CLOSE, close_payload(1011))
                assert await handlers[1].end() == (1011, "internal error")
            good.socket.send(b"unharmed")
            assert await good.text() == b"unharmed"
            good.socket.abort()
            await good.end()

    asyncio.run(run())
    assert "in " + where in caplog.text


def test_a_handler_that_raises_in_on_close_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        class Raises(Recorder):
            def on_close(self, code: int, reason: str) -> None:
                super().on_close(code, reason)
                raise RuntimeError("in on_close")

        async with serving() as server:
            client = Raises()
            (await dial(server.url(), client)).close()
            assert await client.end() == (1000, "")
            await closed(server, await server.link())

    asyncio.run(run())
    assert "in on_close" in caplog.text


# --- limits ---


def test_our_client_is_told_that_its_message_is_too_big() -> None:
    async def run() -> None:
        async with serving(limits=SocketLimits(max_message=1000)) as server:
            for size in (1001, 2 << 20):
                client = Recorder()
                (await dial(server.url(), client)).send(b"x" * size)
                assert (await client.end())[0] == 1009

    asyncio.run(run())


def _small_buffers(recorder: Recorder) -> None:
    """So that megabytes do not vanish in the kernel."""
    recorder.socket._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)


def test_a_congested_socket_says_so_and_tells_when_it_is_writable_again(run_in: Runner) -> None:
    async def run() -> None:
        limits = SocketLimits(write_high=100_000, write_low=50_000, write_limit=50 << 20)
        async with serving(limits=limits) as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            _small_buffers(link)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            assert not link.socket.congested
            sent = 0
            async with asyncio.timeout(PATIENCE):
                while not link.socket.congested:
                    link.socket.send(b"x" * 50_000)
                    sent += 1
                    await asyncio.sleep(0)
            assert link.socket.buffered > 100_000
            link.socket.send(b"y" * 50_000)  # allowed, and in order
            peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
            for _ in range(sent):
                assert (await peer.frame())[1] == b"x" * 50_000
            assert (await peer.frame())[1] == b"y" * 50_000
            await link.next("writable")
            assert not link.socket.congested
            assert link.socket.buffered <= 50_000

    run_in(run())


def test_a_peer_that_never_reads_is_closed_with_4004_and_others_are_unharmed() -> None:
    async def run() -> None:
        limits = SocketLimits(write_high=1 << 18, write_low=1 << 16, write_limit=1 << 20)
        async with serving(echo=True, limits=limits) as server, await RawPeer.upgraded(server.port) as stalled:
            bad = await server.link()
            _small_buffers(bad)
            stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
            good = Recorder()
            await dial(server.url(), good)
            highest = 0
            async with asyncio.timeout(PATIENCE):
                while bad.socket.state is LinkState.OPEN:
                    for _ in range(10):
                        bad.socket.send(b"x" * 20_000)
                    highest = max(highest, bad.socket.buffered)
                    good.socket.send(b"ping")
                    assert await good.text() == b"ping"
            for _ in range(1000):
                bad.socket.send(b"x" * 20_000)  # says nothing, keeps nothing
            assert max(highest, bad.socket.buffered) < limits.write_limit + (1 << 18)
            assert await bad.end() == (4004, "stalled")
            good.socket.abort()
            await good.end()

    asyncio.run(run())


def test_a_stalled_peer_that_reads_again_in_time_learns_4004() -> None:
    async def run() -> None:
        limits = SocketLimits(write_high=1 << 18, write_low=1 << 16, write_limit=1 << 20)
        async with serving(limits=limits) as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            _small_buffers(link)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            while link.socket.state is LinkState.OPEN:
                link.socket.send(b"x" * 20_000)
                await asyncio.sleep(0)
            peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert await peer.close_code() == 4004
            await peer.send(Opcode.CLOSE, close_payload(4004))
            assert await link.end() == (4004, "stalled")

    asyncio.run(run())


def test_a_flood_of_pings_to_a_peer_that_never_reads_is_bounded() -> None:
    async def run() -> None:
        limits = SocketLimits(write_high=1 << 14, write_low=0, write_limit=1 << 16)
        async with serving(limits=limits) as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            _small_buffers(link)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            pings = (b"\x89\xfd\0\0\0\0" + b"p" * 125) * 1000
            async with asyncio.timeout(PATIENCE):
                while link.socket.state is LinkState.OPEN:
                    await peer.write(pings)
            assert link.socket.buffered < limits.write_limit + (1 << 18)
            assert (await link.end())[0] == 4004

    asyncio.run(run())


def test_a_peer_that_only_half_closes_and_never_reads_is_dropped() -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            _small_buffers(link)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            while link.socket.buffered < 1 << 20:
                link.socket.send(b"x" * 100_000)
                await asyncio.sleep(0)
            peer.writer.write_eof()
            assert await link.end() == (1006, "")

    asyncio.run(run())


def unread(recorder: Recorder) -> int:
    """How many bytes the kernel holds for it."""
    held = bytearray(4)
    fcntl.ioctl(recorder.socket._transport.get_extra_info("socket").fileno(), termios.FIONREAD, held)
    return int.from_bytes(held, sys.byteorder)


def test_reading_can_be_paused() -> None:
    async def run() -> None:
        async with pair() as (server, client):
            server.socket.pause_reading()
            client.socket.send(b"wait")
            await eventually(lambda: unread(server))
            for _ in range(3):
                await asyncio.sleep(0)  # turns in which it would be read
            assert server.events.qsize() == 1
            server.socket.resume_reading()
            assert await server.text() == b"wait"
            server.socket.pause_reading()
            server.socket.close(4002)  # the answer is read all the same
            assert await server.end() == (4002, "")
            assert await client.end() == (4002, "")
            server.socket.pause_reading()
            server.socket.resume_reading()

    asyncio.run(run())


# --- what a link is ---


def test_the_table_of_moves_is_kept() -> None:
    async def run() -> None:
        async with pair() as (server, _):
            assert server.socket.state is LinkState.OPEN
            for state in LinkState:
                if state not in link_module._MOVES[LinkState.OPEN]:
                    with pytest.raises(AssertionError, match="illegal move"):
                        server.socket._go(state)
        assert set(link_module._MOVES) == set(LinkState)

    asyncio.run(run())


def test_a_closed_link_leaves_nothing_behind() -> None:
    """No socket, task or timer, and no cycle that keeps the link alive."""
    import gc
    import weakref

    async def run() -> None:
        loop: Any = asyncio.get_running_loop()
        async with serving(echo=True) as server:
            before = len(os.listdir("/proc/self/fd"))
            gc.collect()
            gc.disable()
            try:
                links = []
                for how in ("close", "peer", "abort", "fault"):
                    client = Recorder()
                    connection = await dial(server.url(), client)
                    ours = await server.link()
                    links += [weakref.ref(connection), weakref.ref(ours.socket)]
                    connection.send(b"x")
                    await client.text()
                    if how == "close":
                        connection.close(1000)
                    elif how == "peer":
                        ours.socket.close(1001)
                    elif how == "abort":
                        connection.abort()
                    else:
                        connection._transport.write_nocheck(b"\x83\x80\0\0\0\0")  # type: ignore[attr-defined]
                    await client.end()
                    await closed(server, ours)
                    client.socket = ours.socket = None
                    del client, connection, ours
                server.links.clear()
                await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
                await asyncio.sleep(0.05)
                assert [link() for link in links] == [None] * len(links)
            finally:
                gc.enable()
            assert [timer for timer in loop._scheduled if not timer.cancelled() and "heartline" in repr(timer)] == []
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_our_types_are_what_the_protocols_ask_for() -> None:
    from heartline.transports import LinkHandler, Socket
    from heartline.transports.link import ClientLink, ServerLink
    from heartline.transports.server import PortListener

    for protocol, kinds in (
        (Socket, (ServerLink, ClientLink)),
        (Listener, (PortListener,)),
        (LinkHandler, (Recorder,)),
    ):
        names = {name for name in vars(protocol) if not name.startswith("_")}
        assert names
        for kind in kinds:
            assert all(hasattr(kind, name) or name in getattr(kind.__mro__[1], "__slots__", ()) for name in names), kind
