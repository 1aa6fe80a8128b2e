"""Sessions as an application sees them: over many links, until they end."""

import asyncio
import logging
from typing import Any

import pytest

from heartline import Session

from .raw import greeted, hub_of, make_app, on_loop, raw, until


@on_loop
async def test_the_inbox_keeps_what_comes_while_offline() -> None:
    app = make_app()
    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello()
            session = app.sessions()[0]
            assert await session.send("note", 1) == 1
            assert await link.hear() == ["msg", "@", 1, "note", 1]
            link.say("at", "@", 1)
        await until(lambda: not session.connected)
        assert [await session.send("note", n) for n in (2, 3)] == [2, 3]
        session.send_now("gone", 5)
        async with raw(address) as link:
            await link.resume(welcome, cursors=[[0, "@", [welcome["inbox"]["epoch"], 1]]])
            assert [await link.hear() for _ in range(2)] == [["msg", "@", n, "note", n] for n in (2, 3)]
            assert app.sessions() == [session], "the same object as before"
            session.send_now("now", 6)
            assert await link.hear() == ["now", "@", "now", 6]


@on_loop
async def test_a_greeting_from_the_hook_arrives() -> None:
    """Sent between the reading of the inbox's head and its being followed."""
    app = make_app()

    @app.opened
    async def greet(session: Session, resumed: bool) -> None:
        await session.send("welcome back" if resumed else "welcome")
        await asyncio.sleep(0)
        session.send_now("hello")

    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello()
            assert await link.hear("msg") == ["msg", "@", 1, "welcome", None]
            assert await link.hear("now") == ["now", "@", "hello", None]
        async with raw(address) as link:
            await link.resume(welcome, cursors=[[0, "@", [welcome["inbox"]["epoch"], 1]]])
            assert await link.hear("msg") == ["msg", "@", 2, "welcome back", None]


@on_loop
async def test_inboxes_are_bounded_and_gaps_named() -> None:
    app = make_app(inbox=3)
    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello()
        session = app.sessions()[0]
        await until(lambda: not session.connected)
        for n in range(1, 8):
            await session.send("note", n)
        async with raw(address) as link:
            epoch = welcome["inbox"]["epoch"]
            await link.resume(welcome, cursors=[[0, "@", [epoch, 0]]])
            assert await link.hear() == ["gap", "@", {"epoch": epoch, "after": 0, "to": 4, "reason": "history"}]
            assert [(await link.hear())[2] for _ in range(3)] == [5, 6, 7]


@on_loop
async def test_taking_a_subscription_away() -> None:
    app = make_app()
    app.channel("room/{x}")
    async with app.serving() as address, greeted(address) as link:
        session = app.sessions()[0]
        session.revoke("room/a")
        session.revoke("@")
        session.revoke(f"@{session.id}")
        await link.sub(7, "room/a")
        session.revoke("room/a", "no longer a member")
        assert await link.hear() == ["no", 7, {"code": "forbidden", "message": "no longer a member"}]
        await app.publish("room/a", "e", 1)
        await session.send("still", 1)
        assert (await link.hear())[:2] == ["msg", "@"]
        await link.sub(8, "room/a")
        session.revoke("room/a")
        assert await link.hear() == ["no", 8, {"code": "forbidden", "message": "no longer allowed"}]


@on_loop
async def test_closing_a_session() -> None:
    app = make_app()
    gate = asyncio.Event()
    log: list[str] = []

    @app.on("slow")
    async def slow(session: Session) -> None:
        await gate.wait()
        log.append(f"ended {session.ended}")

    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello()
            link.say("call", 1, "slow", None)
            link.say("call", 2, "slow", None)
            session = app.sessions()[0]
            await until(lambda: hub_of(app).runner.running)
            session.close("you were banned")
            assert await link.end() == (4203, "you were banned")
            assert (session.ended, session.connected, app.sessions()) == (True, False, [])
            session.close()
            session.send_now("nothing")
            session.revoke("nothing")
            with pytest.raises(ValueError, match="is over"):
                await session.send("nothing")
        gate.set()
        await until(lambda: log == ["ended True"], "what runs goes on, what waits does not start")
        async with raw(address) as link:
            assert not (await link.resume(welcome))["resumed"]
        await asyncio.sleep(0)
        assert log == ["ended True"]


