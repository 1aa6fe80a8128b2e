"""Channels: rules, hooks, publishing, history, presence."""

import asyncio
from typing import Any

import pytest

from heartline import Refuse, Session

from .raw import Raw, greeted, hub_of, make_app, on_loop, raw, until


async def entries(link: Raw, count: int) -> list[list[Any]]:
    return [(await link.hear("msg"))[1:] for _ in range(count)]


# --- rules ------------------------------------------------------------------------------------------


@on_loop
async def test_channels_without_a_rule_are_refused() -> None:
    app = make_app()
    app.channel("room/{x}", publish=True)
    async with app.serving() as address, greeted(address) as link:
        for r, name in enumerate(("rooms", "room/", "room/a/b", "x/room/a", "@who/room/a", "@who/nope"), 1):
            answer = await link.sub(r, name)
            assert answer[0] == "no"
            assert answer[2]["code"] == "unknown_channel"
            if not name.startswith("@"):
                link.say("pub", r, name, "e", 1)
                assert (await link.hear("fail", n=r))[2]["code"] == "unknown_channel"
                with pytest.raises(ValueError, match=r"matches no app\.channel"):
                    await app.publish(name, "e")
                with pytest.raises(ValueError, match=r"matches no app\.channel"):
                    app.publish_now(name, "e")
        assert app.stats().channels_followed == 1, "the inbox only"


@on_loop
async def test_names_that_are_none() -> None:
    app = make_app()
    app.channel("{all:path}", publish=True)
    async with app.serving() as address:
        for name in ("@", "@mine", "@who/", "@who/@who/x", "a\nb", "\x7f"):
            with pytest.raises(ValueError, match=r"channel .*must have 1 to 255 characters|matches no"):
                await app.publish(name, "e")
            async with greeted(address) as link:
                answer = await link.sub(1, name)
                assert answer[0] == "no"
                link.say("pub", 1, name, "e", 1)
                assert (await link.end())[0] == 4200
        for name in ("", "x" * 256, 5):
            async with greeted(address) as link:
                link.say("sub", 1, name)
                assert (await link.end())[0] == 4200
        with pytest.raises((TypeError, ValueError)):
            await app.publish(5, "e")  # type: ignore[arg-type]
        async with greeted(address) as link:
            assert (await link.sub(1, "é" * 255))[0] == "ok"


@on_loop
async def test_first_rule_wins() -> None:
    app = make_app()
    app.channel("room/lobby", history=1)
    app.channel("room/{x}", history=2)
    app.channel("room/{rest:path}", history=3)
    async with app.serving():
        entries_kept = {name: hub_of(app).entries.rule(name) for name in ("room/lobby", "room/a", "room/a/b", "room")}
        kept = {name: found and (found[0].history.entries, found[1]) for name, found in entries_kept.items()}
        assert kept == {
            "room/lobby": (1, {}),
            "room/a": (2, {"x": "a"}),
            "room/a/b": (3, {"rest": "a/b"}),
            "room": None,
        }


def test_patterns_are_checked() -> None:
    app = make_app()
    for bad in ("", "@x", "a{", "a}", "{a b}c", "{a}{b", "{}", "{1}", "x\n", "y" * 256):
        with pytest.raises(ValueError, match="pattern"):
            app.channel(bad)
    with pytest.raises(ValueError, match="two parts called 'a'"):
        app.channel("{a}/{a}")
    with pytest.raises(TypeError, match="pattern"):
        app.channel(None)  # type: ignore[arg-type]
    for options in ({"history": -1}, {"ttl": 0}, {"history_bytes": 0}, {"ttl": float("nan")}):
        with pytest.raises(ValueError, match="history must not be negative"):
            app.channel("ok", **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="history must be a whole number"):
        app.channel("ok", history=None)  # type: ignore[arg-type]
    app.channel("twice")
    with pytest.raises(ValueError, match="'twice' is declared already"):
        app.channel("twice")


def test_hooks_are_checked() -> None:
    app = make_app()

    def wants_too_much(session: Session, other: str) -> None: ...

    with pytest.raises(TypeError, match="'other' is neither the session nor a part of the pattern"):
        app.channel("a/{x}")(wants_too_much)


@on_loop
async def test_the_memory_for_names_is_bounded() -> None:
    app = make_app()
    app.channel("a/{x}")
    async with app.serving():
        for n in range(25_000):
            hub_of(app).entries.rule(f"a/{n}")
        assert len(hub_of(app).entries._rules) <= 10_000


# --- hooks ------------------------------------------------------------------------------------------


