"""Credentials that run out, and limits of the handshake."""

import asyncio
import logging
from typing import Any

import pytest

from heartline import Heartbeat, Identity, Refuse, Session

from .raw import Raw, hub_of, make_app, on_loop, raw, until

QUICK = Heartbeat(1.0, 1.0)  # the clock's grain is a fiftieth of it: expiry is noticed soon


QUICK = Heartbeat(1.0, 1.0)  # the clock's grain is a fiftieth of it: expiry is noticed soon


async def refused(link: Raw, **hello: Any) -> tuple[dict[str, Any], int]:
    """Say hello and be refused: the body of `refused`, and the close code."""
    link.say("hello", {"instance": "i", "floor": 1} | hello)
    body = (await link.hear("refused"))[1]
    return body, (await link.end())[0]


# --- credentials that run out -----------------------------------------------------------------------


@on_loop
async def test_credentials_are_renewed_on_a_live_link() -> None:
    app = make_app(heartbeat=QUICK)
    logins: list[str] = []

    @app.login
    def login(payload: str) -> Identity:
        logins.append(payload)
        return Identity("ann", payload, expires_in=0.6)

    @app.on("who")
    def who(session: Session) -> Any:
        return session.user

    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello(login="first")
        assert welcome["expires_in"] == 0.6
        for n, name in enumerate(("second", "third"), 1):
            expiring = (await link.hear("expiring"))[1]
            assert 0.2 < expiring["in"] <= 0.3 + 1e-9, "not before half of the time is over"
            link.say("login", name)
            assert await link.hear("ok", n=0) == ["ok", 0, {"expires_in": 0.6}]
            assert await link.call(n, "who") == name
    assert logins == ["first", "second", "third"]


@on_loop
async def test_expired_credentials_end_the_link() -> None:
    app = make_app(heartbeat=QUICK)

    @app.login
    def login(payload: str) -> Identity:
        if payload == "stolen":
            raise Refuse("revoked")
        return Identity(payload, expires_in=0.4)

    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello(login="ann")
            assert (await link.hear())[0] == "expiring"
            assert await link.end() == (4100, "the credentials ran out")
        async with raw(address) as link:  # the session is still there for who logs in again
            assert (await link.resume(welcome, login="ann"))["resumed"]
            await link.hear("expiring")
            link.say("login", "stolen")
            assert (await link.hear("refused"))[1] == {"code": "revoked", "message": "", "retry": False}
            link.say("login", "bob")
            assert (await link.hear("refused"))[1]["code"] == "not_your_session"
            link.say("login", "ann")
            assert await link.hear("ok") == ["ok", 0, {"expires_in": 0.4}], "a refused renewal changes nothing"
            assert (await link.end())[0] == 4100


@on_loop
async def test_renewed_credentials_may_allow_less() -> None:
    app = make_app()
    app.channel("free/{x}")

    @app.login
    def login(payload: str) -> Identity:
        return Identity("ann", payload)

    @app.channel("paid/{x}")
    def paid(session: Session) -> bool:
        return bool(session.user == "gold")

    async with app.serving() as address, raw(address) as link:
        await link.hello(login="gold", cursors=[[1, "paid/a"], [2, "free/a"]])
        assert {(await link.hear())[:2][1] for _ in range(2)} == {1, 2}
        link.say("login", "gold")
        assert (await link.hear())[0] == "ok"
        await link.hears_nothing()
        link.say("login", "silver")
        assert await link.hear() == ["ok", 0, {}]
        assert (await link.hear())[:2] == ["no", 1]
        await app.publish("paid/a", "e", 1)
        await app.publish("free/a", "e", 2)
        assert (await link.hear())[1] == "free/a"
        await link.hears_nothing()


# --- limits -----------------------------------------------------------------------------------------


