"""TLS on both sides."""

import asyncio
import contextlib
import socket
import ssl
import threading
from typing import Any

import pytest
import trustme
import uvloop

from heartline.transports import DialError, SocketLimits, dial
from heartline.transports.picows_protocol import HeartProtocol

from .helpers import RawPeer, Recorder, eventually, serving
from .test_dial import nothing_left

RUNNERS = pytest.mark.parametrize("run_in", [asyncio.run, uvloop.run])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ours(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def theirs(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@RUNNERS
def test_messages_cross_tls_in_order_and_both_goodbyes_work(run_in, ours, theirs) -> None:  # type: ignore[no-untyped-def]
    async def run() -> None:
        async with serving(echo=True, ssl=ours) as server, nothing_left():
            for closer in ("client", "server"):
                client = Recorder()
                connection = await dial(server.url(scheme="wss", host="localhost"), client, ssl=theirs)
                link = await server.link()
                for i in range(20):
                    connection.send(b"%d" % i)
                connection.send(b"x" * 500_000)
                connection.send_binary(b"\xff")
                assert [await client.text() for _ in range(20)] == [b"%d" % i for i in range(20)]
                assert await client.text() == b"x" * 500_000
                assert await client.next() == ("binary", b"\xff")
                loop = asyncio.get_running_loop()
                before = loop.time()
                if closer == "client":
                    connection.close(4007, "abandoned")
                    assert await client.end() == await link.end() == (4007, "abandoned")
                else:
                    link.socket.close(4002, "moved")
                    assert await client.end() == await link.end() == (4002, "moved")
                assert loop.time() - before < 1

    run_in(run())


@RUNNERS
def test_a_dial_cancelled_after_any_number_of_turns_leaves_nothing(run_in, ours, theirs) -> None:  # type: ignore[no-untyped-def]
    """Nor is a goodbye of TLS waited for, which may take half a minute."""

    async def run() -> None:
        async with serving(ssl=ours) as server:
            outcomes = set()
            for turns in range(40):
                async with nothing_left():
                    task = asyncio.create_task(dial(server.url(scheme="wss"), Recorder(), ssl=theirs))
                    for _ in range(turns):
                        await asyncio.sleep(0.0005)
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        (await task).abort()
                        outcomes.add("open")
                    outcomes.add("cancelled")
                    await eventually(lambda: not server.listener._connections)  # type: ignore[attr-defined]
            assert outcomes == {"open", "cancelled"}

    run_in(run())


@RUNNERS
def test_a_dial_cancelled_as_its_tls_is_done_waits_for_no_goodbye(run_in, monkeypatch, ours, theirs) -> None:  # type: ignore[no-untyped-def]
    made = HeartProtocol.connection_made
    dials: list[asyncio.Task[Any]] = []

    def cancelling(protocol: HeartProtocol, transport: asyncio.Transport) -> None:
        made(protocol, transport)
        dials[0].cancel()

    monkeypatch.setattr(HeartProtocol, "connection_made", cancelling)

    def shake_hands(listening: socket.socket, gone: threading.Event) -> None:
        with ours.wrap_socket(listening.accept()[0], server_side=True) as accepted:
            raw = socket.socket(fileno=accepted.detach())  # which answers no goodbye
        with raw, contextlib.suppress(ConnectionResetError):
            raw.settimeout(3)
            while raw.recv(1 << 16):
                pass
        gone.set()

    async def run(port: int, gone: threading.Event) -> None:
        dials.append(asyncio.create_task(dial(f"wss://127.0.0.1:{port}/", Recorder(), ssl=theirs)))
        with pytest.raises(asyncio.CancelledError):
            await dials[0]
        await eventually(gone.is_set)

    gone = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=shake_hands, args=(listening, gone))
        thread.start()
        run_in(run(listening.getsockname()[1], gone))
        thread.join()


def test_a_certificate_nobody_trusts_is_told(ours: ssl.SSLContext) -> None:
    async def run() -> None:
        async with serving(ssl=ours) as server, nothing_left():
            with pytest.raises(DialError, match="not trusted") as caught:
                await dial(server.url(scheme="wss"), Recorder())
            assert caught.value.retryable
            assert not server.requests

    asyncio.run(run())


def test_a_certificate_for_another_name_is_told(authority: trustme.CA, theirs: ssl.SSLContext) -> None:
    async def run() -> None:
        other = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("elsewhere.example").configure_cert(other)
        async with serving(ssl=other) as server, nothing_left():
            with pytest.raises(DialError, match="not trusted"):
                await dial(server.url(scheme="wss", host="localhost"), Recorder(), ssl=theirs)

    asyncio.run(run())


def test_tls_and_plain_do_not_mix(ours: ssl.SSLContext, theirs: ssl.SSLContext) -> None:
    async def run() -> None:
        limits = SocketLimits(handshake_timeout=1)
        async with serving(ssl=ours, limits=limits) as server, nothing_left():
            with pytest.raises(DialError):
                await dial(server.url(), Recorder())
        async with serving(limits=SocketLimits(handshake_timeout=0.2)) as server, nothing_left():
            with pytest.raises(DialError):
                await dial(server.url(scheme="wss"), Recorder(), ssl=theirs)

    asyncio.run(run())


def test_a_tls_handshake_that_never_comes_is_dropped(ours: ssl.SSLContext) -> None:
    async def run() -> None:
        impatient = serving(ssl=ours, limits=SocketLimits(handshake_timeout=0.2))
        async with impatient as server, await RawPeer.connect(server.port) as peer:
            with contextlib.suppress(ConnectionResetError):
                assert await peer.rest() == b""

    asyncio.run(run())


def test_a_tls_peer_that_vanishes_is_dropped_after_two_seconds(ours: ssl.SSLContext, theirs: ssl.SSLContext) -> None:
    async def run() -> None:
        async with serving(ssl=ours) as server:
            client = Recorder()
            connection = await dial(server.url(scheme="wss"), client, ssl=theirs)
            link = await server.link()
            connection.pause_reading()  # it answers neither the close frame nor the end of TLS
            link.socket.close(1001, "bye")
            loop = asyncio.get_running_loop()
            before = loop.time()
            assert await link.end() == (1001, "bye")
            assert loop.time() - before < 5
            connection.abort()
            await client.end()

    asyncio.run(run())


@RUNNERS
def test_hang_ups_during_the_handshake_are_not_logged(run_in, ours, caplog) -> None:  # type: ignore[no-untyped-def]
    async def run() -> None:
        loop = asyncio.get_running_loop()
        seen: list[dict[str, object]] = []
        loop.set_exception_handler(lambda _, context: seen.append(context))
        async with serving(ssl=ours) as server:
            for hello in (b"", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n"):
                async with await RawPeer.connect(server.port) as peer:
                    await peer.write(hello)
                    peer.writer.write_eof()
                    await peer.rest()
            loop.call_exception_handler({"message": "another one"})
        assert seen == [{"message": "another one"}]

    run_in(run())
    assert caplog.text == ""


def test_a_message_too_big_is_told_over_tls(ours: ssl.SSLContext, theirs: ssl.SSLContext) -> None:
    async def run() -> None:
        async with serving(ssl=ours, limits=SocketLimits(max_message=1000)) as server:
            for size in (1001, 3 << 20):
                client = Recorder()
                (await dial(server.url(scheme="wss"), client, ssl=theirs)).send(b"x" * size)
                assert (await client.end())[0] == 1009

    asyncio.run(run())


def test_a_dial_cancelled_during_the_tls_handshake_leaves_nothing(theirs: ssl.SSLContext) -> None:
    async def run() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        listening = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with nothing_left():
            task = asyncio.create_task(dial(f"wss://127.0.0.1:{port}/", Recorder(), ssl=theirs))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with nothing_left():
            with pytest.raises(DialError, match="no connection within"):
                await dial(f"wss://127.0.0.1:{port}/", Recorder(), ssl=theirs, timeout=0.1)
        listening.close()
        await listening.wait_closed()

    asyncio.run(run())
