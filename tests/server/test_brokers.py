"""Servers on a broker that takes its time, and on one that fails."""

import asyncio
import logging
import random
from typing import Any

import pytest

from heartline import BrokerError, Session
from heartline.brokers.memory import MemoryBroker

from .brokers import CALLS, Wire, broken
from .raw import greeted, hub_of, make_app, on_loop, raw, until


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("durable", [False, True])
@on_loop
async def test_a_broker_may_take_its_time(durable: bool, seed: int) -> None:
    """Everything works as with one that answers at once, in the same order."""
    dice = random.Random(seed)
    app = make_app(broker=Wire(MemoryBroker(durable=durable), lambda _call: dice.choice((0, 0, 0.001, 0.003))))
    app.channel("c/{x}", publish=True, presence=True)
    app.on("x")(lambda data: data)

    @app.on("say")
    async def say(session: Session, data: int) -> int:
        await session.send("note", data)
        return await app.publish("c/a", "said", data)

    @app.opened
    async def greet(session: Session, resumed: bool) -> None:
        await session.send("hello", resumed)

    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello(cursors=[[1, "c/a"], [2, "@who/c/a"], [3, "nope"]])
            for n in range(1, 6):
                link.say("call", n, "say", n)
            link.say("pub", 6, "c/a", "pub", 6)
            link.say("call", 7, "x", 7)
            for n in range(1, 6):
                assert await link.hear("reply") == ["reply", n, n]
            assert await link.hear("reply") == ["reply", 7, 7]
            while await link.hear("ack") != ["ack", 7]:
                pass
            assert [(await link.hear("msg", n="c/a"))[2:5] for _ in range(6)] == [
                *([n, "said", n] for n in range(1, 6)),
                [6, "pub", 6],
            ]
            assert [(await link.hear("msg", n="@"))[3:5] for _ in range(6)] == [
                ["hello", False],
                *(["note", n] for n in range(1, 6)),
            ]
            assert (await link.hear("no"))[1] == 3
            place = (await link.hear("ok", n=1))[2]
            assert place["offset"] == 0
            answer = await link.hear("ok", n=2)
            here = (await link.hear("msg", n="@who/c/a")) if not answer[2]["state"] else None
            assert here is None or here[3:] == ["join", {"who": welcome["session"][:8]}]
        await app.publish("c/a", "missed", 1)
        async with raw(address) as link:
            epoch = welcome["inbox"]["epoch"]
            again = await link.resume(welcome, cursors=[[1, "c/a", [place["epoch"], 6]], [0, "@", [epoch, 6]]], floor=8)
            assert (again["resumed"], again["received"]) == (True, 7)
            assert (await link.hear("msg", n="c/a"))[2:4] == [7, "missed"]
            assert (await link.hear("msg", n="@"))[3:5] == ["hello", True]
            assert await link.call(8, "x", 8) == 8


@on_loop
async def test_what_is_published_while_a_client_begins_to_follow_arrives_once() -> None:
    """Between any two steps of the broker."""
    for slow in (None, "follow", "head", "read"):
        dice = random.Random(slow)
        wire = Wire(MemoryBroker(), lambda call: 0.01 if call == slow else dice.choice((0.0, 0.002)))  # noqa: B023
        app = make_app(broker=wire)
        app.channel("c")
        async with app.serving() as address, greeted(address) as link:
            publishing = True

            async def publisher() -> int:
                n = 0
                while publishing:  # noqa: B023
                    n = await app.publish("c", "e")  # noqa: B023
                return n

            task = asyncio.ensure_future(publisher())
            for r in range(1, 8):
                offset = (await link.sub(r, "c"))[2]["offset"]
                for n in range(offset + 1, offset + 4):
                    assert (await link.hear("msg"))[2] == n
                link.say("unsub", 100 + r, "c")
                await link.hear("ok", n=100 + r)
                link.kept.clear()
                while not link.frames.empty():
                    link.frames.get_nowait()
            publishing = False
            await task


