"""What a port answers that is no WebSocket, or not yet."""

import asyncio
import contextlib
import time

import pytest

from heartline.transports import Accept, Request, Respond, SocketLimits

from .helpers import UPGRADE, Opcode, RawPeer, Recorder, eventually, serving


async def _ask(port: int, line: str = "GET / HTTP/1.1", headers: dict[str, str] | None = None) -> tuple[str, bytes]:
    """One request; the head and the body of its answer."""
    async with await RawPeer.connect(port) as peer:
        await peer.request(line, UPGRADE if headers is None else headers)
        return await peer.head(), await peer.rest()


def test_plain_requests_are_answered_beside_websockets() -> None:
    async def run() -> None:
        def router(request: Request) -> Accept | Respond:
            if request.path == "/health":
                return Respond(200, b"fine", headers={"Cache-Control": "no-store"})
            if request.path == "/empty":
                return Respond(204)
            if request.path == "/page":
                return Respond(200, b"<p>" * 100_000, "text/html")
            if request.is_upgrade:
                return Accept(Recorder(echo=True))
            return Respond(404, b"no such page")

        async with serving(router) as server:
            plain = {"Host": "x"}
            head, body = await _ask(server.port, "GET /health?x=1 HTTP/1.1", plain)
            assert head.startswith("HTTP/1.1 200 OK\r\n")
            assert "content-type: text/plain; charset=utf-8\r\n" in head.lower()
            assert "content-length: 4\r\n" in head.lower()
            assert "connection: close\r\n" in head.lower()
            assert "cache-control: no-store\r\n" in head.lower()
            assert body == b"fine"
            assert (await _ask(server.port, "GET /page HTTP/1.1", plain))[1] == b"<p>" * 100_000
            head, body = await _ask(server.port, "GET /empty HTTP/1.1", plain)
            assert head.startswith("HTTP/1.1 204")
            assert not body
            assert (await _ask(server.port, "GET /else HTTP/1.1", plain))[0].startswith("HTTP/1.1 404")
            async with await RawPeer.upgraded(server.port) as peer:
                await peer.send(Opcode.TEXT, b"hi")
                assert await peer.frame() == (Opcode.TEXT, b"hi")
                assert server.listener.links == 1

    asyncio.run(run())


def test_the_router_sees_the_request() -> None:
    async def run() -> None:
        async with serving() as server:
            async with await RawPeer.connect(server.port) as peer:
                offered = {"Sec-WebSocket-Protocol": "other, heartline.1", "X-Token": "t"}
                await peer.request("GET /a%20b/c?q=%2F&r=?# HTTP/1.1", UPGRADE | offered)
                head = await peer.head()
                local = peer.writer.get_extra_info("sockname")
            request = server.requests[0]
            assert request.path == "/a%20b/c"
            assert request.query == "q=%2F&r=?#"
            assert request.headers["x-token"] == "t"
            assert request.peer == f"127.0.0.1:{local[1]}"
            assert request.is_upgrade
            assert request.subprotocols == ("other", "heartline.1")
            assert "Sec-WebSocket-Protocol: heartline.1\r\n" in head
            link = await server.link()
            assert link.socket.request is request
            assert link.socket.subprotocol == "heartline.1"
            assert link.socket.peer == request.peer

    asyncio.run(run())


def test_a_target_may_be_a_whole_url() -> None:
    async def run() -> None:
        async with serving() as server:
            assert (await _ask_101(server.port, "GET http://host:1/x?y HTTP/1.1", UPGRADE)).startswith("HTTP/1.1 101")
            assert (await _ask_101(server.port, "GET https://host HTTP/1.1", UPGRADE)).startswith("HTTP/1.1 101")
            assert [(r.path, r.query) for r in server.requests] == [("/x", "y"), ("/", "")]
            assert (await _ask(server.port, "GET * HTTP/1.1"))[0].startswith("HTTP/1.1 400")

    asyncio.run(run())


async def _ask_101(port: int, line: str, headers: dict[str, str]) -> str:
    async with await RawPeer.connect(port) as peer:
        await peer.request(line, headers)
        return await peer.head()


