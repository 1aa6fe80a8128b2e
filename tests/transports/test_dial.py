"""What a dial says when it fails, and that it leaves nothing behind."""

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from heartline.transports import DialError, Respond, dial
from heartline.transports.connect import STAGGER, interleave, open_tcp

from .early_ends import closed_and_watched
from .helpers import RawPeer, Recorder, eventually, serving
from .test_client_rfc import answer_101, raw_server


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return count


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fails when the block leaves a socket, a task or a timer of ours, or the loop watching what is closed."""
    loop: Any = asyncio.get_running_loop()
    before, tasks = sockets(), asyncio.all_tasks()
    yield
    with contextlib.suppress(TimeoutError):
        await eventually(lambda: sockets() == before and asyncio.all_tasks() == tasks, 3)
    assert sockets() == before
    assert asyncio.all_tasks() == tasks
    assert not closed_and_watched(loop)
    for timer in getattr(loop, "_scheduled", ()):  # uvloop keeps its timers to itself
        assert timer.cancelled() or "transports" not in repr(timer), timer


@asynccontextmanager
async def stalled_port() -> AsyncIterator[int]:
    """A port whose backlog is full: the kernel answers nothing, as behind a firewall that drops packets."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        await asyncio.sleep(0.05)
        yield port
        for filler in fillers:
            filler.close()


async def failing(url: str, **options: Any) -> DialError:
    async with nothing_left():
        client = Recorder()
        with pytest.raises(DialError) as caught:
            await dial(url, client, **options)
        assert client.opened == 0
        assert not client.closed.done()
    error = caught.value
    assert str(error) == error.reason
    assert "secret" not in error.reason
    return error


def test_refused_is_retryable() -> None:
    async def run() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            error = await failing(f"ws://127.0.0.1:{unused.getsockname()[1]}/?token=secret")
        assert error.reason == "connection refused"
        assert error.status is None
        assert error.retryable

    asyncio.run(run())


def test_a_name_that_is_not_found_is_retryable() -> None:
    async def run() -> None:
        error = await failing("ws://secret.invalid/")
        assert "looked up" in error.reason
        assert error.retryable

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (200, True),
        (302, True),
        (400, False),
        (401, False),
        (403, False),
        (404, False),
        (426, False),
        (408, True),
        (425, True),
        (429, True),
        (500, True),
        (503, True),
    ],
)
def test_an_http_status_is_told_and_classed(status: int, retryable: bool) -> None:
    async def run() -> None:
        headers = {"Location": "ws://127.0.0.1:1/secret", "X-Token": "secret"}
        async with serving(lambda request: Respond(status, b"secret", headers=headers)) as server:
            error = await failing(server.url("/?token=secret"))
        assert error.status == status
        assert error.retryable == retryable

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 520 Web Server Returned an Unknown Error\r\n\r\n", 520),  # unknown to the standard library
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", 503),
        (b"HTTP/1.1 502 Bad Gateway\r\nbroken secret\r\n\r\n", 502),
        (b"SSH-2.0-OpenSSH\r\n\r\n", None),
        (b"\xff\xfe\r\n\r\n", None),
        (b"x" * 20_000, None),
        (b"", None),
    ],
)
def test_answers_that_are_no_websocket_are_retryable(answer: bytes, status: int | None) -> None:
    async def run() -> None:
        async with raw_server() as server:

            async def answering() -> None:
                peer, _ = await server.next()
                await peer.write(answer)
                peer.writer.close()

            task = asyncio.create_task(answering())
            client = Recorder()
            with pytest.raises(DialError) as caught:
                await dial(f"ws://127.0.0.1:{server.port}/", client)
            await task
            assert caught.value.status == status
            assert caught.value.retryable
            assert "secret" not in caught.value.reason

    asyncio.run(run())


def test_an_answer_that_never_comes_runs_out_of_time() -> None:
    async def run() -> None:
        async with raw_server() as server, nothing_left():
            with pytest.raises(DialError, match=r"no connection within 0\.2 s") as caught:
                await dial(f"ws://127.0.0.1:{server.port}/", Recorder(), timeout=0.2)
            peer, _ = await server.next()
            assert await peer.rest() == b"", "the socket is closed"
            peer.shut()
        assert caught.value.retryable

    asyncio.run(run())


