"""RFC 6455's rules on the server's side, each broken by hand over a raw connection."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from heartline.transports import SocketLimits

from .helpers import Opcode, RawPeer, Recorder, close_payload, frame_text, serving

Peer = Callable[[RawPeer], Awaitable[None]]


async def _break(peer_does: Peer, *, max_message: int = 1 << 20) -> tuple[int, tuple[int, str], Recorder]:
    """What a misbehaving peer is told, what the handler is told, and the handler."""
    async with serving(limits=SocketLimits(max_message=max_message)) as server:
        async with await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            await peer_does(peer)
            code = await peer.close_code()
            await peer.send(Opcode.CLOSE, close_payload(code))
            assert await peer.rest() == b"", "nothing follows the close frame"
        return code, await link.end(), link


BROKEN: dict[str, tuple[int, Peer]] = {
    "an unmasked frame": (1002, lambda peer: peer.send(Opcode.TEXT, b"x", masked=False)),
    "a reserved bit": (1002, lambda peer: peer.send(Opcode.TEXT, b"x", rsv=4)),
    "the second reserved bit": (1002, lambda peer: peer.send(Opcode.TEXT, b"x", rsv=2)),
    "the third reserved bit": (1002, lambda peer: peer.send(Opcode.TEXT, b"x", rsv=1)),
    "a reserved bit on a ping": (1002, lambda peer: peer.send(Opcode.PING, b"x", rsv=1)),
    "a reserved bit on a close frame": (1002, lambda peer: peer.send(Opcode.CLOSE, b"\x03\xe8", rsv=1)),
    "an unknown data opcode": (1002, lambda peer: peer.send(3, b"x")),
    "an unknown control opcode": (1002, lambda peer: peer.send(11, b"x")),
    "a fragmented ping": (1002, lambda peer: peer.send(Opcode.PING, b"x", fin=False)),
    "a long ping": (1002, lambda peer: peer.send(Opcode.PING, b"x" * 126)),
    "a long close frame": (1002, lambda peer: peer.send(Opcode.CLOSE, close_payload(1000, b"x" * 124))),
    "a continuation of nothing": (1002, lambda peer: peer.send(Opcode.CONTINUATION, b"x")),
    "text that is not UTF-8": (1007, lambda peer: peer.send(Opcode.TEXT, b"\xce\xba\xff")),
    "a close code that is never sent": (1002, lambda peer: peer.send(Opcode.CLOSE, close_payload(1006))),
    "a close code below 1000": (1002, lambda peer: peer.send(Opcode.CLOSE, close_payload(999))),
    "a close code above 4999": (1002, lambda peer: peer.send(Opcode.CLOSE, close_payload(5000))),
    "half a close code": (1002, lambda peer: peer.send(Opcode.CLOSE, b"\x03")),
    "a close reason that is not UTF-8": (1007, lambda peer: peer.send(Opcode.CLOSE, close_payload(1000, b"\xff"))),
    "a length in a form too long": (1002, lambda peer: peer.write(b"\x81\xfe\x00\x05abcd" + b"x" * 5)),
    "a length with its highest bit": (1002, lambda peer: peer.write(b"\x81\xff" + b"\xff" * 8 + b"abcd")),
}


@pytest.mark.parametrize("what", BROKEN)
def test_the_peer_is_told_the_code_and_so_is_the_handler(what: str) -> None:
    code, act = BROKEN[what]

    async def run() -> None:
        async def peer_does(peer: RawPeer) -> None:
            await act(peer)
            await peer.send(Opcode.TEXT, b"after the fault")

        told, (ended, _), link = await _break(peer_does)
        assert told == ended == code
        assert link.events.qsize() == 1, "nothing but on_open is told"

    asyncio.run(run())


def test_a_message_inside_another_is_refused() -> None:
    async def run() -> None:
        async def peer_does(peer: RawPeer) -> None:
            await peer.send(Opcode.TEXT, b"a", fin=False)
            await peer.send(Opcode.TEXT, b"b")

        assert (await _break(peer_does))[0] == 1002

    asyncio.run(run())


def test_text_is_refused_before_its_last_fragment() -> None:
    async def run() -> None:
        async def peer_does(peer: RawPeer) -> None:
            await peer.send(Opcode.TEXT, "κόσ".encode()[:-1], fin=False)
            await peer.send(Opcode.CONTINUATION, b"\xff", fin=False)

        assert (await _break(peer_does))[0] == 1007

    asyncio.run(run())


def test_control_frames_are_served_inside_a_fragmented_message() -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            await peer.send(Opcode.TEXT, b"gr", fin=False)
            await peer.send(Opcode.PING, b"still there?")
            await peer.send(Opcode.CONTINUATION, "ü".encode()[:1], fin=False)
            await peer.send(Opcode.PONG, b"unasked")
            assert await peer.frame() == (Opcode.PONG, b"still there?")
            await peer.send(Opcode.CONTINUATION, "ü".encode()[1:] + b"n")
            assert [(await link.next())[0] for _ in range(4)] == ["open", "activity", "activity", "text"]
            await peer.send(Opcode.TEXT, b"whole")
            assert await link.text() == b"whole"

    asyncio.run(run())


def test_fragments_of_every_kind_are_assembled() -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            opcode = Opcode.TEXT
            for byte in "κόσμος".encode():
                await peer.send(opcode, bytes([byte]), fin=False)
                opcode = Opcode.CONTINUATION
            await peer.send(Opcode.CONTINUATION, b"")
            assert await link.text() == "κόσμος".encode()
            await peer.send(Opcode.BINARY, b"\xff", fin=False)
            await peer.send(Opcode.CONTINUATION, b"\xfe")
            assert await link.next() == ("binary", b"\xff\xfe")

    asyncio.run(run())


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 300_000])
def test_every_size_of_text_and_binary_comes_back(size: int) -> None:
    async def run() -> None:
        async with serving(echo=True) as server, await RawPeer.upgraded(server.port) as peer:
            await server.link()
            for opcode, payload in ((Opcode.TEXT, b"t" * size), (Opcode.BINARY, b"\xff" * size)):
                await peer.send(opcode, payload)
                assert await peer.frame() == (opcode, payload)

    asyncio.run(run())


def test_one_frame_above_the_limit_is_told_1009() -> None:
    async def run() -> None:
        async def peer_does(peer: RawPeer) -> None:
            await peer.send(Opcode.TEXT, b"x" * 1001)

        assert (await _break(peer_does, max_message=1000))[0] == 1009

    asyncio.run(run())


def test_1009_arrives_although_megabytes_are_on_their_way() -> None:
    """The connection must not be reset before the peer has read why."""

    async def run() -> None:
        async def peer_does(peer: RawPeer) -> None:
            peer.writer.write(b"\x82\xff" + (64 << 20).to_bytes(8, "big") + b"abcd")
            for _ in range(64):
                peer.writer.write(bytes(1 << 20))

        for _ in range(3):
            assert (await _break(peer_does, max_message=1000))[0] == 1009

    asyncio.run(run())


def test_fragments_above_the_limit_are_told_1009_and_not_kept() -> None:
    async def run() -> None:
        async def peer_does(peer: RawPeer) -> None:
            await peer.send(Opcode.TEXT, b"x" * 900, fin=False)
            await peer.send(Opcode.CONTINUATION, b"x" * 101, fin=False)

        assert (await _break(peer_does, max_message=1000))[0] == 1009

    asyncio.run(run())


def test_a_frame_may_come_byte_by_byte() -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            for byte in b"\x81\x85abcd" + bytes(a ^ b for a, b in zip(b"hello", b"abcda", strict=True)):
                await peer.write(bytes([byte]))
                await asyncio.sleep(0)
            assert await link.text() == b"hello"

    asyncio.run(run())


def test_frames_behind_the_handshake_in_one_packet_are_not_lost() -> None:
    async def run() -> None:
        async with serving(echo=True) as server, await RawPeer.connect(server.port) as peer:
            head = "GET / HTTP/1.1\r\n" + "".join(
                f"{name}: {value}\r\n"
                for name, value in {
                    "Host": "x",
                    "Upgrade": "websocket",
                    "Connection": "Upgrade",
                    "Sec-WebSocket-Version": "13",
                    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
                }.items()
            )
            await peer.write(head.encode() + b"\r\n" + b"\x81\x81\0\0\0\0a" + b"\x81\x81\0\0\0\0b")
            assert (await peer.head()).startswith("HTTP/1.1 101")
            assert await peer.frame() == (Opcode.TEXT, b"a")
            assert await peer.frame() == (Opcode.TEXT, b"b")

    asyncio.run(run())


# --- closing ---


@pytest.mark.parametrize(
    ("payload", "answer", "told"),
    [
        (b"", 1000, (1005, "")),
        (close_payload(1000), 1000, (1000, "")),
        (close_payload(1001, b"away"), 1001, (1001, "away")),
        (close_payload(4001, "größer".encode()), 4001, (4001, "größer")),
        (close_payload(3000, b"x" * 123), 3000, (3000, "x" * 123)),
    ],
)
def test_the_peer_s_goodbye_is_answered_and_told(payload: bytes, answer: int, told: tuple[int, str]) -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            await peer.send(Opcode.CLOSE, payload)
            assert await peer.close_code() == answer
            assert await peer.rest() == b"", "the server ends the connection"
            assert await link.end() == told

    asyncio.run(run())


def test_a_second_close_frame_changes_nothing() -> None:
    """picows reads a frame ahead and would answer 1002."""

    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            goodbye = b"\x88\x82\0\0\0\0\x03\xe8"
            await peer.write(goodbye + goodbye)
            assert await peer.close_code() == 1000
            assert await peer.rest() == b""
            assert await link.end() == (1000, "")

    asyncio.run(run())


def test_our_goodbye_flushes_first_and_waits_for_the_answer() -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            for i in range(5):
                link.socket.send(b"%d" % i)
            link.socket.close(4002, "moved")
            link.socket.close(1000, "again")
            link.socket.send(b"too late")
            link.socket.ping()
            assert [await peer.frame() for _ in range(5)] == [(1, b"%d" % i) for i in range(5)]
            assert await peer.frame() == (Opcode.CLOSE, close_payload(4002, b"moved"))
            await peer.send(Opcode.TEXT, b"not delivered any more")
            assert not link.closed.done()
            await peer.send(Opcode.CLOSE, close_payload(4002))
            assert await peer.rest() == b""
            assert await link.end() == (4002, "moved")

    asyncio.run(run())


def test_a_peer_that_does_not_answer_a_goodbye_is_dropped_after_two_seconds() -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            before = asyncio.get_running_loop().time()
            link.socket.close(1001, "bye")
            assert await link.end() == (1001, "bye")
            assert 1.5 < asyncio.get_running_loop().time() - before < 5
            assert await peer.close_code() == 1001
            assert await peer.rest() == b""

    asyncio.run(run())


def test_a_connection_that_breaks_is_told_1006() -> None:
    async def run() -> None:
        async with serving() as server:
            async with await RawPeer.upgraded(server.port) as peer:
                link = await server.link()
                peer.writer.write_eof()
                assert await link.end() == (1006, "")
            async with await RawPeer.upgraded(server.port) as peer:
                link = await server.link()
                peer.shut()
                assert await link.end() == (1006, "")

    asyncio.run(run())


def test_abort_says_nothing() -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            link.socket.send(b"written at once")
            link.socket.send(b"joined")
            link.socket.abort()
            assert link.socket.buffered == 0
            link.socket.abort()
            link.socket.send(b"x")
            assert await link.end() == (1006, "")
            assert await peer.rest() == frame_text(b"written at once")
            assert link.socket.buffered == 0
            link.socket.close()
            link.socket.abort()

    asyncio.run(run())


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 5000])
def test_no_illegal_code_is_sent(code: int) -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port):
            link = await server.link()
            with pytest.raises(ValueError, match="code"):
                link.socket.close(code)
            assert not link.closed.done()

    asyncio.run(run())


def test_a_long_reason_is_cut_on_a_character_boundary() -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            link = await server.link()
            link.socket.close(4000, "ü" * 100)
            assert await peer.frame() == (Opcode.CLOSE, close_payload(4000, "ü".encode() * 61))
            await peer.send(Opcode.CLOSE, close_payload(4000))
            assert await link.end() == (4000, "ü" * 61)

    asyncio.run(run())