@on_loop
async def test_logins_have_a_time_limit(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app(hello_timeout=0.2, heartbeat=QUICK)
    ended = []

    @app.login
    async def login(payload: str) -> str:
        try:
            if payload == "slow":
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(payload)
            raise
        return "ann"

    async with app.serving() as address:
        async with raw(address) as link:
            link.say("hello", {"instance": "i", "floor": 1, "login": "slow"})
            assert (await link.end())[0] in {4003, 4006}
        await until(lambda: ended == ["slow"], "the hook is cancelled in time")
        async with raw(address) as link:
            await link.hello(login="quick")
            link.say("login", "slow")
            assert (await link.hear("refused"))[1]["code"] == "failed"
            assert ended == ["slow", "slow"]
        assert hub_of(app).judging.running == 0


@on_loop
async def test_one_renewal_at_a_time() -> None:
    app = make_app()
    gate = asyncio.Event()
    running = 0

    @app.login
    async def login(payload: int) -> str:
        nonlocal running
        if payload:
            running += 1
            await gate.wait()
        return "ann"

    async with app.serving() as address, raw(address) as link:
        await link.hello(login=0)
        for n in range(1, 51):
            link.say("login", n)
        for _ in range(49):
            assert (await link.hear("refused"))[1]["code"] == "busy"
        assert running == 1
        gate.set()
        assert await link.hear() == ["ok", 0, {}]
        link.say("login", 51)
        assert await link.hear() == ["ok", 0, {}]


@on_loop
async def test_handshake_has_a_time_limit() -> None:
    """Also for those who send pings, or nothing at all."""
    app = make_app(hello_timeout=0.2, heartbeat=QUICK)
    async with app.serving() as address, raw(address) as silent, raw(address) as chatty:
        for _ in range(3):
            chatty.say("ping", 1)
            assert await chatty.hear() == ["pong", 1]
        for link in (silent, chatty):
            assert await link.end() == (4003, "no end of the handshake in time")
        assert app.stats().links == 0


@on_loop
async def test_nothing_numbered_before_welcome() -> None:
    app = make_app()
    gate = asyncio.Event()
    app.on("x")(lambda data: data)

    @app.login
    async def login(payload: Any) -> str:
        await gate.wait()
        return "ann"

    async with app.serving() as address:
        async with raw(address) as link:
            link.say("hello", {"instance": "i", "floor": 1})
            link.say("ping", "p")
            assert await link.hear() == ["pong", "p"]
            link.say("call", 1, "x", 1)
            assert await link.end() == (4200, "nothing but ping, pong and bye before welcome")
        async with raw(address) as link:
            link.say("hello", {"instance": "i", "floor": 1})
            link.say("bye", "no")
            assert (await link.end())[0] == 4203
        gate.set()


@on_loop
async def test_sessions_per_user() -> None:
    app = make_app(sessions_per_user=3)

    @app.login
    def login(payload: str) -> str:
        return payload

    ended: list[str] = []

    @app.ended
    def over(session: Session) -> None:
        ended.append(session.id)

    async with (
        app.serving() as address,
        raw(address) as one,
        raw(address) as two,
        raw(address) as three,
        raw(address) as four,
    ):
        first = await one.hello(login="ann")
        second = await two.hello(login="ann")
        await three.hello(login="ann")
        body, code = await refused(four, login="ann")
        assert (body["code"], code) == ("too_many_sessions", 4205)
        async with raw(address) as other:
            await other.hello(login="bob")
        await two.close()
        await one.close()
        await until(lambda: app.stats().detached == 3)
        async with raw(address) as five:  # the one that was detached first makes room
            await five.hello(login="ann")
            assert ended == [second["session"]]
            async with raw(address) as back:
                assert (await back.resume(first, login="ann"))["resumed"]


@on_loop
async def test_anonymous_sessions() -> None:
    app = make_app()
    app.on("x")(lambda data: data)
    app.channel("room")
    said: list[Any] = []

    @app.on("mine")
    async def mine(session: Session) -> list[Any]:
        said.append(repr(session))
        try:
            await session.send("e")
        except ValueError as error:
            said.append(str(error))
        session.send_now("now", 5)
        return [session.identity, session.connected, session.ended]

    async with app.serving() as address:
        async with raw(address, subprotocols=()) as link:
            assert await link.call(1, "x", 1) == 1
            assert (await link.sub(1, "room"))[0] == "ok"
            assert await link.call(2, "mine") == ["", True, False]
            assert await link.hear() == ["now", "@", "now", 5]
            link.say("send", 3, "x", None)
            assert await link.hear() == ["ack", 3]
            assert app.stats().sessions == 1
            link.say("hello", {"instance": "i", "floor": 1})
            assert await link.end() == (4200, "hello comes first or never")
        await until(lambda: not app.stats().sessions, "nothing can come back to it")
    assert said[0].endswith("of anybody>")
    assert "an anonymous session has no inbox" in said[1]


@pytest.mark.parametrize(("login", "anonymous", "allowed"), [
    (False, None, True), (True, None, False), (True, True, True), (False, False, False)
])  # fmt: skip
@on_loop
async def test_who_may_be_anonymous(login: bool, anonymous: bool | None, allowed: bool) -> None:
    app = make_app(anonymous=anonymous)
    app.on("x")(lambda data: data)
    if login:
        app.login(lambda payload: "ann")
    async with app.serving() as address, raw(address) as link:
        if allowed:
            assert await link.call(1, "x", 1) == 1
            return
        link.say("call", 1, "x", 1)
        body = (await link.hear("refused"))[1]
        assert body == {"code": "login_required", "message": "say hello first", "retry": False}
        assert (await link.end())[0] == 4201


@on_loop
async def test_keys_are_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Neither by a session nor by anything that hangs on it, nor by the trace, nor a second time by welcome."""
    caplog.set_level(logging.DEBUG)
    traced: list[str] = []
    app = make_app(trace=lambda now, what, details: traced.append(f"{what} {details}"))
    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello(login="open sesame")
        session = app.sessions()[0]
        shown = repr(session) + str(session) + repr(vars(type(session))) + repr(app.stats()) + "".join(traced)
        assert welcome["key"] not in shown + caplog.text
        assert not hasattr(session, "key")
        async with raw(address) as again:
            assert "key" not in await again.resume(welcome)
