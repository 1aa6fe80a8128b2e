"""How messages end: replies, failures, refusals; and what is told of it."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
import pytest

from heartline import BrokerError, Refuse, Session
from heartline.server.refusals import Refuse as SameRefuse

from .raw import greeted, hub_of, make_app, on_loop, raw


class Person(msgspec.Struct):
    name: str
    age: Annotated[int, msgspec.Meta(ge=0)]


# --- ends -------------------------------------------------------------------------------------------


@on_loop
async def test_handler_errors_show_no_internals(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()

    @app.on("sync")
    def sync() -> None:
        raise RuntimeError("the password is hunter2")

    @app.on("at once")
    async def at_once() -> None:
        raise RuntimeError("the password is hunter2")

    @app.on("later")
    async def later() -> None:
        await asyncio.sleep(0)
        raise RuntimeError("the password is hunter2")

    @app.on("validation")
    async def validation() -> None:
        msgspec.json.decode(b'{"password": "hunter2"}', type=Person)

    @app.on("decode")
    def decode() -> None:
        msgspec.json.decode(b"{hunter2")

    @app.on("recursion")
    def recursion() -> None:
        recursion()

    @app.on("group")
    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(later())

    events = ("sync", "at once", "later", "validation", "decode", "recursion", "group")
    async with app.serving() as address, greeted(address) as link:
        for n, event in enumerate(events, 1):
            caplog.clear()
            assert await link.call(n, event) == {"code": "failed", "message": "the handler failed"}
            (record,) = caplog.records
            assert record.levelno == logging.ERROR
            assert record.getMessage() == f"the handler of {event!r} failed for message {app.sessions()[0].id}/{n}"
            assert record.exc_info, "the log has the traceback"
        for n, event in enumerate(events, 101):
            caplog.clear()
            link.say("send", n, event, None)
            assert (await link.hear("fail"))[1:] == [n, {"code": "failed", "message": "the handler failed"}]
            assert len(caplog.records) == 1


@on_loop
async def test_every_started_message_ends(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a handler does, its caller hears exactly one end, and what comes after it starts."""
    app = make_app()

    class Odd:
        def __await__(self) -> Iterator[Any]:
            raise LookupError("odd")
            yield  # pragma: no cover

    async def cancels_itself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(5)

    async def raises_cancelled() -> None:
        raise asyncio.CancelledError

    def raises_cancelled_at_once() -> None:
        raise asyncio.CancelledError

    async def bad_details() -> None:
        raise Refuse("no", bad=object())

    async def endless_details() -> None:
        found: list[Any] = []
        found.append(found)
        raise Refuse("no", found=found)

    async def broken_broker() -> None:
        raise BrokerError("the disk is full")

    class BadRepr(Exception):
        def __str__(self) -> str:
            raise ValueError("cannot even be printed")

    def bad_error() -> None:
        raise BadRepr

    cases: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "cancels itself": (cancels_itself, {"code": "failed", "message": "the handler was cancelled"}),
        "cancelled": (raises_cancelled, {"code": "failed", "message": "the handler was cancelled"}),
        "cancelled at once": (raises_cancelled_at_once, {"code": "failed", "message": "the handler was cancelled"}),
        "odd awaitable": (Odd, {"code": "failed", "message": "the handler failed"}),
        "bad details": (bad_details, {"code": "no", "message": ""}),
        "endless details": (endless_details, {"code": "no", "message": ""}),
        "broker": (broken_broker, {"code": "busy", "message": "the broker failed", "retryable": True}),
        "bad error": (bad_error, {"code": "failed", "message": "the handler failed"}),
        "unknown": (object, {"code": "failed", "message": "the handler failed"}),
    }
    for event, (handler, _) in cases.items():
        app.on(event)(handler)
    app.on("next")(lambda data: data)
    async with app.serving() as address, greeted(address) as link:
        for n, (event, (_, failure)) in enumerate(cases.items(), 1):
            assert await link.call(2 * n, event) == failure, event
            assert await link.call(2 * n + 1, "next", n) == n
        await link.hears_nothing("reply", "fail")
        assert hub_of(app).runner.running == 0
        core = next(iter(hub_of(app).node.sessions.values()))
        assert not core.pending
        assert not core.queue


@on_loop
async def test_unknown_events() -> None:
    app = make_app()
    async with app.serving() as address, greeted(address) as link:
        name = "e" * 200
        assert await link.call(1, name) == {"code": "unknown_event", "message": f"no handler for {name[:80]!r}"}
        link.say("send", 2, "x", None)
        assert (await link.hear("fail"))[1:] == [2, {"code": "unknown_event", "message": "no handler for 'x'"}]


