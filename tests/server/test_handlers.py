"""Handlers: what they are given, in which order they start, how they end."""

import asyncio
import enum
import functools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest

from heartline import Message, Session
from heartline.server.handlers import make_handler

from .raw import Ended, greeted, make_app, on_loop, raw, until


class Person(msgspec.Struct):
    name: str
    age: Annotated[int, msgspec.Meta(ge=0)]


@dataclass
class Point:
    x: int
    y: int = 0


class Colour(enum.Enum):
    RED = "red"


# --- what a handler is given ------------------------------------------------------------------------


@on_loop
async def test_handlers_get_what_they_ask_for() -> None:
    app = make_app()
    seen: dict[str, Any] = {}

    @app.on("nothing")
    def nothing() -> str:
        return "nothing"

    @app.on("payload")
    def payload(data: dict[str, int]) -> dict[str, int]:
        return data

    @app.on("session")
    async def of_session(session: Session) -> str:
        return session.id

    @app.on("both")
    async def both(session: Session, data: int) -> int:
        seen["both"] = session
        return data

    @app.on("turned")
    def turned(data: int, session: Session) -> list[Any]:
        return [data, session.id]

    @app.on("unannotated")
    def unannotated(session, data):  # type: ignore[no-untyped-def]
        return [session.id, data]

    @app.on("message")
    async def of_message(message: Message, data: Any, session: Session) -> list[Any]:
        seen["id"] = message.id
        return [message.n, message.event, message.wants_reply, message.data.decode(), data, session.connected]

    @app.on("by name")
    def by_name(message):  # type: ignore[no-untyped-def]
        return message.event

    @app.on("default")
    def default(data: int = 5, *more: int, extra: int = 0, **rest: int) -> list[Any]:
        return [data, more, extra, rest]

    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello()
        assert await link.call(1, "nothing", {"un": "used"}) == "nothing"
        assert await link.call(2, "payload", {"a": 1}) == {"a": 1}
        assert await link.call(3, "session") == welcome["session"]
        assert await link.call(4, "both", 7) == 7
        assert await link.call(5, "turned", 8) == [8, welcome["session"]]
        assert await link.call(6, "unannotated", [9]) == [welcome["session"], [9]]
        assert await link.call(7, "message", "m") == [7, "message", True, '"m"', "m", True]
        assert seen["id"] == f"{welcome['session']}/7"
        assert await link.call(8, "by name") == "by name"
        assert await link.call(9, "default", 3) == [3, [], 0, {}]
        assert seen["both"] is app.sessions()[0]


def test_an_event_name_is_checked() -> None:
    app = make_app()
    for name in ("", "@mine", "x" * 256, "a\nb"):
        with pytest.raises(ValueError, match="event"):
            app.on(name)
    with pytest.raises(TypeError, match="event"):
        app.on(5)  # type: ignore[arg-type]


@on_loop
async def test_methods_partials_and_callable_objects_may_handle() -> None:
    app = make_app()

    class Thing:
        async def method(self, data: int) -> int:
            return data + 1

        def __call__(self, session: Session, data: int) -> int:
            return data + 2

    def add(more: int, data: int) -> int:
        return data + more

    async def later(more: int, session: Session) -> int:
        return more

    app.on("method")(Thing().method)
    app.on("object")(Thing())
    app.on("partial")(functools.partial(add, 3))
    app.on("async partial")(functools.partial(later, 4))
    app.on("builtin")(len)
    async with app.serving() as address, greeted(address) as link:
        assert await link.call(1, "method", 1) == 2
        assert await link.call(2, "object", 1) == 3
        assert await link.call(3, "partial", 1) == 4
        assert await link.call(4, "async partial", 1) == 4
        assert await link.call(5, "builtin", [1, 2]) == 2
        assert (await link.call(6, "object", "x"))["code"] == "invalid"


@on_loop
async def test_a_def_handler_may_return_something_to_await() -> None:
    app = make_app()

    async def work(data: int) -> int:
        await asyncio.sleep(0)
        return data

    @app.on("coroutine")
    def coroutine(data: int) -> Any:
        return work(data)

    @app.on("future")
    def future(data: int) -> Any:
        found = asyncio.get_running_loop().create_future()
        found.set_result(data)
        return found

    @app.on("task")
    def task(data: int) -> Any:
        return asyncio.ensure_future(work(data))

    async with app.serving() as address, greeted(address) as link:
        for n, event in enumerate(("coroutine", "future", "task"), 1):
            assert await link.call(n, event, n) == n