@on_loop
async def test_an_inbox_ends_with_its_session() -> None:
    app = make_app()
    async with app.serving() as address:
        broker: Any = hub_of(app).broker
        async with greeted(address) as link:
            session = app.sessions()[0]
            await session.send("x")
            assert f"@{session.id}" in broker._logs
            link.say("bye", "done")
            assert await link.end() == (4203, "bye")
            assert f"@{session.id}" not in broker._logs

        class Slow:
            """An append that is under way while the session ends."""

            def __init__(self) -> None:
                self.gate = asyncio.Event()

            async def append(self, *args: Any, **options: Any) -> Any:
                await self.gate.wait()
                return broker.append(*args, **options)

            def drop(self, channel: str) -> None:
                broker.drop(channel)

        async with greeted(address):
            session = app.sessions()[0]
            slow = Slow()
            entries = hub_of(app).entries
            before, entries._broker = entries._broker, slow  # type: ignore[assignment]
            sending = asyncio.ensure_future(session.send("x"))
            await asyncio.sleep(0)
            session.close()
            slow.gate.set()
            await sending
            assert f"@{session.id}" not in broker._logs
            entries._broker = before


@on_loop
async def test_bye_ends_the_session() -> None:
    app = make_app()
    ended: list[Session] = []
    app.ended(ended.append)
    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello()
            session = app.sessions()[0]
            link.say("bye", "")
            assert (await link.end())[0] == 4203
        assert ended == [session]
        async with raw(address) as link:
            assert not (await link.resume(welcome))["resumed"]


# --- hooks ------------------------------------------------------------------------------------------


@on_loop
async def test_hooks_tell_what_happens_to_a_session() -> None:
    app = make_app()
    log: list[Any] = []

    @app.opened
    def opened(session: Session, resumed: bool) -> None:
        session.state["links"] = session.state.get("links", 0) + 1
        log.append(("opened", resumed, session.connected, session.state["links"]))

    @app.opened
    async def opened_too(session: Session, resumed: bool) -> None:
        await asyncio.sleep(0)
        log.append("opened too")

    @app.detached
    async def detached(session: Session) -> None:
        log.append(("detached", session.connected, session.ended, session.state["links"]))

    @app.ended
    def ended(session: Session) -> None:
        log.append(("ended", session.connected, session.ended, session.state["links"]))

    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello()
            await until(lambda: len(log) == 2)
        await until(lambda: len(log) == 3)
        async with raw(address) as link:
            await link.resume(welcome)
            await until(lambda: len(log) == 5)
            async with raw(address) as second:  # the first link is still there: it is fenced
                await second.resume(welcome)
                await until(lambda: len(log) == 8)
                second.say("bye", "")
                await second.end()
                assert log == [
                    ("opened", False, True, 1),
                    "opened too",
                    ("detached", False, False, 1),
                    ("opened", True, True, 2),
                    "opened too",
                    ("detached", False, False, 2),
                    ("opened", True, True, 3),
                    "opened too",
                    ("detached", False, True, 3),
                    ("ended", False, True, 3),
                ]


