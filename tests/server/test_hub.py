"""Turns: effects, starts, writes; and limits on what one client may cost."""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any

import pytest

from heartline import Heartbeat, Refuse, ServerLimits, Session
from heartline.core.server import effects as do
from heartline.server.hub import STAGE_MOVES, Stage

from .raw import PATIENCE, greeted, hub_of, make_app, on_loop, raw, until

# --- turns ------------------------------------------------------------------------------------------


@on_loop
async def test_effects_before_starts() -> None:
    """A message that comes with the hello starts after the hooks have been told of the session."""
    app = make_app()
    log: list[str] = []
    app.opened(lambda session, resumed: log.append("opened"))
    app.on("x")(lambda: log.append("x"))
    app.channel("c")(lambda: log.append("asked"))
    async with app.serving() as address, raw(address) as link:
        assert link.socket is not None
        hub_of(app).turning = True  # nothing happens until everything has come
        link.say("sub", 1, "c")
        link.say("send", 1, "x", None)
        link.say("sub", 2, "c")
        await until(lambda: hub_of(app).node.ready)
        hub_of(app).turning = False
        hub_of(app).turn()
        assert log == ["opened", "asked", "asked", "x"]


@on_loop
async def test_starts_have_a_budget() -> None:
    """A flood of messages delays what else the loop has to do by one budget at a time."""
    app = make_app(rate=None)
    started = 0

    @app.on("x", concurrent=True)
    def handler() -> None:
        nonlocal started
        started += 1

    async with app.serving() as address, AsyncExitStack() as stack:
        hub = hub_of(app)
        hub.allowance.seconds = PATIENCE
        links = [await stack.enter_async_context(greeted(address)) for _ in range(6)]
        hub.allowance.starts = 0  # nothing starts until everything has come
        for link in links:
            for n in range(1, 101):
                link.say("send", n, "x", None)
        await until(lambda: sum(len(core.queue) for core in hub.node.sessions.values()) == 600)
        assert started == 0
        hub.allowance.starts = 100
        await asyncio.sleep(0)
        for turn in range(1, 7):
            assert started <= turn * 100
            await asyncio.sleep(0)
        await until(lambda: started == 600)


@on_loop
async def test_timers_go_on_during_a_flood() -> None:
    app = make_app(rate=None, frames=1e9, heartbeat=Heartbeat(0.2, 0.2))
    app.on("x")(lambda: None)
    async with app.serving() as address, greeted(address) as flood, greeted(address) as other:
        loop = asyncio.get_running_loop()
        sent = 0
        worst = 0.0
        end = loop.time() + 0.6
        while loop.time() < end:
            for _ in range(100):
                sent += 1
                flood.say("send", sent, "x", None)
            while not flood.frames.empty():
                flood.frames.get_nowait()
            flood.say("settled", sent)  # only a client's word: what it settles is its own business
            began = loop.time()
            other.say("ping", sent)
            await other.hear("pong")
            worst = max(worst, loop.time() - began)
        assert worst < 0.5
        assert not other.ended.done()


@on_loop
async def test_refusals_are_heard() -> None:
    """What a closing link still holds is written before the socket closes."""
    app = make_app()

    @app.login
    def login(payload: Any) -> str:
        raise Refuse("no", "not you")

    async with app.serving() as address, raw(address) as link:
        link.say("ping", 1)
        link.say("hello", {"instance": "i", "floor": 1})
        assert await link.hear() == ["pong", 1]
        assert await link.hear() == ["refused", {"code": "no", "message": "not you", "retry": False}]
        assert await link.end() == (4201, "no")


@on_loop
async def test_the_last_reply_is_heard() -> None:
    app = make_app()

    @app.on("leave")
    def leave(session: Session) -> str:
        session.send_now("bye")
        session.close("as you wish")
        return "never"

    async with app.serving() as address, greeted(address) as link:
        link.say("call", 1, "leave", None)
        assert await link.hear() == ["now", "@", "bye", None]
        assert await link.end() == (4203, "as you wish")