@on_loop
async def test_refusing_with_details() -> None:
    app = make_app()

    @app.on("sync")
    def sync() -> None:
        raise Refuse("too_late", "the shop is closed", opens=8, days=["mon"])

    @app.on("async")
    async def later() -> None:
        await asyncio.sleep(0)
        raise Refuse("too_late", "m" * 600, code2="x")

    @app.on("bare")
    async def bare() -> None:
        raise Refuse

    @app.on("clash")
    def clash() -> None:
        raise Refuse("real", "true", path="$.x")

    async with app.serving() as address, greeted(address) as link:
        assert await link.call(1, "sync") == {
            "code": "too_late",
            "message": "the shop is closed",
            "opens": 8,
            "days": ["mon"],
        }
        assert await link.call(2, "async") == {"code": "too_late", "message": "m" * 500, "code2": "x"}
        assert await link.call(3, "bare") == {"code": "forbidden", "message": ""}
        assert await link.call(4, "clash") == {"code": "real", "message": "true", "path": "$.x"}


def test_refuse_checks_its_arguments() -> None:
    assert Refuse is SameRefuse
    assert str(Refuse("a", "b")) == "a: b"
    assert str(Refuse("a")) == "a"
    for code in ("", None, 5):
        with pytest.raises(TypeError, match="code must be a short word"):
            Refuse(code)  # type: ignore[arg-type]
    for retry in (True, -1, float("nan")):
        with pytest.raises(ValueError, match="retry must be seconds, or False for good"):
            Refuse("a", retry=retry)


@on_loop
async def test_replies_are_what_they_promise(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()

    class Row:
        """Something of an ORM."""

        name = "ann"
        age = 30
        secret = "hunter2"

    @app.on("int")
    def of_int(data: Any) -> int:
        return data  # type: ignore[no-any-return]

    @app.on("none")
    async def of_none(data: Any) -> None:
        return data  # type: ignore[no-any-return]

    @app.on("person")
    async def person(data: Any) -> Person:
        return data  # type: ignore[no-any-return]

    @app.on("row")
    def row() -> Person:
        return Row()  # type: ignore[return-value]

    @app.on("list")
    def people(data: Any) -> list[Person]:
        return data  # type: ignore[no-any-return]

    @app.on("maybe")
    def maybe(data: Any) -> int | None:
        return data  # type: ignore[no-any-return]

    ann = {"name": "ann", "age": 30}
    good = [
        ("int", 5, 5),
        ("none", None, None),
        ("person", ann, ann),
        ("row", None, ann),
        ("list", [ann], [ann]),
        ("maybe", None, None),
        ("maybe", 5, 5),
    ]
    bad = [("int", "5"), ("none", 5), ("person", {"name": "ann"}), ("list", [{}]), ("maybe", "x")]
    async with app.serving() as address, greeted(address) as link:
        for n, (event, data, reply) in enumerate(good, 1):
            assert await link.call(n, event, data) == reply
        for n, (event, data) in enumerate(bad, 20):
            caplog.clear()
            assert await link.call(n, event, data) == {"code": "failed", "message": "the handler failed"}
            assert f"the reply of the handler of {event!r} is not what it promises" in caplog.text
        for n, (event, data) in enumerate(bad, 70):
            link.say("send", n, event, data)
            assert await link.hear("ack") == ["ack", n], "nobody waits for the reply of a send"


@on_loop
async def test_too_big_a_reply_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(message=10_000)

    @app.on("reply")
    def reply(size: int) -> str:
        return "x" * size

    @app.on("later")
    async def later(size: int) -> str:
        await asyncio.sleep(0)
        return "x" * size

    @app.on("details")
    def details(size: int) -> None:
        raise Refuse("no", text="x" * size)

    async with app.serving() as address, greeted(address) as link:
        assert await link.call(1, "reply", 9_980) == "x" * 9_980
        for n, event in enumerate(("reply", "later", "details"), 2):
            assert await link.call(n, event, 10_000) == {
                "code": "too_big",
                "message": "the answer is larger than 10000 bytes",
            }
        assert "too big" in caplog.text
        assert await link.call(9, "later", 5) == "xxxxx"


@on_loop
async def test_secrets_are_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Neither keys nor login payloads, whatever goes wrong, at any level."""
    caplog.set_level(logging.DEBUG)
    app = make_app()
    keys = []

    @app.login
    def login(payload: dict[str, str]) -> str:
        if payload["password"] != "open sesame":
            raise Refuse("wrong", "who are you?")
        return payload["user"]

    @app.on("boom")
    def boom(session: Session) -> None:
        raise RuntimeError(f"in {session!r}")

    secret = {"user": "ann", "password": "open sesame"}
    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello(login=secret)
            keys.append(welcome["key"])
            await link.call(1, "boom")
            link.say("call", 2, "boom")  # an element is missing
            assert (await link.end())[0] == 4200
        async with raw(address) as link:
            link.say("hello", {"instance": "i", "floor": 1, "login": {**secret, "password": 5}})
            assert (await link.end())[0] == 4201
        async with raw(address) as link:
            link.say(
                "hello",
                {"instance": "i", "floor": 1, "login": secret, "session": welcome["session"], "key": "wrong key"},
            )
            assert (await link.end())[0] == 4204
    for text in (*keys, "open sesame", "wrong key"):
        assert text not in caplog.text
    assert "RuntimeError: in <Session" in caplog.text
