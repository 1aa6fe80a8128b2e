"""`connect`: what it refuses, what it tells the server, and the ways through the network."""

import asyncio
import ssl
from typing import Any

import pytest
import trustme

import heartline
from heartline import ClientPolicy, LoginRefused, OutboxLimits, Request, State
from heartline.client.options import Options
from heartline.transports.api import Accept, Respond, SocketLimits

from .conftest import Run
from .world import QUICK, until, until_state, world


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"url": "http://host/"}, ValueError, "url: expected a URL that begins with ws:// or wss://"),
        ({"url": "ws://"}, ValueError, "url: expected a URL"),
        ({"url": "ws://host:port/"}, ValueError, "url: expected a URL"),
        ({"url": b"ws://host/"}, TypeError, "url: expected a string"),
        ({"url": "ws://user:secret@host/"}, ValueError, "url: credentials"),
        ({"url": "ws://host/#part"}, ValueError, "url: a fragment"),
        ({"proxy": "ftp://host/"}, ValueError, "proxy: expected a URL"),
        ({"ssl": True}, TypeError, "ssl: expected an ssl.SSLContext"),
        ({"ssl": ssl.create_default_context()}, ValueError, "ssl: expected None for a ws:// URL"),
        ({"headers": {"a b": "c"}}, ValueError, "headers: 'a b' is not a header name"),
        ({"headers": {"A": "b\r\nC: d"}}, ValueError, "headers: the value of 'A'"),
        ({"login": object()}, TypeError, "login: cannot be written as JSON"),
        ({"outbox": 7}, TypeError, "outbox: expected"),
        ({"policy": {}}, TypeError, "policy: expected a ClientPolicy"),
        ({"linger": -1}, ValueError, "linger: expected seconds"),
    ],
)
def test_connect_refuses_nonsense(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        heartline.connect(**{"url": "ws://host/", **arguments})
    assert "secret" not in str(caught.value)


def test_options_hide_secrets() -> None:
    options = Options(
        url="ws://host/?token=secret", policy=ClientPolicy(), login="secret", headers={"Authorization": "secret"}
    )
    assert "secret" not in repr(options)
    assert "secret" not in repr(heartline.connect("ws://host/?token=secret", login="secret"))


def test_outbox_limits_go_into_the_policy() -> None:
    conn = heartline.connect("ws://host/", policy=QUICK, outbox=OutboxLimits(messages=7))
    policy = conn._shell.options.policy
    assert policy.outbox == OutboxLimits(messages=7)
    assert policy.heartbeat == QUICK.heartbeat
    assert policy.back_off == QUICK.back_off


def test_the_client_introduces_itself(run: Run) -> None:
    requests: list[Request] = []

    def declare(app: heartline.Server) -> None:
        @app.login
        def login(payload: Any, request: Request) -> str:
            requests.append(request)
            return "ann"

    async def main() -> None:
        async with world(declare=declare) as w:
            count = 0

            async def headers() -> dict[str, str]:
                nonlocal count
                count += 1
                return {"X-Link": str(count)}

            async with w.connect(headers={"X-Plain": "yes"}) as conn:
                await conn.connected(5)
            async with w.connect(headers=headers, name="tests", version="7") as conn:
                await conn.connected(5)
                w.proxy.cut_all()
                await until(lambda: len(requests) == 3)
            assert requests[0].headers["x-plain"] == "yes"
            assert [request.headers["x-link"] for request in requests[1:]] == ["1", "2"]
            assert dict(conn._shell.options.about) == {"name": "tests", "version": "7"}

    run(main())


def test_tls(run: Run) -> None:
    async def main() -> None:
        authority = trustme.CA()
        serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(serving)
        authority.configure_trust(trusting)
        async with world(ssl=serving) as w:
            url = w.proxy.url("wss")
            async with heartline.connect(url, ssl=trusting, policy=QUICK) as conn:
                for i in range(3):
                    assert await conn.request("echo", i) == i
                    w.proxy.cut_all()
            async with heartline.connect(url, policy=QUICK, linger=0.0) as conn:
                reasons: list[str] = []
                conn.on_state(lambda change: reasons.append(change.reason))
                await until(lambda: len(reasons) > 1)
                assert any("certificate is not trusted" in reason for reason in reasons)

    run(main())


def test_through_a_proxy(run: Run) -> None:
    """An HTTP proxy that opens a tunnel (CONNECT)."""
    asked: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        host, port = head.split()[1].decode().split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)

    async def main() -> None:
        async with world() as w:
            proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
            port = proxy.sockets[0].getsockname()[1]
            async with heartline.connect(w.url, policy=QUICK, proxy=f"http://127.0.0.1:{port}/") as conn:
                assert await conn.request("echo", 1) == 1
            host, target = w.proxy.address
            assert asked == [f"CONNECT {host}:{target} HTTP/1.1".encode()]
            proxy.close()
            await until(lambda: len(asyncio.all_tasks()) < 20)

    run(main())


@pytest.mark.parametrize(("status", "refused"), [(401, True), (403, True), (404, True), (429, False), (503, False)])
def test_http_refusals(run: Run, status: int, refused: bool) -> None:
    async def main() -> None:
        from heartline.transports import listen

        def router(request: Request) -> Accept | Respond:
            return Respond(status)

        listener = await listen(router, "127.0.0.1", 0, limits=SocketLimits())
        port = listener.addresses[0][1]
        async with heartline.connect(f"ws://127.0.0.1:{port}/", policy=QUICK) as conn:
            await until_state(conn, State.REFUSED if refused else State.WAITING)
            if status in {401, 403}:
                with pytest.raises(LoginRefused, match=str(status)):
                    await conn.connected(5)
            elif refused:
                with pytest.raises(heartline.ConnectionClosed, match=str(status)):
                    await conn.connected(5)
        listener.close()
        await listener.wait_closed()

    run(main())


def test_headers_that_a_function_gets_wrong_are_refused_for_good(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect(headers=lambda: {"Connection": "close"}) as conn:
            with pytest.raises(heartline.ConnectionClosed, match="headers: connection are set by the transport"):
                await conn.connected(5)

    run(main())


def test_a_trace_that_fails_harms_nothing(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def trace(now: float, what: str, details: dict[str, object]) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        async with world() as w, w.connect(trace=trace) as conn:
            assert await conn.request("echo", 1) == 1

    run(main())
    assert "trace= raised" in caplog.text
