"""Dialling through proxies: a small HTTP CONNECT proxy and a small SOCKS 5 proxy stand here."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme

from heartline.transports import DialError, dial

from .helpers import Recorder, serving
from .test_dial import nothing_left

Handshake = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[tuple[str, int] | None]]


@asynccontextmanager
async def proxying(handshake: Handshake) -> AsyncIterator[int]:
    """A proxy's port. `handshake` says where to, or None after it has refused."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            where = await handshake(reader, writer)
            if where is not None:
                far_reader, far_writer = await asyncio.open_connection(*where)
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # also when cancelled: asyncio's streams log a handler that was
        finally:
            writer.close()
            running.discard(task)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await listening.wait_closed()


class Connect:
    """RFC 9110 §9.3.6."""

    def __init__(self, refuse: bytes = b"", silent: bool = False) -> None:
        self.heads: list[bytes] = []
        self.refuse = refuse
        self.silent = silent

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int] | None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        if self.silent:
            await reader.read()
            return None
        if self.refuse:
            writer.write(self.refuse)
            await writer.drain()
            return None
        assert head.startswith(b"CONNECT ")
        host, port = head.split(b" ")[1].decode().rsplit(":", 1)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return host, int(port)


async def socks5(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """RFC 1928, without authentication."""
    _, count = await reader.readexactly(2)
    await reader.readexactly(count)
    writer.write(b"\x05\x00")
    _, _, _, kind = await reader.readexactly(4)
    if kind == 1:
        host = ".".join(map(str, await reader.readexactly(4)))
    else:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    (port,) = struct.unpack("!H", await reader.readexactly(2))
    writer.write(b"\x05\x00\x00\x01" + bytes(6))
    return host, port


async def _echoes(url: str, proxy: str, tls: ssl.SSLContext | None = None) -> None:
    client = Recorder()
    connection = await dial(url, client, proxy=proxy, ssl=tls)
    connection.send(b"through")
    assert await client.text() == b"through"
    connection.close()
    assert await client.end() == (1000, "")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_link_leads_through_a_proxy(scheme: str, kind: str) -> None:
    async def run() -> None:
        authority = trustme.CA()
        ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        theirs = ssl.create_default_context()
        authority.issue_cert("localhost").configure_cert(ours)
        authority.configure_trust(theirs)
        tls = scheme == "wss"
        connect = Connect()
        serve = serving(echo=True, ssl=ours if tls else None)
        async with serve as server, nothing_left(), proxying(connect if kind == "http" else socks5) as port:
            url = server.url(scheme=scheme, host="localhost")
            await _echoes(url, f"{kind}://127.0.0.1:{port}", theirs if tls else None)

    asyncio.run(run())


def test_credentials_go_to_the_proxy_and_not_to_the_server() -> None:
    async def run() -> None:
        connect = Connect()
        async with serving(echo=True) as server, proxying(connect) as port:
            await _echoes(server.url(), f"http://user:pa%3Ass@127.0.0.1:{port}")
            assert b"Proxy-Authorization: Basic dXNlcjpwYTpzcw==\r\n" in connect.heads[0]
            assert "proxy-authorization" not in server.requests[0].headers

    asyncio.run(run())


@pytest.mark.parametrize(
    "refusal",
    [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"nonsense\r\n\r\n"],
)
def test_a_proxy_that_refuses_is_told(refusal: bytes) -> None:
    async def run() -> None:
        async with proxying(Connect(refusal)) as port, nothing_left():
            with pytest.raises(DialError, match="proxy") as caught:
                await dial("ws://localhost:1/", Recorder(), proxy=f"http://user:secret@127.0.0.1:{port}")
            assert caught.value.retryable
            assert "secret" not in caught.value.reason

    asyncio.run(run())


def test_a_proxy_that_is_not_there_is_told() -> None:
    async def run() -> None:
        async with nothing_left():
            for scheme in ("http", "socks5", "socks4"):
                with pytest.raises(DialError):
                    await dial("ws://localhost:1/", Recorder(), proxy=f"{scheme}://127.0.0.1:1")

    asyncio.run(run())


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_dial_cancelled_at_the_proxy_leaves_nothing(scheme: str) -> None:
    async def run() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        async with proxying(silent) as port, nothing_left():
            proxy = f"{scheme}://127.0.0.1:{port}"
            task = asyncio.create_task(dial("ws://localhost:1/", Recorder(), proxy=proxy))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(DialError, match="no connection within"):
                await dial("ws://localhost:1/", Recorder(), proxy=proxy, timeout=0.1)

    asyncio.run(run())
