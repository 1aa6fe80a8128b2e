"""Handlers that put messages off (`PostponingHandler`)."""

import asyncio

import pytest

from heartline.transports import Accept

from .helpers import PATIENCE, Opcode, RawPeer, Recorder, close_payload, eventually, serving

HELLO = b"\x81\x81\0\0\0\0a"  # a masked text message with the key 0


class Collector(Recorder):
    """Echoes what it has, at the end of each turn of the loop that brought something."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[bytes] = []
        self.calls = 0

    def on_message(self, data: bytes) -> None:
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self.catch_up)
        self.waiting.append(data)

    def catch_up(self) -> None:
        self.calls += 1
        waiting, self.waiting = self.waiting, []
        for data in waiting:
            if data == b"!":
                raise ValueError("as asked")
            self.socket.send(data)


async def talk(wire: bytes, *, answers: list[tuple[int, bytes]]) -> Collector:
    """Write bytes in one go, and expect frames."""
    handlers: list[Collector] = []

    def router(_: object) -> Accept:
        handlers.append(Collector())
        return Accept(handlers[-1])

    async with serving(router) as server, await RawPeer.upgraded(server.port) as peer:
        await peer.write(wire)
        got = [await asyncio.wait_for(peer.frame(), PATIENCE) for _ in answers]
        assert [
            (opcode, payload[: len(want)]) for (opcode, payload), (_, want) in zip(got, answers, strict=True)
        ] == answers
        peer.shut()
        await eventually(lambda: not server.listener.links)
    return handlers[0]


ANSWER = (int(Opcode.TEXT), b"a")


@pytest.mark.parametrize("count", [1, 2, 8])
def test_whole_messages_are_no_reason_to_catch_up(count: int) -> None:
    handler = asyncio.run(talk(HELLO * count, answers=[ANSWER] * count))
    assert handler.calls == 1


def test_what_came_before_another_frame_is_answered_before_it() -> None:
    ping = b"\x89\x80\0\0\0\0"
    asyncio.run(talk(HELLO + ping + HELLO, answers=[ANSWER, (Opcode.PONG, b""), ANSWER]))
    asyncio.run(talk(HELLO * 2 + ping, answers=[ANSWER, ANSWER, (Opcode.PONG, b"")]))


def test_a_message_of_fragments_is_answered() -> None:
    first, last = b"\x01\x81\0\0\0\0a", b"\x80\x81\0\0\0\0b"
    asyncio.run(talk(HELLO + first + last, answers=[ANSWER, (Opcode.TEXT, b"ab")]))
    asyncio.run(talk(HELLO + first, answers=[ANSWER]))


def test_what_came_before_a_close_or_a_fault_is_answered() -> None:
    close = b"\x88\x82\0\0\0\0" + close_payload(1000)
    asyncio.run(talk(HELLO + close, answers=[ANSWER, (Opcode.CLOSE, close_payload(1000))]))
    rubbish = b"\x81\x81\0\0\0\0\xff"
    asyncio.run(talk(HELLO * 2 + rubbish + HELLO, answers=[ANSWER, ANSWER, (Opcode.CLOSE, close_payload(1007))]))


def test_a_handler_that_raises_when_it_catches_up_closes_its_link(caplog: pytest.LogCaptureFixture) -> None:
    wish, ping = b"\x81\x81\0\0\0\0!", b"\x89\x80\0\0\0\0"
    asyncio.run(talk(HELLO + wish + ping, answers=[ANSWER, (Opcode.CLOSE, close_payload(1011))]))
    assert "as asked" in caplog.text
