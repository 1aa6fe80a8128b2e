"""What sockets have read is dealt with together, when the turn of the loop ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from heartline import Server
from heartline.server.intake import LARGE, MANY, MOST
from heartline.server.socket import HubSocket

from .raw import PATIENCE, greeted, hub_of, make_app, on_loop


def noting(app: Server) -> list[Any]:
    """What the handler of `note` was given, in order."""
    log: list[Any] = []
    app.on("note", concurrent=True)(log.append)
    return log


def sockets(app: Server) -> list[HubSocket]:
    """In the order in which they were opened."""
    node = hub_of(app).node
    return [link.socket for link in node.links if isinstance(link.socket, HubSocket)]


def note(n: int, what: str) -> bytes:
    return b'["send",%d,"note","%s"]' % (n, what.encode())


@asynccontextmanager
async def two_that_have_read() -> AsyncIterator[tuple[HubSocket, HubSocket, list[Any]]]:
    """Two sockets, one with "a" and then the other with "b", and what has been handled."""
    app = make_app()
    log = noting(app)
    async with app.serving() as address, greeted(address), greeted(address):
        one, two = sockets(app)
        one.on_message(note(1, "a"))
        two.on_message(note(1, "b"))
        yield one, two, log


@on_loop
async def test_messages_are_handled_in_the_order_read() -> None:
    async with two_that_have_read() as (one, _two, log):
        one.on_message(note(2, "c"))
        assert log == []
        await asyncio.sleep(0)
        assert log == ["a", "b", "c"]


@on_loop
async def test_what_was_read_is_handled_before_its_socket_closes() -> None:
    async with two_that_have_read() as (one, _two, log):
        assert log == []
        one.on_close(1006, "")
        assert log == ["a", "b"]


@on_loop
async def test_what_precedes_a_fault_is_answered() -> None:
    app = make_app()
    app.on("double")(lambda number: 2 * number)
    async with app.serving() as address, greeted(address) as client:
        client.say("call", 1, "double", 4)
        assert client.socket is not None
        client.socket.send_binary(b"nothing here speaks binary")
        assert await client.hear("reply") == ["reply", 1, 8]
        assert (await client.end())[0] == 1003


@on_loop
async def test_a_flood_is_dealt_with_within_the_turn() -> None:
    app = make_app(rate=None)
    log = noting(app)
    async with app.serving() as address, greeted(address), greeted(address):
        one, two = sockets(app)
        for n in range(1, MANY + 2):
            one.on_message(note(n, "x"))
        assert not log
        two.on_message(note(1, "y"))
        assert log == ["x"] * (MANY + 1)
        for n in range(2, MOST + 2):
            two.on_message(note(n, "y"))
        assert len(log) == MANY + 1 + MOST
        large = "z" * LARGE
        one.on_message(note(MANY + 2, large))
        assert log[-2:] == ["y", large]


@on_loop
async def test_a_fault_in_one_message_loses_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """A bug of ours, here in the trace of a bad frame, costs the link on which it happens."""

    def trace(now: float, what: str, details: dict[str, object]) -> None:
        if what == "server.bad_frame":
            raise AssertionError("a bug")

    app = make_app(trace=trace)
    log = noting(app)
    async with app.serving() as address, greeted(address) as bad, greeted(address) as good:
        one, two = sockets(app)
        one.on_message(b"[]")
        two.on_message(note(1, "a"))
        assert await bad.end() == (1011, "internal error")
        assert log == ["a"]
        good.say("ping", 1)
        await asyncio.wait_for(good.hear("pong"), PATIENCE)
    assert "a bug" in caplog.text