# --- payloads ---------------------------------------------------------------------------------------


@on_loop
async def test_bad_payload_names_the_field() -> None:
    app = make_app()
    calls: list[Any] = []

    @app.on("person")
    async def person(data: Person) -> None:
        calls.append(data)

    @app.on("people")
    def people(data: list[Person]) -> None:
        calls.append(data)

    @app.on("point")
    def point(data: Point) -> None:
        calls.append(data)

    @app.on("colour")
    def colour(data: Colour) -> None:
        calls.append(data)

    bad: list[tuple[str, Any, str, str]] = [
        ("person", {"name": "x", "age": "3"}, "$.age", "Expected `int`, got `str`"),
        ("person", {"name": "x", "age": -1}, "$.age", "Expected `int` >= 0"),
        ("person", {"name": "x"}, "$", "Object missing required field `age`"),
        ("person", None, "$", "Expected `object`, got `null`"),
        ("people", [{"name": "x", "age": 1}, {"name": 5, "age": 1}], "$[1].name", "Expected `str`, got `int`"),
        ("point", {"x": "left"}, "$.x", "Expected `int`, got `str`"),
        ("colour", "blue", "$", "Invalid enum value 'blue'"),
    ]
    async with app.serving() as address, greeted(address) as link:
        for n, (event, data, path, message) in enumerate(bad, 1):
            answer = await link.call(n, event, data)
            assert answer == {"code": "invalid", "message": message, "path": path}
        assert calls == []
        assert await link.call(20, "person", {"name": "x", "age": 3, "more": 1}) is None
        assert await link.call(21, "colour", "red") is None
        assert calls == [Person("x", 3), Colour.RED]


@on_loop
async def test_a_bad_payload_of_a_send_is_a_failure_too() -> None:
    app = make_app()
    app.on("person")(lambda data: None)

    @app.on("typed")
    def typed(data: Person) -> None: ...

    async with app.serving() as address, greeted(address) as link:
        link.say("send", 1, "person", {})
        link.say("send", 2, "typed", {})
        link.say("send", 3, "person", {})
        assert (await link.hear("fail"))[1:] == [
            2,
            {"code": "invalid", "message": "Object missing required field `name`", "path": "$"},
        ]
        assert await link.hear("ack") == ["ack", 3]


@on_loop
async def test_deeply_nested_payloads() -> None:
    """What the reader of frames lets through may still be too deep where the handler is called."""
    app = make_app()
    app.on("any")(lambda data: None)
    answers = set()
    async with app.serving() as address:
        for depth in (500, *range(900, 1010, 5), 200_000):
            async with greeted(address) as link:
                link.text('["call",1,"any",' + "[" * depth + "]" * depth + "]")
                try:
                    frame = await link.hear()
                except Ended:
                    assert await link.end() == (4200, "call: nested too deeply")
                    frame = ["closed"]
                answers.add(frame[0])
                if frame[0] == "fail":
                    assert frame[2] == {"code": "invalid", "message": "nested too deeply", "path": "$"}
    assert answers >= {"closed", "reply"}


# --- what cannot be a handler -----------------------------------------------------------------------


def _yields() -> Iterator[int]:
    yield 1


async def _yields_later() -> AsyncIterator[int]:
    yield 1


def _keyword_only(*, data: int) -> None: ...


def _two_payloads(one: int, two: int) -> None: ...


def _two_sessions(one: Session, two: Session) -> None: ...


def _maybe_session(session: Session | None) -> None: ...


def _unresolved(data: "NoSuchThing") -> None: ...  # type: ignore[name-defined]  # noqa: F821


class Dog(msgspec.Struct):
    name: str


def _strange_payload(data: Person | Dog) -> None: ...