# --- a broker that fails ----------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["follow", "head", "read", "append", "load"])
@pytest.mark.parametrize("at_once", [True, False])
@on_loop
async def test_a_failing_broker_harms_who_asked(call: str, at_once: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A clear end for who needs the answer, now or later; nobody else notices; and when it works again, it works."""
    caplog.set_level(logging.WARNING)
    wire = Wire(MemoryBroker())
    if at_once:
        wire = _AtOnce(wire)  # type: ignore[assignment]
    app = make_app(broker=wire)
    app.channel("c", publish=True)
    app.on("x")(lambda data: data)

    @app.on("publish")
    async def publish(data: int) -> int:
        return await app.publish("c", "e", data)

    async with app.serving() as address, greeted(address) as other, raw(address) as link:
        if call != "load":
            await link.hello()
            assert await link.call(1, "x", 1) == 1
        await until(lambda: hub_of(app).asking.running == 0)
        wire.failing = {call: broken()}
        if call == "load":
            link.say("hello", {"instance": "i", "floor": 1, "session": "s", "key": "k"})
            assert (await link.hear("refused"))[1] == {
                "code": "busy",
                "message": "the session store does not answer",
                "retry": 1.0,
            }
            assert (await link.end())[0] == 4006
        elif call == "append":
            assert await link.call(2, "publish", 1) == {
                "code": "busy",
                "message": "the broker failed",
                "retryable": True,
            }
            link.say("pub", 3, "c", "e", 1)
            assert (await link.hear("fail"))[2]["code"] == "busy"
            with pytest.raises(BrokerError):
                await app.publish("c", "e", 1)
        else:
            link.say("sub", 1, "c", *([["", 0]] if call == "read" else []))
            assert await link.end() == (1013, "the broker does not answer")
        assert await other.call(1, "x", 1) == 1
        wire.failing = {}
        async with greeted(address) as again:
            await again.sub(1, "c")
            assert await again.call(1, "publish", 5) == 1
            assert (await again.hear("msg"))[3:] == ["e", 5]
    assert "the broker failed" in caplog.text or "broker failed for message" in caplog.text


class _AtOnce:
    """The same faults from a broker that never suspends."""

    durable = False

    def __init__(self, wire: Wire) -> None:
        self.failing: dict[str, Exception] = {}
        self._broker = wire.broker

    def __getattr__(self, name: str) -> Any:
        if name in self.failing and name in CALLS:
            raise_ = self.failing[name]

            def fail(*args: Any, **options: Any) -> Any:
                raise raise_

            return fail
        return getattr(self._broker, name)


@on_loop
async def test_a_broker_with_a_bug_is_told_in_full(caplog: pytest.LogCaptureFixture) -> None:
    """Errors that are no BrokerError have their traceback in the log, and no inside on the wire."""
    wire = Wire(MemoryBroker())
    app = make_app(broker=wire)
    app.channel("c", publish=True)
    async with app.serving() as address, greeted(address) as link:
        wire.failing = {"append": ZeroDivisionError("hunter2")}
        link.say("pub", 1, "c", "e", 1)
        assert (await link.hear("fail"))[2] == {"code": "failed", "message": "the handler failed"}
        wire.failing = {"head": ZeroDivisionError("hunter2")}
        link.say("sub", 1, "c")
        assert await link.end() == (1013, "the broker does not answer")
    assert caplog.text.count("ZeroDivisionError: hunter2") == 2


@on_loop
async def test_presence_survives_a_broker_that_cannot_append() -> None:
    wire = Wire(MemoryBroker())
    app = make_app(broker=wire, presence_grace=0.05)
    app.channel("c", presence=True)
    async with app.serving() as address, greeted(address) as link:
        wire.failing = {"append": broken()}
        assert (await link.sub(1, "c"))[0] == "ok"
        assert len(app.presence("c")) == 1
        link.say("unsub", 2, "c")
        await link.hear("ok", n=2)
        assert app.presence("c") == []


# --- records ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("takes_effect", [False, True])
@on_loop
async def test_a_failed_write_is_repeated(takes_effect: bool) -> None:
    """Nothing is said before it is written, the link goes on, nothing runs twice; also if only the answer was lost."""
    wire = Wire(MemoryBroker(durable=True))
    wire.takes_effect = takes_effect
    app = make_app(broker=wire)
    calls: list[int] = []

    @app.on("x")
    def x(data: int) -> int:
        calls.append(data)
        return data

    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello()
        assert await link.call(1, "x", 1) == 1
        wire.failing = {"swap": broken()}
        link.say("call", 2, "x", 2)
        link.say("send", 3, "x", 3)
        await until(lambda: calls == [1, 2, 3])
        await link.hears_nothing()
        wire.failing = {}
        assert await link.hear() == ["reply", 2, 2]
        assert await link.hear() == ["ack", 3]
        assert await link.call(4, "x", 4) == 4
        await link.close()
        async with raw(address) as again:
            assert (await again.resume(welcome, floor=5))["received"] == 4
    assert calls == [1, 2, 3, 4]


@pytest.mark.parametrize("takes_effect", [False, True])
@on_loop
async def test_a_takeover_that_cannot_be_written_is_repeated(takes_effect: bool) -> None:
    """Where only its answer was lost it is ours all the same: what runs is no crash, and starts no second time."""
    wire = Wire(MemoryBroker(durable=True))
    wire.takes_effect = takes_effect
    app = make_app(broker=wire)
    gate = asyncio.Event()
    calls: list[int] = []

    @app.on("x")
    async def x(data: int) -> int:
        calls.append(data)
        await gate.wait()
        return data

    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello()
            link.say("call", 1, "x", 1)
            await until(lambda: calls)
        async with raw(address) as link:
            wire.failing = {"swap": broken()}
            link.say("hello", {"instance": "i", "floor": 1, "session": welcome["session"], "key": welcome["key"]})
            gate.set()
            await link.hears_nothing()
            wire.failing = {}
            again = (await link.hear("welcome"))[1]
            assert (again["resumed"], again["received"]) == (True, 1)
            assert await link.hear() == ["reply", 1, 1]
            assert await link.call(2, "x", 2) == 2
    assert calls == [1, 2]


@on_loop
async def test_a_session_that_cannot_be_written_at_all_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heartline.server.questions.WRITES", 2)
    wire = Wire(MemoryBroker(durable=True))
    app = make_app(broker=wire)
    app.on("x")(lambda data: data)
    async with app.serving() as address, greeted(address) as other:
        async with raw(address) as link:
            await link.hello()
            wire.failing = {"swap": broken()}
            link.say("call", 1, "x", 1)
            assert (await link.end())[0] == 4001
        wire.failing = {}
        await until(lambda: len(app.sessions()) == 1)
        assert not [core for core in hub_of(app).node.sessions.values() if core.fenced]
        assert await other.call(1, "x", 1) == 1


@on_loop
async def test_a_permanent_error_is_not_repeated() -> None:
    class Full(BrokerError):
        retryable = False

    wire = Wire(MemoryBroker(durable=True))
    app = make_app(broker=wire)
    app.on("x")(lambda data: data)
    async with app.serving() as address, greeted(address) as link:
        await link.call(1, "x", 1)
        wire.failing = {"swap": Full("for good")}
        writes = wire.log.count("swap")
        link.say("call", 2, "x", 2)
        assert (await link.end())[0] == 4001
        assert wire.log.count("swap") == writes + 1


@on_loop
async def test_stopping_waits_for_the_last_records() -> None:
    wire = Wire(MemoryBroker(durable=True), lambda call: 0.02 if call == "swap" else 0.0)
    app = make_app(broker=wire)
    app.on("x")(lambda data: data)
    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello()
        link.say("call", 1, "x", 1)
        await until(lambda: app.stats().messages_started == 1)
    record = wire.broker.load(welcome["session"])
    assert record is not None
    assert (record.done, record.results) == (1, {1: b'["reply",1,1]'})


@on_loop
async def test_a_release_is_answered_when_what_runs_has_ended() -> None:
    """Another node asks for a session: this one starts nothing more, ends what runs, and lets go."""
    broker = MemoryBroker(durable=True)
    app = make_app(broker=broker)
    gate = asyncio.Event()
    log: list[int] = []

    @app.on("x")
    async def x(data: int) -> int:
        log.append(data)
        await gate.wait()
        return data

    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello()
        hub = hub_of(app)
        assert hub._on_release("unknown") is True
        link.say("call", 1, "x", 1)
        link.say("call", 2, "x", 2)
        await until(lambda: log)
        released: Any = hub._on_release(welcome["session"])
        assert (await link.end())[0] == 4002
        assert not released.done()
        gate.set()
        assert await asyncio.wait_for(released, 5) is True
        assert app.sessions() == []
        record = broker.load(welcome["session"])
        assert record is not None
        assert (record.done, record.results, log) == (1, {1: b'["reply",1,1]'}, [1])
