"""A broker that outlives the server: sessions go on in the next one, and crashes are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from heartline import Message, Refuse, Server, Session
from heartline.brokers.memory import MemoryBroker
from heartline.server import Address

from .brokers import Wire
from .raw import hub_of, make_app, on_loop, raw, until


def declare(broker: Any, calls: list[Any], gate: asyncio.Event) -> Server:
    """The same application, as another process would declare it."""
    app = make_app(broker=broker)
    app.channel("c", publish=True)

    @app.on("quick")
    def quick(message: Message, data: int) -> int:
        calls.append(("quick", data, message.id.split("/")[1]))
        return data

    @app.on("no")
    def no() -> None:
        raise Refuse("no", "never")

    @app.on("repeat", concurrent=True)
    async def repeat(data: int) -> str:
        calls.append(("repeat", data))
        await gate.wait()
        return f"repeat {data}"

    @app.on("unknown", concurrent=True, on_crash="unknown")
    async def unknown(data: int) -> str:
        calls.append(("unknown", data))
        await gate.wait()
        return f"unknown {data}"

    return app


@asynccontextmanager
async def crashing(app: Server) -> AsyncIterator[Address]:
    """Serve, and die without any last word: nothing that was not written before is written at the end."""
    serving = app.serving()
    address = await serving.__aenter__()
    yield address
    node = hub_of(app).node
    node.unsaved.clear()
    for session in node.sessions.values():
        session.fenced = True  # whatever ends now is no news for the record
    await serving.__aexit__(None, None, None)


@pytest.mark.parametrize("wire", [False, True])
@on_loop
async def test_a_session_goes_on_in_the_next_server(wire: bool) -> None:
    memory = MemoryBroker(durable=True)
    broker: Any = Wire(memory, lambda _call: 0.001) if wire else memory
    calls: list[Any] = []
    gate = asyncio.Event()
    app = declare(broker, calls, gate)
    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello(cursors=[[1, "c"]])
        epoch = welcome["inbox"]["epoch"]
        place = (await link.hear("ok"))[2]
        assert await link.call(1, "quick", 1) == 1
        assert (await link.call(2, "no"))["code"] == "no"
        link.say("pub", 3, "c", "e", 3)
        assert await link.hear("ack") == ["ack", 3]
        assert await link.hear("msg") == ["msg", "c", 1, "e", 3]
        await app.sessions()[0].send("note", "kept")
        await link.hear("msg", n="@")
        (session,) = app.sessions()
    with pytest.raises(RuntimeError, match="has stopped"):
        await session.send("too late")
    kept = memory._records[welcome["session"]]
    assert (kept.owner, kept.done, kept.generation) == (app._options.node_name, 3, 1)

    second = declare(broker, calls, gate)
    async with second.serving() as address:
        await second.publish("c", "e", "meanwhile")
        async with raw(address) as link:
            again = await link.resume(welcome, cursors=[[0, "@", [epoch, 0]], [1, "c", [place["epoch"], 1]]])
            assert (again["resumed"], again["received"], again["inbox"]["epoch"]) == (True, 3, epoch)
            assert await link.hear() == ["reply", 1, 1], "what the floor has not passed is said again"
            assert await link.hear() == ["fail", 2, {"code": "no", "message": "never"}]
            assert await link.hear("ack") == ["ack", 3]
            assert await link.hear("msg", n="@") == ["msg", "@", 1, "note", "kept"]
            assert await link.hear("msg", n="c") == ["msg", "c", 2, "e", "meanwhile"]
            assert await link.call(4, "quick", 4) == 4
            link.say("settled", 5)
            assert await link.call(5, "quick", 5) == 5
        async with raw(address) as link:  # and once more, in the process that holds it
            assert (await link.resume(welcome, floor=5))["received"] == 5
            assert await link.hear() == ["reply", 5, 5]
        async with raw(address) as thief:
            thief.say("hello", {"instance": "i", "floor": 5, "session": welcome["session"], "key": "wrong"})
            assert (await thief.end())[0] == 4204
    assert calls == [("quick", 1, "1"), ("quick", 4, "4"), ("quick", 5, "5")]


@on_loop
async def test_a_crash_repeats_or_makes_unknown() -> None:
    """As the event declares: started again with the same id, or never again and told so."""
    broker = MemoryBroker(durable=True)
    calls: list[Any] = []
    gate = asyncio.Event()
    async with crashing(declare(broker, calls, gate)) as address, raw(address) as link:
        welcome = await link.hello()
        link.say("call", 1, "unknown", 1)
        link.say("call", 2, "repeat", 2)
        link.say("call", 3, "quick", 3)
        assert await link.hear("reply") == ["reply", 3, 3]
        await until(lambda: len(calls) == 3)
    gate.set()
    async with declare(broker, calls, gate).serving() as address, raw(address) as link:
        again = await link.resume(welcome)
        assert again["resumed"]
        assert again["received"] < 2, "what did not end and may be repeated was not received"
        heard = [await link.hear(), await link.hear()]
        assert heard[0][:2] == ["fail", 1]
        assert heard[0][2]["code"] == "unknown"
        assert heard[1] == ["reply", 3, 3]
        for n, event in enumerate(("unknown", "repeat", "quick"), 1):
            if n > again["received"]:
                link.say("call", n, event, n)
        assert await link.hear("reply", n=2) == ["reply", 2, "repeat 2"]
        assert (await link.hear("fail", n=1))[2]["code"] == "unknown"
        assert await link.hear("reply", n=3) == ["reply", 3, 3]
    assert sorted(calls, key=str) == [("quick", 3, "3"), ("repeat", 2), ("repeat", 2), ("unknown", 1)]


@on_loop
async def test_a_start_is_recorded_before_it_happens() -> None:
    broker = MemoryBroker(durable=True)
    wire = Wire(broker)
    calls: list[Any] = []
    gate = asyncio.Event()
    app = declare(wire, calls, gate)
    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello()
        await until(lambda: hub_of(app).asking.running == 0)
        wire.delay = lambda call: 0.05 if call == "swap" else 0.0
        link.say("call", 1, "unknown", 1)
        link.say("call", 2, "repeat", 2)
        await until(lambda: calls == [("repeat", 2)], "what may be repeated does not wait")
        assert not broker._records[welcome["session"]].started
        await until(lambda: len(calls) == 2)
        (started,) = broker._records[welcome["session"]].started
        assert (started.n, started.event) == (1, "unknown")
        gate.set()
        assert sorted([await link.hear("reply") for _ in range(2)]) == [
            ["reply", 1, "unknown 1"],
            ["reply", 2, "repeat 2"],
        ]
        await until(lambda: not broker._records[welcome["session"]].started)


@on_loop
async def test_stopping_interrupts_like_a_crash() -> None:
    """A handler that has to be cancelled did not end badly: its message goes on in the next server."""
    broker = MemoryBroker(durable=True)
    calls: list[Any] = []
    gate = asyncio.Event()
    async with declare(broker, calls, gate).serving() as address, raw(address) as link:
        welcome = await link.hello()
        link.say("call", 1, "repeat", 1)
        link.say("call", 2, "unknown", 2)
        await until(lambda: len(calls) == 2)
    record = broker._records[welcome["session"]]
    assert (record.done, record.results, [s.n for s in record.started]) == (0, {}, [2])
    gate.set()
    async with declare(broker, calls, gate).serving() as address, raw(address) as link:
        assert (await link.resume(welcome))["received"] == 0
        assert (await link.hear("fail"))[1:2] == [2]
        link.say("call", 1, "repeat", 1)
        assert await link.hear("reply") == ["reply", 1, "repeat 1"]
    assert calls == [("repeat", 1), ("unknown", 2), ("repeat", 1)]


@on_loop
async def test_publications_of_clients_are_repeated_without_doubles() -> None:
    """Published, and the server died before its record said so: the client says it again, the log has it once."""
    broker = MemoryBroker(durable=True)
    app = declare(broker, [], asyncio.Event())
    async with crashing(app) as address, raw(address) as link:
        welcome = await link.hello()
        hub_of(app)._end_scheduled = True  # the record is not written any more
        link.say("pub", 1, "c", "e", "once")
        await until(lambda: app.stats().entries_published)
    assert broker.head("c")[1] == 1
    async with declare(broker, [], asyncio.Event()).serving() as address, raw(address) as link:
        assert (await link.resume(welcome))["received"] == 0
        link.say("pub", 1, "c", "e", "once")
        assert await link.hear("ack") == ["ack", 1]
        link.say("sub", 1, "c", [None, 0])
        assert (await link.hear("msg"))[2:] == [1, "e", "once"]
        await link.hears_nothing("msg")


@on_loop
async def test_a_new_owner_takes_over_at_once() -> None:
    """Two servers at a time: the later compare-and-set wins, the loser stops that session and says nothing more."""
    broker = MemoryBroker(durable=True)
    calls: list[Any] = []
    gate = asyncio.Event()
    one, two = declare(broker, calls, gate), declare(_Shared(broker), calls, gate)
    async with one.serving() as first, two.serving() as second, raw(first) as link, raw(second) as other:
        welcome = await link.hello()
        assert await link.call(1, "quick", 1) == 1
        again = await other.resume(welcome)
        assert (again["resumed"], again["received"]) == (True, 1)
        link.say("call", 2, "quick", 2)
        assert await link.end() == (4001, "another node owns this session")
        assert link.frames.empty(), "its reply is not said: it could not be recorded"
        assert await other.call(3, "quick", 3) == 3
        assert (one.sessions(), len(two.sessions())) == ([], 1)


class _Shared:
    """The same memory for a second node; it knows no way to ask the first one."""

    durable = True

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def start(self, *args: Any) -> None: ...

    def stop(self) -> None: ...

    def release(self, session: str, owner: str) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


@on_loop
async def test_ended_sessions_leave_no_record() -> None:
    broker = MemoryBroker(durable=True)
    app = declare(broker, [], asyncio.Event())
    ended: list[Session] = []
    app.ended(ended.append)
    async with app.serving() as address:
        async with raw(address) as link:
            await link.hello()
            await app.sessions()[0].send("note")
            link.say("bye", "")
            await link.end()
        await until(lambda: ended)
        async with raw(address) as link:
            welcome = await link.hello()
    assert len(ended) == 1, "a session that may come back has not ended"
    assert list(broker._records) == [welcome["session"]]
    assert [name for name in broker._logs if name.startswith("@")] == []