@on_loop
async def test_a_fault_in_one_effect_loses_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """A bug of ours costs the link it happens on, not those whose effects came in the same turn."""
    app = make_app()
    app.on("x")(lambda data: data)
    async with app.serving() as address, greeted(address) as one, greeted(address) as two, greeted(address) as three:
        hub = hub_of(app)
        actions = hub._actions

        def bug(effect: Any) -> None:
            actions[do.Authorise] = before
            raise AssertionError("a bug")

        before, actions[do.Authorise] = actions[do.Authorise], bug
        app.channel("c")
        hub.turning = True
        one.say("sub", 1, "c")
        two.say("sub", 1, "c")
        three.say("bye", "")
        await until(lambda: len(hub.node.effects) >= 4)
        hub.turning = False
        one.say("ping", 1)
        assert (await one.end())[0] == 1011
        assert (await two.hear("ok"))[1] == 1
        assert (await three.end())[0] == 4203
        assert await two.call(1, "x", 2) == 2
    assert "a bug" in caplog.text


def test_stages_have_a_table() -> None:
    assert set(STAGE_MOVES) == set(Stage)
    assert not STAGE_MOVES[Stage.STOPPED]


# --- limits -----------------------------------------------------------------------------------------


@on_loop
async def test_message_size() -> None:
    app = make_app(message=5_000)
    app.on("x")(len)
    async with app.serving() as address, greeted(address) as other:
        async with raw(address) as link:
            welcome = await link.hello()
            assert welcome["limits"]["message"] == 5_000
            frame = len('["call",1,"x",""]')
            assert await link.call(1, "x", "y" * (5_000 - frame)) == 5_000 - frame
            link.say("call", 2, "x", "y" * (5_001 - frame))
            assert (await link.end())[0] == 1009
        async with raw(address) as link:  # also before hello, and in pieces
            link.text("[" + '"x",' * 2_000)
            assert (await link.end())[0] == 1009
        assert await other.call(1, "x", "fine") == 4


@on_loop
async def test_subscriptions_a_session_may_have() -> None:
    app = make_app(subscriptions=5)
    app.channel("c/{x}")
    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello(cursors=[[n, f"c/{n}"] for n in range(1, 8)])
        assert welcome["limits"]["subscriptions"] == 5
        heard = [await link.hear() for _ in range(7)]
        too_many = {"code": "too_many", "message": "at most 5 subscriptions"}
        assert [f for f in heard if f[0] == "no"] == [["no", 6, too_many], ["no", 7, too_many]]
        assert (await link.sub(8, "c/3"))[0] == "ok", "again is not one more"
        link.say("unsub", 9, "c/1")
        await link.hear("ok", n=9)
        assert (await link.sub(10, "c/9"))[0] == "ok"


@on_loop
async def test_outstanding_messages_a_session_may_have() -> None:
    app = make_app(rate=None)
    gate = asyncio.Event()

    @app.on("x", concurrent=True)
    async def x() -> None:
        await gate.wait()

    async with app.serving() as address, greeted(address) as link:
        for n in range(1, 257):
            link.say("call", n, "x", None)
        await until(lambda: hub_of(app).runner.running == 256)
        link.say("call", 257, "x", None)
        assert await link.end() == (4200, "number 257 is outside [1, 257)")
        gate.set()
        await until(lambda: hub_of(app).runner.running == 0)


@on_loop
async def test_bytes_a_session_may_have_in_flight() -> None:
    app = make_app(message=10_000, window_bytes=30_000)
    gate = asyncio.Event()

    @app.on("x")
    async def x(data: str) -> None:
        await gate.wait()

    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello()
            for n in range(1, 7):
                link.say("send", n, "x", "y" * 9_000)
            assert await link.end() == (4200, "more bytes in flight than the window allows")
        core = next(iter(hub_of(app).node.sessions.values()))
        assert core.pending_bytes <= 40_000
        gate.set()
        await until(lambda: core.pending_bytes == 0)
        async with raw(address) as link:
            assert (await link.resume(welcome, floor=5))["received"] == 4
            link.say("send", 5, "x", "y" * 9_000)
            assert await link.hear("ack", n=5)