def test_packets_that_vanish_run_out_of_time() -> None:
    async def run() -> None:
        async with stalled_port() as port:
            assert "no connection within" in (await failing(f"ws://127.0.0.1:{port}/", timeout=0.2)).reason

    asyncio.run(run())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("run_in", [asyncio.run, uvloop.run])
def test_a_dial_cancelled_after_any_number_of_turns_leaves_nothing(run_in: Any, host: str) -> None:
    async def run() -> None:
        async with serving() as server:
            outcomes = set()
            for turns in range(40):
                async with nothing_left():
                    client = Recorder()
                    task = asyncio.create_task(dial(server.url(host=host), client))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    if turns > 20:
                        await asyncio.sleep(0.002 * (turns - 20))
                    task.cancel()
                    try:
                        (await task).abort()
                        outcomes.add("open")
                    except asyncio.CancelledError:
                        outcomes.add("cancelled")
                    if client.opened:
                        await client.end()
                    await eventually(lambda: not server.listener._connections)  # type: ignore[attr-defined]
            assert outcomes == {"open", "cancelled"}

    run_in(run())


def test_a_dial_cancelled_while_the_answer_is_half_there_leaves_nothing() -> None:
    async def run() -> None:
        async with raw_server() as server, nothing_left():
            client = Recorder()
            task = asyncio.create_task(dial(f"ws://127.0.0.1:{server.port}/", client))
            peer, headers = await server.next()
            await peer.write(answer_101(headers)[:30])
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await peer.rest() == b""
            assert client.opened == 0
            peer.shut()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "options", "match"),
    [
        ("http://host/", {}, "url: expected"),
        ("host", {}, "url: expected"),
        ("ws:///path", {}, "url: expected"),
        ("ws://host/#secret", {}, "url: expected"),
        ("ws://host:99999/", {}, "url: expected"),
        ("ws://user:secret@host/", {}, "url: credentials"),
        ("ws://host/", {"proxy": "ftp://host"}, "proxy: expected"),
        ("ws://host/", {"headers": {"X": "a\r\nY: b"}}, "headers"),
        ("ws://host/", {"headers": {"sec-websocket-key": "x"}}, "sec-websocket-key"),
        ("ws://host/", {"headers": {"Connection": "close"}}, "connection"),
        ("ws://host/", {"ssl": object()}, "ssl: expected"),
    ],
)
def test_arguments_that_can_never_work_are_value_errors(url: str, options: dict[str, Any], match: str) -> None:
    async def run() -> None:
        async with nothing_left():
            with pytest.raises(ValueError, match=match) as caught:
                await dial(url, Recorder(), **options)
        assert "secret" not in str(caught.value)

    asyncio.run(run())


def test_the_environment_s_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def run() -> None:
        async with serving() as server:
            client = Recorder()
            (await dial(server.url(), client)).close()
            assert await client.end() == (1000, "")

    asyncio.run(run())


def test_a_host_may_be_an_ipv6_address() -> None:
    from heartline.transports import Accept, listen

    async def run() -> None:
        asked: list[str] = []
        handler = Recorder()

        def router(request: Any) -> Accept:
            asked.append(request.headers["host"])
            asked.append(request.peer)
            return Accept(handler, "heartline.1")

        listener = await listen(router, "::1", 0)
        port = listener.addresses[0][1]
        client = Recorder()
        connection = await dial(f"ws://[::1]:{port}/", client)
        assert connection.peer == f"[::1]:{port}"
        assert asked[0] == f"[::1]:{port}"
        assert asked[1].startswith("[::1]:")
        connection.close()
        await handler.end()
        await client.end()
        listener.close()
        await listener.wait_closed()

    asyncio.run(run())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> None:
        raise AssertionError("looked up")

    async def run() -> None:
        async with nothing_left():
            listener = await asyncio.start_server(lambda _, writer: writer.close(), host, 0)
            port = listener.sockets[0].getsockname()[1]
            with monkeypatch.context() as patch:
                patch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
                sock = await open_tcp(host, port)
            assert sock.getpeername()[:2] == (host, port)
            sock.close()
            listener.close()
            await listener.wait_closed()

    asyncio.run(run())