@pytest.mark.parametrize(
    "headers",
    [
        {"Connection": "keep-alive, Upgrade"},  # Firefox
        {"Connection": "Upgrade, keep-alive"},
        {"Connection": "upgrade"},
        {"Upgrade": "WebSocket"},
        {"Upgrade": "h2c, websocket"},
    ],
)
def test_connection_and_upgrade_may_be_lists(headers: dict[str, str]) -> None:
    async def run() -> None:
        async with serving(echo=True) as server, await RawPeer.upgraded(server.port, **headers) as peer:
            await peer.send(Opcode.TEXT, b"hi")
            assert await peer.frame() == (Opcode.TEXT, b"hi")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Sec-WebSocket-Key": "tooshort"}, 400),
        ({"Sec-WebSocket-Key": "ß"}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Host": None}, 400),
        ({"Sec-WebSocket-Version": "12"}, 426),
        ({"Sec-WebSocket-Version": None}, 426),
        ({"Upgrade": None}, 426),  # no upgrade at all, and the router accepts
        ({"Upgrade": "h2c"}, 426),
        ({"Connection": "keep-alive"}, 426),
        ({"Connection": None}, 426),
        ({"Transfer-Encoding": "chunked"}, 400),
        ({"Content-Length": "5"}, 400),
    ],
)
def test_every_upgrade_is_checked_before_a_link_is_made(change: dict[str, str | None], status: int) -> None:
    async def run() -> None:
        async with serving() as server:
            headers = {name: value for name, value in (UPGRADE | change).items() if value is not None}
            head, _ = await _ask(server.port, headers=headers)
            assert head.startswith(f"HTTP/1.1 {status} ")
            if "Sec-WebSocket-Version" in change:
                assert "Sec-WebSocket-Version: 13\r\n" in head
            assert server.listener.links == 0
            assert all(link.opened == 0 for link in server.links)

    asyncio.run(run())


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_only_get_is_known(method: str) -> None:
    async def run() -> None:
        async with serving() as server:
            head, _ = await _ask(server.port, f"{method} / HTTP/1.1")
            assert head.startswith("HTTP/1.1 400 ")
            assert not server.requests

    asyncio.run(run())


def test_a_router_that_raises_is_answered_500_without_a_word_of_why(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        def router(request: Request) -> Accept:
            if request.path == "/raise":
                raise RuntimeError("database password is hunter2")
            if request.path == "/type":
                return None  # type: ignore[return-value]
            return Accept(Recorder(), "never.offered")

        async with serving(router) as server:
            for path in ("/raise", "/type", "/subprotocol"):
                head, body = await _ask(server.port, f"GET {path} HTTP/1.1")
                assert head.startswith("HTTP/1.1 500 ")
                assert body == b"internal error\n"
            assert server.listener.links == 0

    asyncio.run(run())
    assert "hunter2" in caplog.text
    assert "never.offered" in caplog.text


def test_a_handshake_that_never_comes_is_dropped() -> None:
    async def run() -> None:
        async with serving(limits=SocketLimits(handshake_timeout=0.2)) as server:
            async with await RawPeer.connect(server.port) as silent, await RawPeer.connect(server.port) as half:
                await half.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
                before = time.monotonic()
                assert await silent.rest() == b""
                assert await half.rest() == b""
                assert time.monotonic() - before < 3
            assert not server.requests
            async with await RawPeer.upgraded(server.port) as peer:  # a link is not under that limit
                link = await server.link()
                await asyncio.sleep(0.4)
                await peer.send(Opcode.TEXT, b"late")
                assert await link.text() == b"late"

    asyncio.run(run())


def test_a_peer_that_does_not_take_its_answer_is_dropped() -> None:
    async def run() -> None:
        body = bytes(32 << 20)
        limits = SocketLimits(handshake_timeout=0.3)
        asked = asyncio.Event()

        def router(request: Request) -> Respond:
            asked.set()
            return Respond(200, body)

        async with serving(router, limits=limits) as server, await RawPeer.connect(server.port) as peer:
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await peer.request("GET / HTTP/1.1", {"Host": "x"})
            await asked.wait()
            assert server.listener._connections == 1  # type: ignore[attr-defined]
            await eventually(lambda: server.listener._connections == 0, 3)  # type: ignore[attr-defined]

    asyncio.run(run())


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)) + b"\r\n\r\n",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nbroken\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 20_000 + b"\r\n\r\n",
        b"x" * 20_000,
    ],
)
def test_rubbish_before_the_handshake_ends_only_its_own_connection(rubbish: bytes) -> None:
    async def run() -> None:
        async with serving(echo=True) as server, await RawPeer.upgraded(server.port) as good:
            async with await RawPeer.connect(server.port) as peer:
                try:
                    await peer.write(rubbish)
                    answer = await peer.rest()
                except ConnectionResetError:
                    answer = b""
                assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
            await good.send(Opcode.TEXT, b"unharmed")
            assert await good.frame() == (Opcode.TEXT, b"unharmed")
            assert server.listener.links == 1

    asyncio.run(run())