@pytest.mark.parametrize(("rate", "count"), [(200.0, 300), (20.0, 25), (0.9, 2)])
@on_loop
async def test_a_rate_throttles_and_loses_nothing(rate: float, count: int) -> None:
    """The first second's worth passes at once, the rest as the rate allows, in order."""
    app = make_app(rate=rate)
    app.on("x")(lambda data: data)
    async with app.serving() as address, greeted(address) as link, greeted(address) as other:
        loop = asyncio.get_running_loop()
        began = loop.time()
        heard = []
        for n in range(1, count + 1):
            link.say("call", n, "x", n)
            if n - len(heard) == 200:  # stay within the numbers a session may have
                heard.append((await link.hear("reply"))[2])
                link.say("settled", heard[-1] + 1)
        assert await other.call(1, "x", 1) == 1, "nobody else waits"
        assert loop.time() - began < 1 + count / rate
        heard += [(await link.hear("reply"))[2] for _ in range(count - len(heard))]
        assert heard == list(range(1, count + 1))
        expected = (count - max(1.0, rate)) / rate
        assert expected - 0.05 <= loop.time() - began <= expected + 1.0
        assert app.stats().messages_started == count + 1


@on_loop
async def test_too_many_frames_close_the_link() -> None:
    app = make_app(frames=500)
    app.on("x")(lambda data: data)
    async with app.serving() as address, greeted(address) as other:
        async with raw(address) as link:
            await link.hello()
            for n in range(2_000):
                link.say("ping", n)
            assert await link.end() == (4005, "too many frames a second")
        assert await other.call(1, "x", 1) == 1


@on_loop
async def test_a_peer_that_asks_and_does_not_read_is_cut() -> None:
    """Its answers are bounded; then it is closed with 4004."""
    app = make_app(rate=None, results_bytes=1 << 30)
    app.on("big")(lambda: "x" * 200_000)
    async with app.serving() as address, greeted(address) as link:
        assert link.socket is not None
        link.socket.pause_reading()
        (mine,) = hub_of(app).sockets
        worst = 0
        for n in range(1, 200):
            link.say("call", n, "big", None)
            await asyncio.sleep(0.001)
            if mine.socket is None:
                break
            worst = max(worst, mine.socket.buffered)
        await until(lambda: not hub_of(app).node.links)
        assert 1 << 20 < worst < 9 << 20, "the write limit of 8 MiB, and a message"


def test_limits_are_checked() -> None:
    for name in ServerLimits.__struct_fields__:
        with pytest.raises(ValueError, match=rf"ServerLimits\.{name} must be above 0"):
            ServerLimits(**{name: 0})
    with pytest.raises(ValueError, match="must not be above 256"):
        ServerLimits(window=257)


@on_loop
async def test_every_question_is_answered_once(caplog: pytest.LogCaptureFixture) -> None:
    """Whether it is answered at once, later or with an error, also when what asked is gone by then."""
    caplog.set_level(logging.CRITICAL)
    app = make_app()
    async with app.serving():
        questions = hub_of(app)._questions
        answers: list[tuple[str, str, Any]] = []

        async def later(value: Any, *, fail: bool = False) -> Any:
            await asyncio.sleep(0.001)
            return at_once(value, fail=fail)

        async def eager(value: Any, *, fail: bool = False) -> Any:
            return at_once(value, fail=fail)

        def at_once(value: Any, *, fail: bool = False) -> Any:
            if fail:
                raise LookupError(value)
            return value

        async def cancelled(value: Any, *, fail: bool = False) -> Any:
            await asyncio.sleep(0)
            raise asyncio.CancelledError

        for name, way in (("later", later), ("eager", eager), ("at once", at_once)):
            for fail in (False, True):
                questions.ask(
                    lambda way=way, name=name, fail=fail: way(name, fail=fail),  # type: ignore[misc]
                    lambda value: answers.append(("answered", value, None)),
                    lambda error, name=name: answers.append(("failed", name, type(error))),  # type: ignore[misc]
                )
        questions.ask(
            lambda: cancelled(1), lambda _: answers.append(("", "", None)), lambda e: answers.append(("x", "", type(e)))
        )
        await until(lambda: len(answers) == 7)
        await asyncio.sleep(0.005)
        assert sorted(answers, key=str) == sorted(
            [
                *(("answered", name, None) for name in ("later", "eager", "at once")),
                *(("failed", name, LookupError) for name in ("later", "eager", "at once")),
                ("x", "", asyncio.CancelledError),
            ],
            key=str,
        )
