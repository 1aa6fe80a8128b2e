"""Handlers of events: what the server sends to this session, and volatile messages."""

import asyncio
from typing import Any

import msgspec
import pytest

import heartline
from heartline import Entry, Gap, Volatile
from heartline.client import bus

from .conftest import Run
from .world import until, world


class Note(msgspec.Struct):
    text: str


def test_handlers_by_event(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            seen: list[Any] = []
            async with w.connect(on={"told": seen.append}) as conn:

                @conn.on("told")
                def plain(data: Any) -> None:
                    seen.append(("plain", data))

                @conn.on("told")
                async def with_entry(data: Any, entry: Entry[Any]) -> None:
                    seen.append((entry.event, entry.offset, entry.data == data))

                @conn.once("told")
                def only_once(data: Any) -> None:
                    seen.append("once")

                await conn.request("tell", 1)
                await until(lambda: len(seen) == 4)
                assert seen == [1, ("plain", 1), ("told", 1, True), "once"]
                seen.clear()
                conn.off("told", plain)
                conn.off("told", plain)
                await conn.request("tell", 2)
                await until(lambda: len(seen) == 2)
                assert seen == [2, ("told", 2, True)]
                conn.off("told")
                await conn.request("tell", 3)
                await conn.request("echo")
                assert len(seen) == 2

    run(main())


def test_data_fits_the_annotation(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            seen: list[Any] = []

            @conn.on("told")
            def typed(note: Note) -> None:
                seen.append(note)

            conn.on("told", seen.append, type=dict[str, str])
            await conn.request("tell", {"text": "hi"})
            await until(lambda: len(seen) == 2)
            assert seen == [Note("hi"), {"text": "hi"}]
            await conn.request("tell", {"text": 7})
            await conn.request("tell", {"text": "still there"})
            await until(lambda: len(seen) == 4)

    run(main())
    assert caplog.text.count("the handler of 'told' raised") == 2
    assert "UnexpectedData: 'told' does not fit the type asked for" in caplog.text


def test_handlers_keep_the_order(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            seen: list[Any] = []

            @conn.on("told")
            async def uneven(value: int) -> None:
                await asyncio.sleep(0.003 if value % 10 == 0 else 0)
                seen.append(value)

            for i in range(100):
                await conn.send("tell", i)
                if i == 50:
                    w.proxy.cut_all()
            await until(lambda: len(seen) == 100)
            assert seen == list(range(100))
            assert len(conn._shell.tasks) == 1  # one task, not one for each

    run(main())


def test_a_failed_handler_stops_nothing(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            seen: list[Any] = []

            @conn.on("told")
            def bad(value: int) -> None:
                raise ZeroDivisionError

            @conn.on("told")
            async def worse(value: int) -> None:
                await asyncio.sleep(0)
                raise LookupError

            conn.on("told", seen.append)
            await conn.request("tell", 1)
            await conn.request("tell", 2)
            await until(lambda: seen == [1, 2])

    run(main())
    assert caplog.text.count("the handler of 'told' raised") == 4


def test_a_handler_may_use_and_close_the_connection(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            conn = w.connect()
            done = asyncio.Event()

            @conn.on("told")
            async def answer(value: int) -> None:
                assert await conn.request("echo", value) == value
                conn.on("told", lambda value: None)
                await conn.close()
                done.set()

            await conn.start()
            await conn.request("tell", 1)
            await asyncio.wait_for(done.wait(), 5)
            await until(lambda: not conn._shell.tasks)

    run(main())


def test_an_event_without_handler_is_traced(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "heartline.client")

    async def main() -> None:
        traced: list[Any] = []
        async with world() as w, w.connect(trace=lambda now, what, details: traced.append((what, details))) as conn:
            for i in range(5):
                await conn.request("tell", i)
            await until(lambda: len([what for what, _ in traced if what == "client.no_handler"]) == 5)
            assert ("client.no_handler", {"channel": "@", "event": "told"}) in traced
            assert ("client.dial", {"attempt": 1}) in traced

    run(main())
    assert caplog.text.count("nobody listens to 'told'") == 1


def test_volatile_messages(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            seen: list[Any] = []

            @conn.on("cursor")
            def moved(data: int, message: Volatile[int]) -> None:
                seen.append((message.channel, data, bytes(message.raw)))

            await conn.subscribe("c/1", callback=seen.append).ready()
            w.app.publish_now("c/1", "cursor", 7)
            w.app.publish_now("c/1", "nobody", 8)
            await until(lambda: seen)
            assert seen == [("c/1", 7, b"7")]

    run(main())


def test_volatile_messages_are_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus, "MOST_VOLATILE", 10)

    async def main() -> None:
        traced: list[str] = []
        async with world() as w, w.connect(trace=lambda now, what, details: traced.append(what)) as conn:
            seen: list[int] = []
            go = asyncio.Event()

            @conn.on("cursor")
            async def slow(data: int) -> None:
                await go.wait()
                seen.append(data)

            subscription = conn.subscribe("c/1")
            await subscription.ready()
            for i in range(50):
                w.app.publish_now("c/1", "cursor", i)
            await conn.request("echo")
            go.set()
            await until(lambda: len(seen) == 11)
            assert seen == list(range(11))
            assert traced.count("client.volatile_dropped") == 39
            w.app.publish_now("c/1", "cursor", 50)
            await until(lambda: seen[-1] == 50)

    run(main())


@pytest.mark.parametrize("listening", [True, False])
def test_a_lost_inbox_is_a_gap(run: Run, listening: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with world() as first, first.connect() as conn:
            gaps: list[Gap] = []
            if listening:

                @conn.on_gap
                async def lost(gap: Gap) -> None:
                    gaps.append(gap)

                conn.on_gap(lambda gap: 1 / 0)
            await conn.request("tell", 1)
            before = conn.session_id
            async with world() as second:
                first.proxy.target = second.proxy.address
                first.proxy.cut_all()
                await until(lambda: conn.session_id != before)
                await conn.request("tell", 2)
                await until(lambda: gaps or not listening)
                await conn.close()
            assert [gap.reason for gap in gaps] == (["epoch"] if listening else [])

    run(main())
    assert ("entries of the inbox may be lost" in caplog.text) is not listening
    assert ("the handler of gaps raised" in caplog.text) is listening


def test_wrong_handlers_raise_early() -> None:
    conn = heartline.connect("ws://127.0.0.1:1/")
    with pytest.raises(TypeError, match="handler: expected a function"):
        conn.on("e", 7)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"function of \(data\) or \(data, item\)"):
        conn.on("e", lambda: None)
    with pytest.raises(TypeError, match=r"function of \(data\) or \(data, item\)"):
        conn.on("e", lambda a, b, c: None)
    with pytest.raises(ValueError, match="event must have"):
        conn.on("@", print)
    with pytest.raises(TypeError, match="handler: expected a function"):
        conn.on_gap(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="callback: expected a function"):
        conn.on_state(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="callback: expected a function"):
        conn.subscribe("c", callback=7)  # type: ignore[call-overload]
    conn.on("e", print)
    conn.on("e", lambda *args: None)
    conn.on("e", lambda data, more=1: None)
    conn.off("nothing")
