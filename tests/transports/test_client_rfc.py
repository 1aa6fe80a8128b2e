"""RFC 6455's rules on the client's side: a raw server breaks them one by one."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from heartline.transports import DialError, SocketLimits, dial

from .helpers import PATIENCE, Opcode, RawPeer, Recorder, close_payload, frame_text

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class RawServer:
    """Takes connections and hands them out with their request's head read."""

    def __init__(self) -> None:
        self.peers: asyncio.Queue[tuple[RawPeer, dict[str, str]]] = asyncio.Queue()
        self.lines: list[str] = []
        self.port = 0
        self._all: list[RawPeer] = []

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer)
        self._all.append(peer)
        line, *rest = (await peer.head()).strip().split("\r\n")
        self.lines.append(line)
        headers = dict(part.split(": ", 1) for part in rest)
        self.peers.put_nowait((peer, {name.lower(): value for name, value in headers.items()}))

    async def next(self) -> tuple[RawPeer, dict[str, str]]:
        return await asyncio.wait_for(self.peers.get(), PATIENCE)

    def shut(self) -> None:
        for peer in self._all:
            peer.shut()


@asynccontextmanager
async def raw_server() -> AsyncIterator[RawServer]:
    server = RawServer()
    listening = await asyncio.start_server(server.take, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        server.shut()
        await listening.wait_closed()


def accept_value(headers: dict[str, str]) -> str:
    return base64.b64encode(hashlib.sha1((headers["sec-websocket-key"] + GUID).encode()).digest()).decode()


def answer_101(headers: dict[str, str], **changes: str | None) -> bytes:
    """The right answer, or one that differs."""
    lines: dict[str, str | None] = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_value(headers),
        "Sec-WebSocket-Protocol": headers.get("sec-websocket-protocol"),
    }
    lines |= {name.replace("_", "-"): value for name, value in changes.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode()


@asynccontextmanager
async def linked(limits: SocketLimits | None = None) -> AsyncIterator[tuple[RawPeer, Recorder]]:
    """A client link and the raw server's end of it."""
    async with raw_server() as server:
        client = Recorder()
        dialling = asyncio.create_task(dial(f"ws://127.0.0.1:{server.port}/", client, limits=limits or SocketLimits()))
        peer, headers = await server.next()
        await peer.write(answer_101(headers))
        await asyncio.wait_for(dialling, PATIENCE)
        yield peer, client
        client.socket.abort()
        await client.end()


Act = Callable[[RawPeer], Awaitable[None]]


async def _unmasked(peer: RawPeer, opcode: int, payload: bytes, **options: Any) -> None:
    await peer.send(opcode, payload, masked=False, **options)


BROKEN: dict[str, tuple[int, Act]] = {
    "a masked frame": (1002, lambda peer: peer.send(Opcode.TEXT, b"x", masked=True)),
    "a reserved bit": (1002, lambda peer: _unmasked(peer, Opcode.TEXT, b"x", rsv=4)),
    "an unknown opcode": (1002, lambda peer: _unmasked(peer, 7, b"x")),
    "a fragmented pong": (1002, lambda peer: _unmasked(peer, Opcode.PONG, b"x", fin=False)),
    "a long ping": (1002, lambda peer: _unmasked(peer, Opcode.PING, b"x" * 126)),
    "a continuation of nothing": (1002, lambda peer: _unmasked(peer, Opcode.CONTINUATION, b"x")),
    "text that is not UTF-8": (1007, lambda peer: _unmasked(peer, Opcode.TEXT, b"\xff")),
    "a message too big": (1009, lambda peer: _unmasked(peer, Opcode.TEXT, b"x" * 1001)),
    "a close code that is never sent": (1002, lambda peer: _unmasked(peer, Opcode.CLOSE, close_payload(1005))),
    "a close reason that is not UTF-8": (
        1007,
        lambda peer: _unmasked(peer, Opcode.CLOSE, close_payload(1000, b"\xff")),
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_the_server_is_told_the_code_and_so_is_the_handler(what: str) -> None:
    code, act = BROKEN[what]

    async def run() -> None:
        async with linked(SocketLimits(max_message=1000)) as (peer, client):
            await act(peer)
            await peer.write(frame_text(b"after the fault"))
            assert await peer.close_code() == code
            await peer.write(b"\x88\x02" + close_payload(code))
            peer.writer.write_eof()
            assert (await client.end())[0] == code
            assert client.events.qsize() == 1, "nothing but on_open is told"

    asyncio.run(run())


def test_what_a_client_sends_is_masked_each_frame_with_its_own_key() -> None:
    async def run() -> None:
        async with linked() as (peer, client):
            sent = [b"%d" % i * 50 for i in range(20)]
            for payload in sent:
                client.socket.send(payload)
            client.socket.send_binary(b"\xff" * 70_000)
            client.socket.ping(b"p")
            keys = []
            for payload in [*sent, b"\xff" * 70_000, b"p"]:
                header = await asyncio.wait_for(peer.reader.readexactly(2), PATIENCE)
                assert header[1] & 0x80
                extra = {126: 2, 127: 8}.get(header[1] & 0x7F, 0)
                await peer.reader.readexactly(extra)
                keys.append(key := await peer.reader.readexactly(4))
                masked = await peer.reader.readexactly(len(payload))
                assert bytes(byte ^ key[i % 4] for i, byte in enumerate(masked)) == payload
            assert len(set(keys)) == len(keys)

    asyncio.run(run())


def test_pings_are_answered_and_pongs_are_signs_of_life() -> None:
    async def run() -> None:
        async with linked() as (peer, client):
            await _unmasked(peer, Opcode.PING, b"p" * 125)
            assert await peer.frame() == (Opcode.PONG, b"p" * 125)
            await _unmasked(peer, Opcode.PONG, b"")
            await client.next("activity")
            await client.next("activity")
            with pytest.raises(ValueError, match="payload"):
                client.socket.ping(b"x" * 126)
            with pytest.raises(TypeError, match="send_framed"):
                client.socket.send_framed(frame_text(b"x"))

    asyncio.run(run())


def test_the_server_s_goodbye_is_answered_and_told() -> None:
    async def run() -> None:
        async with linked() as (peer, client):
            client.socket.send(b"before")
            await _unmasked(peer, Opcode.CLOSE, close_payload(4201, b"login refused"))
            assert await peer.frame() == (Opcode.TEXT, b"before")
            assert await peer.close_code() == 4201
            assert not client.closed.done(), "the server ends the connection"
            peer.writer.close()
            assert await client.end() == (4201, "login refused")

    asyncio.run(run())


def test_a_server_that_never_ends_the_connection_is_dropped() -> None:
    async def run() -> None:
        async with linked() as (peer, client):
            await _unmasked(peer, Opcode.CLOSE, close_payload(1012))
            assert await peer.close_code() == 1012
            assert await client.end() == (1012, "")
            assert await peer.rest() == b""

    asyncio.run(run())


def test_our_goodbye_is_answered_by_the_server() -> None:
    async def run() -> None:
        async with linked() as (peer, client):
            client.socket.send(b"last")
            client.socket.close(4007, "abandoned")
            assert await peer.frame() == (Opcode.TEXT, b"last")
            assert await peer.frame() == (Opcode.CLOSE, close_payload(4007, b"abandoned"))
            await peer.write(frame_text(b"not delivered any more"))
            await _unmasked(peer, Opcode.CLOSE, close_payload(1000, b"as you like"))
            peer.writer.close()
            assert await client.end() == (1000, "as you like")
            assert client.events.qsize() == 1

    asyncio.run(run())


def test_frames_behind_the_answer_in_one_packet_are_not_lost() -> None:
    async def run() -> None:
        async with raw_server() as server:
            client = Recorder()
            dialling = asyncio.create_task(dial(f"ws://127.0.0.1:{server.port}/", client))
            peer, headers = await server.next()
            await peer.write(answer_101(headers) + frame_text(b"a") + frame_text(b"b"))
            (await asyncio.wait_for(dialling, PATIENCE)).abort()
            assert await client.next() == ("open",)
            assert await client.text() == b"a"
            assert await client.text() == b"b"
            await client.end()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("", "/"),
        ("?q", "/?q"),
        ("/a%20b/%C3%BC", "/a%20b/%C3%BC"),
        ("/a b/ü?ü b", "/a%20b/%C3%BC?%C3%BC%20b"),
        ("/a;v=1/b;w=2?c;d", "/a;v=1/b;w=2?c;d"),
        ("//a", "//a"),
    ],
)
def test_paths_go_out_as_they_are_written(written: str, sent: str) -> None:
    async def run() -> None:
        async with raw_server() as server:
            dialling = asyncio.create_task(dial(f"ws://127.0.0.1:{server.port}{written}", Recorder()))
            await server.next()
            assert server.lines == [f"GET {sent} HTTP/1.1"]
            dialling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialling

    asyncio.run(run())


def test_the_request_is_that_of_the_rfc() -> None:
    async def run() -> None:
        async with raw_server() as server:
            url = f"ws://localhost:{server.port}/a%20b?q=1&r=ü"
            dialling = asyncio.create_task(
                dial(url, Recorder(), subprotocols=("a", "b"), headers={"Authorization": "Bearer x"})
            )
            _, headers = await server.next()
            assert server.lines == ["GET /a%20b?q=1&r=%C3%BC HTTP/1.1"]
            assert headers["host"] == f"localhost:{server.port}"
            assert headers["upgrade"] == "websocket"
            assert headers["connection"] == "Upgrade"
            assert headers["sec-websocket-version"] == "13"
            assert len(base64.b64decode(headers["sec-websocket-key"])) == 16
            assert headers["sec-websocket-protocol"] == "a, b"
            assert headers["authorization"] == "Bearer x"
            assert "sec-websocket-extensions" not in headers
            server.shut()
            with pytest.raises(DialError):
                await dialling

    asyncio.run(run())


@pytest.mark.parametrize(
    ("changes", "retryable"),
    [
        ({"Sec_WebSocket_Accept": "wrong"}, False),
        ({"Sec_WebSocket_Accept": None}, False),
        ({"Upgrade": "h2c"}, False),
        ({"Connection": "close"}, False),
        ({"Sec_WebSocket_Protocol": "never.offered"}, False),
        ({"Sec_WebSocket_Protocol": None}, False),
        ({"Sec_WebSocket_Extensions": "permessage-deflate"}, False),
    ],
)
def test_a_wrong_answer_is_no_link(changes: dict[str, str | None], retryable: bool) -> None:
    async def run() -> None:
        async with raw_server() as server:
            client = Recorder()
            dialling = asyncio.create_task(dial(f"ws://127.0.0.1:{server.port}/", client))
            peer, headers = await server.next()
            await peer.write(answer_101(headers, **changes))
            with pytest.raises(DialError) as caught:
                await dialling
            assert caught.value.status == 101
            assert caught.value.retryable == retryable
            assert client.opened == 0
            assert await peer.rest() == b"", "the connection is closed"

    asyncio.run(run())


def test_without_subprotocols_offered_none_is_wanted() -> None:
    async def run() -> None:
        async with raw_server() as server:
            client = Recorder()
            dialling = asyncio.create_task(dial(f"ws://127.0.0.1:{server.port}/", client, subprotocols=()))
            peer, headers = await server.next()
            assert "sec-websocket-protocol" not in headers
            await peer.write(answer_101(headers))
            socket = await dialling
            assert socket.subprotocol is None
            assert socket.request is None
            socket.abort()
            await client.end()

    asyncio.run(run())