def _strange_reply() -> Person | Dog:
    return Dog("rex")


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (_yields, "must not yield"),
        (_yields_later, "must not yield"),
        (functools.partial(_yields_later), "must not yield"),
        (_keyword_only, "keyword-only parameter 'data'"),
        (_two_payloads, "second payload parameter, 'two'"),
        (_two_sessions, "second session parameter, 'two'"),
        (_maybe_session, "always gets a session"),
        (_unresolved, "cannot be resolved"),
        (_strange_payload, "payload that cannot be checked"),
        (_strange_reply, "promises a type that cannot be checked"),
        ("text", "must be a function, not str"),
    ],
)
def test_bad_handlers_are_refused_early(function: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        make_handler("e", function, concurrent=False, on_crash="repeat")


def test_bad_options_of_handlers_are_refused_early() -> None:
    app = make_app()
    with pytest.raises(ValueError, match="on_crash must be 'repeat' or 'unknown', not 'panic'"):
        app.on("e", on_crash="panic")(lambda: None)
    app.on("e")(lambda: None)
    with pytest.raises(ValueError, match="event 'e' has a handler already"):
        app.on("e")(lambda: None)


def test_decorators_return_the_function() -> None:
    app = make_app()

    async def handler(data: int) -> int:
        return data

    def hook() -> None: ...

    assert app.on("e")(handler) is handler
    for decorate in (app.startup, app.shutdown, app.opened, app.detached, app.ended, app.login, app.channel("c")):
        assert decorate(hook) is hook


# --- order ------------------------------------------------------------------------------------------


@on_loop
async def test_handlers_of_a_session_run_one_after_another() -> None:
    app = make_app()
    log: list[str] = []

    @app.on("slow")
    async def slow(data: int) -> None:
        log.append(f"begin {data}")
        await asyncio.sleep(0.01 if data % 2 else 0)
        log.append(f"end {data}")

    @app.on("quick")
    def quick(data: int) -> None:
        log.append(f"quick {data}")

    async with app.serving() as address, greeted(address) as link:
        for n in range(1, 9):
            link.say("send", n, "quick" if n % 3 == 0 else "slow", n)
        while await link.hear("ack") != ["ack", 8]:
            pass
    expected = [[f"quick {n}"] if n % 3 == 0 else [f"begin {n}", f"end {n}"] for n in range(1, 9)]
    assert log == [line for lines in expected for line in lines]


@on_loop
async def test_sessions_do_not_wait_for_each_other() -> None:
    app = make_app()
    gate = asyncio.Event()

    @app.on("wait")
    async def wait() -> str:
        await gate.wait()
        return "waited"

    app.on("quick")(lambda: "quick")
    async with app.serving() as address, greeted(address) as one, greeted(address) as two:
        one.say("call", 1, "wait", None)
        one.say("call", 2, "quick", None)
        assert await two.call(1, "quick") == "quick"
        await one.hears_nothing()
        gate.set()
        assert await one.hear() == ["reply", 1, "waited"]
        assert await one.hear() == ["reply", 2, "quick"]


@on_loop
async def test_concurrent_handlers_overlap_and_start_in_order() -> None:
    app = make_app()
    begun: list[int] = []
    gates = [asyncio.Event() for _ in range(60)]

    @app.on("c", concurrent=True)
    async def overlapping(data: int) -> int:
        begun.append(data)
        await gates[data].wait()
        return data

    async with app.serving() as address, greeted(address) as link:
        for n in range(60):
            link.say("call", n + 1, "c", n)
        await until(lambda: len(begun) == 60)
        assert begun == list(range(60))
        for n in reversed(range(60)):
            gates[n].set()
        assert sorted([(await link.hear("reply"))[2] for _ in range(60)]) == list(range(60))


@on_loop
async def test_a_concurrent_handler_lets_serial_ones_pass_and_waits_for_its_turn() -> None:
    app = make_app()
    gate, slow_gate = asyncio.Event(), asyncio.Event()
    log: list[str] = []

    @app.on("c", concurrent=True)
    async def overlapping() -> None:
        log.append("c")
        await gate.wait()

    @app.on("serial")
    async def serial() -> None:
        log.append("serial")
        await slow_gate.wait()

    app.on("last")(lambda: log.append("last"))
    async with app.serving() as address, greeted(address) as link:
        for n, event in enumerate(("c", "serial", "c", "last", "c"), 1):
            link.say("send", n, event, None)
        await until(lambda: len(log) == 3)
        assert log == ["c", "serial", "c"], "starts are ordered: what comes after a waiting one waits"
        slow_gate.set()
        await until(lambda: len(log) == 5)
        assert log[3:] == ["last", "c"]
        gate.set()
        assert await link.hear("ack") == ["ack", 5]


@on_loop
async def test_a_lost_link_cancels_nothing() -> None:
    app = make_app()
    gate = asyncio.Event()
    log: list[str] = []

    @app.on("slow")
    async def slow() -> str:
        log.append("begin")
        await gate.wait()
        log.append("end")
        return "late"

    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello()
            link.say("call", 1, "slow", None)
            await until(lambda: log)
        gate.set()
        await until(lambda: len(log) == 2)
        async with raw(address) as link:
            again = await link.resume(welcome)
            assert (again["resumed"], again["received"]) == (True, 1)
            assert await link.hear("reply") == ["reply", 1, "late"]
    assert log == ["begin", "end"]