@on_loop
async def test_who_may_follow(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()

    @app.channel("sync/{what}")
    def sync(session: Session, what: str) -> bool | None:
        return {"yes": True, "nothing": None, "no": False}[what]

    @app.channel("async/{what}")
    async def later(what: str) -> bool | None:
        await asyncio.sleep(0.005)
        return {"yes": True, "nothing": None, "no": False}[what]

    @app.channel("refuse/{what}")
    async def refuse(what: str) -> None:
        raise Refuse("too_young", f"no {what}")

    @app.channel("boom")
    def boom() -> None:
        raise RuntimeError("hunter2")

    expected = {
        "sync/yes": None,
        "sync/nothing": None,
        "sync/no": {"code": "forbidden", "message": "you may not follow this channel"},
        "async/yes": None,
        "async/nothing": None,
        "async/no": {"code": "forbidden", "message": "you may not follow this channel"},
        "refuse/x": {"code": "too_young", "message": "no x"},
        "boom": {"code": "failed", "message": "the hook failed"},
        "sync/typo": {"code": "failed", "message": "the hook failed"},
    }
    async with app.serving() as address, greeted(address) as link:
        for r, (name, refusal) in enumerate(expected.items(), 1):
            answer = await link.sub(r, name)
            assert answer[:2] == ["no" if refusal else "ok", r], name
            assert refusal is None or answer[2] == refusal
        assert app.stats().channels_followed == 5
    assert "hunter2" in caplog.text
    assert caplog.text.count("the subscription hook of") == 2


@on_loop
async def test_a_failing_hook_harms_one_link() -> None:
    """A hook that raises or never answers concerns the subscription that asked, and nobody else."""
    app = make_app()
    app.on("x")(lambda data: data)
    gate = asyncio.Event()

    @app.channel("slow/{n}")
    async def slow(n: str) -> None:
        await gate.wait()

    @app.channel("boom")
    def boom() -> None:
        raise RuntimeError

    app.channel("fine")
    async with app.serving() as address, greeted(address) as one, greeted(address) as two:
        one.say("sub", 1, "slow/1")
        assert (await one.sub(2, "boom"))[0] == "no"
        for n, link in enumerate((one, two), 1):
            assert (await link.sub(3, "fine"))[0] == "ok"
            assert await link.call(1, "x", n) == n
        one.say("unsub", 4, "slow/1")
        assert await one.hear("ok", n=4) == ["ok", 4, {}]
        two.say("sub", 5, "slow/2")
        two.say("sub", 6, "slow/2")
        await until(lambda: hub_of(app).judging.running == 3)
        gate.set()
        assert (await two.hear("ok"))[1] == 6
        await one.hears_nothing()
        await two.hears_nothing()


@on_loop
async def test_who_may_publish() -> None:
    app = make_app()
    closed = app.channel("closed")
    open_ = app.channel("open", publish=True)
    judged = app.channel("judged/{x}")

    @judged.on_publish
    async def may(session: Session, x: str) -> bool:
        await asyncio.sleep(0)
        if x == "boom":
            raise RuntimeError("hunter2")
        if x == "odd":
            raise Refuse("odd", x)
        return x == "yes"

    assert (closed.publish_allowed, open_.publish_allowed, judged.publish_allowed) == (False, True, True)
    async with app.serving() as address, greeted(address) as link:
        for r, name in enumerate(("open", "judged/yes"), 1):
            await link.sub(r, name)
        cases: list[tuple[str, Any]] = [
            ("closed", {"code": "forbidden", "message": "you may not publish here"}),
            ("judged/no", {"code": "forbidden", "message": "you may not publish here"}),
            ("judged/odd", {"code": "odd", "message": "odd"}),
            ("judged/boom", {"code": "failed", "message": "the handler failed"}),
        ]
        for n, (name, failure) in enumerate(cases, 1):
            link.say("pub", n, name, "e", n)
            assert (await link.hear("fail"))[1:] == [n, failure]
        link.say("pub", 10, "open", "e", {"a": 1})
        link.say("pub", 11, "judged/yes", "e", 2)
        while await link.hear("ack") != ["ack", 11]:
            pass
        assert sorted(await entries(link, 2)) == [["judged/yes", 1, "e", 2], ["open", 1, "e", {"a": 1}]]
        assert app.stats().entries_published == 2


@on_loop
async def test_publications_of_a_client_keep_their_order() -> None:
    """Also when the hook takes longer for some."""
    app = make_app()
    rule = app.channel("c")

    @rule.on_publish
    async def may(session: Session) -> None:
        core = next(iter(hub_of(app).node.sessions.values()))
        if core.pending[0].n % 3 == 0:
            await asyncio.sleep(0.005)

    async with app.serving() as address, greeted(address) as link:
        await link.sub(1, "c")
        for n in range(1, 13):
            link.say("pub", n, "c", "e", n)
        assert [entry[3] for entry in await entries(link, 12)] == list(range(1, 13))


@on_loop
async def test_event_names_of_entries() -> None:
    app = make_app()
    app.channel("c", publish=True)
    async with app.serving() as address, greeted(address) as link:
        for bad in ("", "@e", "a\nb", "x" * 256):
            with pytest.raises(ValueError, match="event"):
                await app.publish("c", bad)
            with pytest.raises(ValueError, match="event"):
                app.publish_now("c", bad)
            with pytest.raises(ValueError, match="event"):
                await app.sessions()[0].send(bad)
            with pytest.raises(ValueError, match="event"):
                app.sessions()[0].send_now(bad)
        link.say("pub", 1, "c", "@e", 1)
        assert (await link.end())[0] == 4200


@on_loop
async def test_entries_fit_what_clients_take() -> None:
    """What is larger than `ServerLimits.message` as a frame is refused where it comes from."""
    app = make_app(message=20_000)
    app.channel("{name}", publish=True)
    name = "ä" * 255
    frame = len(f'["msg","{name}",{2**53 - 1},"e","",0]'.encode())
    async with app.serving() as address, greeted(address) as link:
        await link.sub(1, name)
        await app.publish(name, "e", "x" * (20_000 - frame))
        assert len((await entries(link, 1))[0][3]) == 20_000 - frame
        for size in (20_001 - frame, 20_000, 100_000):
            with pytest.raises(ValueError, match=r"ServerLimits\.message is 20000"):
                await app.publish(name, "e", "x" * size)
            with pytest.raises(ValueError, match=r"ServerLimits\.message is 20000"):
                app.publish_now(name, "e", "x" * size)
        with pytest.raises(ValueError, match=r"ServerLimits\.message is 20000"):
            await app.sessions()[0].send("e", "x" * 20_000)
        with pytest.raises(ValueError, match=r"ServerLimits\.message is 20000"):
            app.sessions()[0].send_now("e", "x" * 20_000)
        for bad in (object(), {1, 2j}):
            with pytest.raises(TypeError):
                await app.publish(name, "e", bad)
        link.say("pub", 1, name, "e", "x" * (20_000 - len(f'["pub",1,"{name}","e",""]'.encode())))
        failure = await link.hear("fail")
        assert failure[2] == {"code": "too_big", "message": "an entry may have 20000 bytes"}
        await link.hears_nothing("msg")


@on_loop
async def test_the_same_key_adds_nothing() -> None:
    app = make_app()
    app.channel("c")
    async with app.serving() as address, greeted(address) as link:
        await link.sub(1, "c")
        offsets = [await app.publish("c", "e", n, key=key) for n, key in enumerate(("a", "b", "a", None, None))]
        assert offsets == [1, 2, 1, 3, 4]
        assert [entry[3] for entry in await entries(link, 4)] == [0, 1, 3, 4]
        await link.hears_nothing()


@on_loop
async def test_publishing_needs_a_server_that_serves() -> None:
    app = make_app()
    app.channel("c")
    for act in (lambda: app.publish_now("c", "e"), app.sessions, app.stats, lambda: app.presence("c")):
        with pytest.raises(RuntimeError, match="not serving"):
            act()
    with pytest.raises(RuntimeError, match="not serving"):
        await app.publish("c", "e")


# --- following --------------------------------------------------------------------------------------


@on_loop
async def test_history_is_kept_in_entries_and_gaps_are_named() -> None:
    app = make_app()
    app.channel("three", history=3)
    app.channel("none", history=0)
    app.channel("short", ttl=0.05)
    async with app.serving() as address, raw(address) as link:
        for n in range(1, 6):
            for name in ("three", "none", "short"):
                await app.publish(name, "e", n)
        await asyncio.sleep(0.06)  # what the ttl says, and nothing else ends it
        await link.hello(cursors=[[1, "three", [None, 1]], [2, "none", [None, 2]], [3, "short", [None, 3]]])
        heard = [await link.hear() for _ in range(3 + 3 + 3)]
        by_name = {
            name: [f for f in heard if f[1] in (name, r)] for r, name in ((1, "three"), (2, "none"), (3, "short"))
        }
        epoch = by_name["three"][0][2]["epoch"]
        assert by_name["three"] == [
            ["ok", 1, {"epoch": epoch, "offset": 1}],
            ["gap", "three", {"epoch": epoch, "after": 1, "to": 2, "reason": "history"}],
            *([["msg", "three", n, "e", n] for n in (3, 4, 5)]),
        ]
        assert by_name["none"][1][2] == {"epoch": epoch, "after": 2, "to": 5, "reason": "none"}
        assert by_name["short"][1][2] == {"epoch": epoch, "after": 3, "to": 5, "reason": "history"}
        await app.publish("none", "e", 6)
        assert await link.hear() == ["msg", "none", 6, "e", 6], "live entries come without history too"


@on_loop
async def test_volatile_messages_reach_who_follows_now() -> None:
    app = make_app()
    app.channel("c")
    async with app.serving() as address, greeted(address) as link, greeted(address) as other:
        app.publish_now("c", "e", 1)
        await link.sub(1, "c")
        app.publish_now("c", "e", {"x": 2})
        assert await link.hear() == ["now", "c", "e", {"x": 2}]
        await other.hears_nothing()


@on_loop
async def test_a_handler_publishes_to_whom_it_serves() -> None:
    """The nested way: a handler that publishes, to itself too, while its own turn runs."""
    app = make_app()
    app.channel("c")

    @app.on("say")
    async def say(session: Session, data: int) -> int:
        offset = await app.publish("c", "e", data)
        app.publish_now("c", "now", data)
        session.send_now("mine", data)
        await session.send("kept", data)
        return offset

    async with app.serving() as address, greeted(address) as link:
        await link.sub(1, "c")
        for n in range(1, 5):
            assert await link.call(n, "say", n) == n
        for n in range(1, 5):
            assert await link.hear("now", n="c") == ["now", "c", "now", n]
            assert await link.hear("now", n="@") == ["now", "@", "mine", n]
            assert await link.hear("msg", n="c") == ["msg", "c", n, "e", n]
            assert await link.hear("msg", n="@") == ["msg", "@", n, "kept", n]


# --- presence ---------------------------------------------------------------------------------------


@on_loop
async def test_presence_of_a_channel() -> None:
    app = make_app(presence_grace=0.2)
    app.channel("room/{x}", presence=True)
    app.channel("plain")

    @app.login
    def login(payload: str) -> str:
        return payload

    async with app.serving() as address, raw(address) as watcher:
        await watcher.hello(login="watcher")
        answer = await watcher.sub(1, "@who/room/a")
        assert answer[2]["state"] == []
        assert (await watcher.sub(2, "@who/plain"))[0] == "no", "a channel without presence"
        async with raw(address) as ann, raw(address) as ann_too:
            await ann.hello(login="ann")
            await ann_too.hello(login="ann")
            await ann.sub(1, "room/a")
            await ann_too.sub(1, "room/a")
            assert (await watcher.hear("msg"))[3:] == ["join", {"who": "ann"}]
            assert app.presence("room/a") == ["ann"]
            assert app.presence("room/b") == []
            async with raw(address) as late:
                await late.hello(login="late")
                answer = await late.sub(1, "@who/room/a")
                assert answer[2]["state"] == ["ann"], "the state is true at the offset of the answer"
                assert answer[2]["offset"] == 1
                await late.sub(2, "room/a")
                assert (await late.hear("msg"))[3:] == ["join", {"who": "late"}]
                await late.close()
            assert (await watcher.hear("msg"))[3:] == ["join", {"who": "late"}]
            await watcher.hears_nothing()  # within its grace nobody has left
            assert (await watcher.hear("msg"))[3:] == ["leave", {"who": "late"}]
            ann.say("unsub", 2, "room/a")
            await ann.hear("ok", n=2)
            await watcher.hears_nothing()  # one of two sessions
            app.sessions("ann")[1].close()
            assert (await watcher.hear("msg"))[3:] == ["leave", {"who": "ann"}], "at once: it will not come back"
            assert app.presence("room/a") == []


@on_loop
async def test_a_quick_return_is_no_news() -> None:
    app = make_app(presence_grace=5.0)
    app.channel("room", presence=True)
    async with app.serving() as address, greeted(address) as watcher:
        await watcher.sub(1, "@who/room")
        async with raw(address) as link:
            welcome = await link.hello(cursors=[[1, "room"]])
            assert (await watcher.hear("msg"))[3] == "join"
            link.drop()
        async with raw(address) as link:
            await link.resume(welcome, cursors=[[1, "room"]])
            await link.hear("ok")
            await watcher.hears_nothing()
            link.say("bye", "leaving")
            await link.end()
            assert (await watcher.hear("msg"))[3] == "leave"


@on_loop
async def test_presence_asks_the_hook_of_its_channel() -> None:
    app = make_app()

    @app.channel("club/{x}", presence=True)
    def club(session: Session, x: str) -> bool:
        return x == "open"

    async with app.serving() as address, greeted(address) as link:
        assert (await link.sub(1, "@who/club/open"))[0] == "ok"
        assert (await link.sub(2, "@who/club/closed"))[2]["code"] == "forbidden"
        await link.sub(3, "club/closed")
        assert app.presence("club/closed") == []