@on_loop
async def test_hooks_that_raise_harm_nobody(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()
    log: list[str] = []

    def boom(*args: Any) -> None:
        raise RuntimeError("hunter2")

    async def boom_later(*args: Any) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("hunter2")

    for decorate in (app.opened, app.detached, app.ended):
        decorate(boom)
        decorate(boom_later)
        decorate(lambda *args: log.append("fine"))
    app.on("x")(lambda data: data)
    async with app.serving() as address, greeted(address) as link:
        assert await link.call(1, "x", 1) == 1
        link.say("bye", "")
        assert await link.end() == (4203, "bye")
        assert log == ["fine"] * 3
    assert caplog.text.count("a session hook failed") == 6
    assert [r.levelno for r in caplog.records if "hook" in r.message] == [logging.ERROR] * 6


@on_loop
async def test_a_hook_may_end_the_session() -> None:
    app = make_app()

    @app.opened
    def opened(session: Session, resumed: bool) -> None:
        session.close("not today")

    async with app.serving() as address:
        async with raw(address) as link:
            link.say("hello", {"instance": "i", "floor": 1})
            assert await link.end() == (4203, "not today")
        assert app.stats().sessions == 0


# --- fencing ----------------------------------------------------------------------------------------


@on_loop
async def test_old_link_is_fenced() -> None:
    """A resume that arrives before the server has seen the old link die."""
    app = make_app()
    gate = asyncio.Event()
    calls: list[Any] = []
    app.channel("c")

    @app.on("slow", concurrent=True)
    async def slow(data: int) -> int:
        calls.append(data)
        await gate.wait()
        return data

    async with app.serving() as address, raw(address) as old, raw(address) as new:
        welcome = await old.hello(cursors=[[1, "c"]])
        await old.hear("ok")
        old.say("call", 1, "slow", 1)
        await until(lambda: calls == [1])
        again = await new.resume(welcome, cursors=[[1, "c", [None, 0]]])
        assert (again["resumed"], again["received"]) == (True, 1)
        await new.hear("ok")
        new.say("call", 2, "slow", 2)
        gate.set()
        assert sorted([await new.hear("reply") for _ in range(2)]) == [["reply", 1, 1], ["reply", 2, 2]]
        await app.publish("c", "e", 1)
        assert await new.hear("msg") == ["msg", "c", 1, "e", 1]
        assert await old.end() == (4001, "a newer link owns this session")
        assert old.frames.empty(), "nothing more is said on it"
        assert calls == [1, 2]
        assert app.stats().sessions == 1


@on_loop
async def test_what_a_fenced_link_still_says_has_no_effect() -> None:
    app = make_app()
    calls: list[Any] = []
    app.on("x")(calls.append)
    async with app.serving() as address, raw(address) as old, raw(address) as new:
        welcome = await old.hello()
        core = next(iter(hub_of(app).node.sessions.values()))
        link = core.link
        await new.resume(welcome)
        assert link is not None
        hub_of(app).node.received(link, b'["send",1,"x",1]', hub_of(app).node.now)  # read before, handed over late
        hub_of(app).turn()
        new.say("send", 2, "x", 2)
        await new.hear("ack")
        assert calls == [2]


@on_loop
async def test_another_instance_replaces_the_first() -> None:
    """A duplicated tab: the first is told that it was replaced, which is fatal to it."""
    app = make_app()
    async with app.serving() as address, raw(address) as first, raw(address) as second:
        welcome = await first.hello(instance="one")
        assert (await second.resume(welcome, instance="two"))["resumed"]
        assert (await first.end())[0] == 4202


# --- the end of those that do not come back ---------------------------------------------------------


@on_loop
async def test_sessions_not_resumed_in_time_end() -> None:
    app = make_app(session_ttl=0.1)
    ended: list[Session] = []
    app.ended(ended.append)
    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello()
        await until(lambda: len(ended) == 1)
        assert app.stats().sessions == app.stats().detached == 0
        async with raw(address) as link:
            assert not (await link.resume(welcome))["resumed"]


@on_loop
async def test_detached_sessions_are_bounded() -> None:
    app = make_app(detached_sessions=3)
    ended: list[str] = []
    app.ended(lambda session: ended.append(session.id))
    ids = []
    async with app.serving() as address:
        for n in range(6):
            async with raw(address) as link:
                ids.append((await link.hello())["session"])
            await until(lambda n=n: app.stats().detached == min(3, n + 1))  # type: ignore[misc]
        assert ended == ids[:3], "the oldest first"


@on_loop
async def test_late_socket_events_are_ignored() -> None:
    """A socket that closed says nothing more to the node, whatever the transport still tells."""
    app = make_app()
    app.on("x")(lambda data: data)
    async with app.serving() as address, greeted(address) as link:
        (socket,) = hub_of(app).sockets
        app.sessions()[0].close()
        await link.end()
        node = hub_of(app).node
        before = (len(node.links), len(node.sessions), app.stats().messages_started)
        socket.on_message(b'["call",1,"x",1]')
        socket.on_binary(b"x")
        socket.on_activity()
        socket.on_writable()
        socket.write([b"x"])
        socket.close(1000, "")
        socket.on_close(1006, "")
        socket.abort()
        assert (len(node.links), len(node.sessions), app.stats().messages_started) == before == (0, 0, 0)


@on_loop
async def test_stats_count() -> None:
    app = make_app()
    app.channel("c", publish=True)
    app.on("x")(lambda: None)
    async with app.serving() as address, raw(address):
        async with greeted(address) as link:
            await link.sub(1, "c")
            await link.call(1, "x")
            link.say("pub", 2, "c", "e", 1)
            await link.hear("msg")
            await app.publish("c", "e", 2)
            stats = app.stats()
            assert (stats.links, stats.sessions, stats.detached) == (2, 1, 0)
            assert (stats.channels_followed, stats.messages_started, stats.entries_published) == (2, 2, 2)
        await until(lambda: app.stats().detached == 1)
        assert (app.stats().links, app.stats().channels_followed) == (1, 0)