# --- several addresses ---


def _resolving_to(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    async def getaddrinfo(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


def test_an_address_that_swallows_packets_delays_the_next_only_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with serving() as server, stalled_port() as stalled, nothing_left():
            loop = asyncio.get_running_loop()
            with monkeypatch.context() as patch:
                _resolving_to(patch, stalled, server.port)
                before = loop.time()
                sock = await open_tcp("host", 1)
                assert STAGGER * 0.9 < loop.time() - before < STAGGER + 1
                assert sock.getpeername()[1] == server.port
                sock.close()

    asyncio.run(run())


def test_an_address_that_refuses_delays_the_next_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with serving() as server, nothing_left():
            loop = asyncio.get_running_loop()
            with monkeypatch.context() as patch, socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                refusing = unused.getsockname()[1]
                _resolving_to(patch, refusing, refusing, server.port)
                before = loop.time()
                sock = await open_tcp("host", 1)
                assert loop.time() - before < STAGGER
                sock.close()
                _resolving_to(patch, refusing, refusing)
                with pytest.raises(ConnectionRefusedError):
                    await open_tcp("host", 1)
                _resolving_to(patch)
                with pytest.raises(OSError, match="no address"):
                    await open_tcp("host", 1)

    asyncio.run(run())


def test_addresses_that_all_swallow_packets_are_given_up_when_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with stalled_port() as stalled, nothing_left():
            with monkeypatch.context() as patch:
                _resolving_to(patch, stalled, stalled, stalled)
                for delay in (0.01, STAGGER + 0.05):
                    task = asyncio.create_task(open_tcp("host", 1))
                    await asyncio.sleep(delay)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task

    asyncio.run(run())


def test_of_two_that_connect_one_socket_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with serving() as server, nothing_left():
            with monkeypatch.context() as patch:
                loop = asyncio.get_running_loop()
                _resolving_to(patch, server.port, server.port)
                real = loop.sock_connect

                async def slow(sock: socket.socket, where: Any) -> None:
                    await asyncio.sleep(STAGGER + 0.05)  # both are connected in the same moment, or nearly
                    await real(sock, where)

                patch.setattr(loop, "sock_connect", slow)
                patch.setattr("heartline.transports.connect.STAGGER", 0.0)
                (await open_tcp("host", 1)).close()

    asyncio.run(run())


def test_families_alternate() -> None:
    six = [(socket.AF_INET6, 1, 6, "", (str(i), 1)) for i in range(3)]
    four = [(socket.AF_INET, 1, 6, "", (str(i), 1)) for i in range(1)]
    assert interleave([*six, *four]) == [six[0], four[0], six[1], six[2]]


def test_the_stalled_port_of_these_tests_stalls() -> None:
    async def run() -> None:
        async with stalled_port() as port:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await RawPeer.connect(port)

    asyncio.run(run())


def test_a_reset_at_once_leaves_nothing_in_the_loop() -> None:
    """A server that resets what it accepts: each dial fails for that reason, and not for what the last one left."""

    def accept_and_reset(listening: socket.socket, stop: threading.Event) -> None:
        while not stop.is_set():
            accepted, _ = listening.accept()
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()

    async def main() -> set[str]:
        loop: Any = asyncio.get_running_loop()
        reasons = set()
        for _ in range(100):
            with pytest.raises(DialError) as caught:
                await dial(url, Recorder())
            reasons.add(caught.value.reason)
            left = [key for key in loop._selector.get_map().values() if "Transport" in repr(key.data)]
            assert not left
        return reasons

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        url = f"ws://127.0.0.1:{port}/"
        stop = threading.Event()
        thread = threading.Thread(target=accept_and_reset, args=(listening, stop))
        thread.start()
        try:
            reasons = asyncio.run(main())
        finally:
            stop.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()
    assert not [reason for reason in reasons if "No such file" in reason or str(port) in reason]
