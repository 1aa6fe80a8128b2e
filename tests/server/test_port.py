"""What the port answers: links, pages, health, refusals; TLS and IPv6."""

import asyncio
import json
import logging
import ssl
from typing import Any

import pytest
import trustme

from heartline import Request, Respond
from heartline.server import Address
from heartline.server.origins import Origins
from heartline.transports import DialError

from .raw import PATIENCE, greeted, make_app, on_loop, raw


async def get(address: Address, path: str = "/", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """A plain GET: status, headers, body."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    lines = [f"GET {path} HTTP/1.1", f"Host: {address.host}", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    return int(status.split()[1]), {f.split(":")[0].lower(): f.split(":", 1)[1].strip() for f in fields}, body


async def refusal(address: Address, **options: Any) -> int | None:
    """The HTTP status with which a dial is refused; None when it is not."""
    try:
        async with raw(address, **options):
            return None
    except DialError as error:
        return error.status


# --- pages ------------------------------------------------------------------------------------------


@on_loop
async def test_pages_share_the_port(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()

    @app.page("/")
    def home(request: Request) -> str:
        return f"<h1>{request.path} {request.query}</h1>"

    @app.page("/data")
    def data(request: Request) -> bytes:
        return b"\x00\x01"

    @app.page("/full")
    def full(request: Request) -> Respond:
        return Respond(404, b"{}", "application/json", {"X-Why": "because"})

    @app.page("/boom")
    def boom(request: Request) -> str:
        raise RuntimeError("hunter2")

    @app.page("/odd")
    def odd(request: Request) -> int:
        return 5

    async with app.serving() as address, greeted(address):
        status, headers, body = await get(address, "/?a=1")
        assert (status, headers["content-type"], body) == (200, "text/html; charset=utf-8", b"<h1>/ a=1</h1>")
        assert (await get(address, "/data"))[1:][0]["content-type"] == "application/octet-stream"
        status, headers, body = await get(address, "/full")
        assert (status, headers["x-why"], headers["content-type"], body) == (404, "because", "application/json", b"{}")
        for path in ("/boom", "/odd"):
            status, _, body = await get(address, path)
            assert (status, body) == (500, b"internal error\n")
        assert (await get(address, "/nope"))[0] == 404
    assert "hunter2" in caplog.text


def test_pages_are_checked() -> None:
    app = make_app()

    async def later(request: Request) -> str:
        return ""

    with pytest.raises(ValueError, match="path must begin with '/', not 'x'"):
        app.page("x")
    with pytest.raises(TypeError, match="must be an ordinary function"):
        app.page("/x")(later)
    app.page("/y")(lambda request: "")
    with pytest.raises(ValueError, match="page '/y' is there already"):
        app.page("/y")
    with pytest.raises(ValueError, match="path must begin"):
        make_app(path="x")


@on_loop
async def test_health_tells_counts_only() -> None:
    app = make_app()
    app.login(lambda payload: "ann")
    async with app.serving() as address, greeted(address):
        status, headers, body = await get(address, "/health")
        assert (status, headers["content-type"]) == (200, "application/json")
        assert json.loads(body) == {
            "status": "ok",
            "links": 1,
            "sessions": 1,
            "detached": 0,
            "channels_followed": 1,
            "messages_started": 0,
            "entries_published": 0,
        }
    app.page("/health")(lambda request: "fine")
    async with app.serving() as address:
        assert (await get(address, "/health"))[2] == b"fine"


@on_loop
async def test_the_address_for_links() -> None:
    app = make_app(path="/ws")
    async with app.serving() as address:
        assert address.url == f"ws://127.0.0.1:{address.port}/ws"
        assert address.http_url == f"http://127.0.0.1:{address.port}/"
        assert await refusal(address) is None
        status, headers, _ = await get(address, "/ws")
        assert (status, headers["upgrade"]) == (426, "websocket")
        for path in ("/", "/ws/", "/WS", "/nope"):
            with pytest.raises(DialError) as found:
                async with raw(f"ws://{address.host}:{address.port}{path}"):
                    pass
            assert found.value.status == 404


@on_loop
async def test_subprotocols() -> None:
    app = make_app()
    app.on("x")(lambda data: data)
    async with app.serving() as address:
        for offer, chosen in ((("heartline.1",), "heartline.1"), (("chat", "heartline.1"), "heartline.1"), ((), None)):
            async with raw(address, subprotocols=offer) as link:
                assert link.socket is not None
                assert link.socket.subprotocol == chosen
                assert await link.call(1, "x", 1) == 1
        assert await refusal(address, subprotocols=("heartline.2", "chat")) == 400


# --- origins ----------------------------------------------------------------------------------------


@on_loop
async def test_foreign_origins_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    app = make_app()
    async with app.serving() as address:
        own = f"http://{address.host}:{address.port}"
        for origin in (own, own.upper().replace("HTTP", "http"), own.replace("http", "https")):
            assert await refusal(address, headers={"Origin": origin}) is None, origin
        assert await refusal(address) is None, "a program that is no browser sends none"
        for origin in (
            "https://evil.example",
            "null",
            "",
            f"http://{address.host}",
            f"http://{address.host}:{address.port + 1}",
            f"http://{address.host}.evil.example:{address.port}",
            f"http://evil.example/{address.host}:{address.port}",
            f"http://{address.host}:{address.port}@evil.example",
            "http://[",
            "http://a:b",
            "http://x:99999",
            "file://",
            "chrome-extension://abc",
        ):
            assert await refusal(address, headers={"Origin": origin}) == 403, origin
        status, _, _body = await get(address, "/health", Origin="https://evil.example")
        assert status == 200, "pages are no links"
    assert "a page of another origin was refused" in caplog.text
    assert "evil" not in caplog.text


@on_loop
async def test_origins_that_are_allowed() -> None:
    async def allowed(origins: Any, origin: str) -> bool:
        app = make_app(origins=origins)
        async with app.serving() as address:
            return await refusal(address, headers={"Origin": origin}) is None

    assert await allowed("*", "https://anything.example")
    assert await allowed("*", "null")
    assert await allowed(["https://a.example", "*"], "https://b.example")
    assert await allowed("https://a.example", "https://a.example")
    assert await allowed(["https://a.example/", "http://b.example:8080"], "https://a.example")
    assert await allowed(["https://a.example:443"], "https://a.example")
    assert await allowed(["https://A.example"], "https://a.example:443")
    assert not await allowed(["https://a.example"], "http://a.example")
    assert not await allowed(["https://a.example"], "https://a.example:8443")
    assert not await allowed(["https://a.example"], "https://b.a.example")
    assert not await allowed(["https://a.example"], "https://a.example.evil.example")


def test_own_hosts_with_and_without_the_usual_port() -> None:
    def may(origin: str, host: str) -> bool:
        return Origins(()).allow(Request("/", headers={"origin": origin, "host": host}))  # type: ignore[arg-type]

    assert may("https://a.example", "a.example")
    assert may("https://a.example", "a.example:443")
    assert may("http://a.example:80", "a.example")
    assert may("http://[::1]:8000", "[::1]:8000")
    assert not may("https://a.example", "a.example:80")
    assert not may("https://a.example", "")
    assert not may("https://a.example", "b.example")


def test_origins_are_checked_early() -> None:
    for bad in ("example.com", "https://", "https://a/b", "ftp://x", "https://u@x", None, 5):
        with pytest.raises(ValueError, match="origins: expected such as"):
            make_app(origins=[bad])


# --- TLS, addresses ---------------------------------------------------------------------------------


@on_loop
async def test_tls() -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    app = make_app()
    app.on("x")(lambda data: data)
    async with app.serving(ssl=server) as address:
        assert (address.secure, address.url) == (True, f"wss://127.0.0.1:{address.port}/")
        assert address.http_url.startswith("https://")
        async with raw(address, ssl=client) as link:
            welcome = await link.hello()
            assert await link.call(1, "x", "y" * 100_000) == "y" * 100_000
        async with raw(address, ssl=client) as link:
            assert (await link.resume(welcome))["resumed"]
        with pytest.raises(DialError):
            async with raw(address):  # nobody trusts that certificate by default
                pass
        with pytest.raises(DialError):
            async with raw(f"ws://127.0.0.1:{address.port}/"):
                pass
        async with raw(address, ssl=client) as link:
            assert (await link.resume(welcome))["resumed"], "others are not harmed"


@on_loop
async def test_ipv6() -> None:
    app = make_app()
    app.on("x")(lambda data: data)
    async with app.serving("::1") as address:
        assert address.url == f"ws://[::1]:{address.port}/"
        async with greeted(address) as link:
            assert await link.call(1, "x", 1) == 1
        assert await refusal(address, headers={"Origin": f"http://[::1]:{address.port}"}) is None


@on_loop
async def test_a_port_that_is_taken() -> None:
    one, two = make_app(), make_app()
    async with one.serving() as address:
        with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
            async with two.serving(port=address.port):
                pass
        async with greeted(address):
            pass
    async with two.serving(port=address.port) as address, greeted(address):
        pass


@on_loop
async def test_processes_may_share_a_port() -> None:
    one, two = make_app(), make_app()
    async with one.serving(reuse_port=True) as address, two.serving(port=address.port, reuse_port=True) as same:
        assert same == address
        async with greeted(address):
            assert one.stats().links + two.stats().links == 1


@on_loop
async def test_one_server_serves_once() -> None:
    app = make_app()
    async with app.serving():
        with pytest.raises(RuntimeError, match="serving already"):
            async with app.serving():
                pass