def test_at_max_links_an_upgrade_is_answered_503_and_a_plain_request_is_served() -> None:
    async def run() -> None:
        def router(request: Request) -> Accept | Respond:
            return Accept(Recorder()) if request.is_upgrade else Respond(200, b"fine")

        async with serving(router, limits=SocketLimits(max_links=2)) as server:
            async with await RawPeer.upgraded(server.port) as first, await RawPeer.upgraded(server.port):
                assert server.listener.links == 2
                assert (await _ask(server.port))[0].startswith("HTTP/1.1 503 ")
                assert (await _ask(server.port, headers={"Host": "x"}))[1] == b"fine"
                await first.send(Opcode.CLOSE, b"\x03\xe8")
                await first.rest()
                await eventually(lambda: server.listener.links == 1)
                async with await RawPeer.upgraded(server.port):
                    assert server.listener.links == 2

            await eventually(lambda: server.listener.links == 0)

    asyncio.run(run())


def test_close_stops_accepting_and_leaves_links_to_their_owner() -> None:
    async def run() -> None:
        async with serving(echo=True) as server, await RawPeer.upgraded(server.port) as peer:
            port = server.port
            link = await server.link()
            async with await RawPeer.connect(port) as waiting:
                await waiting.write(b"GET /")
                await eventually(lambda: server.listener._waiting)  # type: ignore[attr-defined]
                server.listener.close()
                server.listener.close()
                assert server.listener.addresses == []
                with contextlib.suppress(ConnectionResetError):
                    assert await waiting.rest() == b""
            with pytest.raises(ConnectionRefusedError):
                await RawPeer.connect(port)
            await peer.send(Opcode.TEXT, b"still here")
            assert await peer.frame() == (Opcode.TEXT, b"still here")
            over = asyncio.create_task(server.listener.wait_closed())
            await asyncio.sleep(0.05)
            assert not over.done()
            link.socket.abort()
            await asyncio.wait_for(over, 5)

    asyncio.run(run())


def test_listen_wants_a_port_or_a_socket() -> None:
    async def run() -> None:
        from heartline.transports import listen

        with pytest.raises(ValueError, match="port, sock"):
            await listen(lambda request: Respond(), "127.0.0.1")

    asyncio.run(run())


def test_a_socket_can_be_given_and_a_port_be_shared() -> None:
    async def run() -> None:
        import socket

        from heartline.transports import listen

        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            listener = await listen(lambda request: Respond(200, b"given"), sock=sock)
            assert (await _ask(listener.addresses[0][1], headers={"Host": "x"}))[1] == b"given"
            listener.close()
            await listener.wait_closed()
        first = await listen(lambda request: Respond(), "127.0.0.1", 0, reuse_port=True)
        second = await listen(lambda request: Respond(), "127.0.0.1", first.addresses[0][1], reuse_port=True)
        with pytest.raises(OSError, match="address already in use"):
            await listen(lambda request: Respond(), "127.0.0.1", first.addresses[0][1])
        first.close()
        second.close()

    asyncio.run(run())
