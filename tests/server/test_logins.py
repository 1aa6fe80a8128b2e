"""Logins: who a client is, for how long, and what happens when it is nobody."""

import asyncio
from typing import Any

import msgspec
import pytest

from heartline import Heartbeat, Identity, Refuse, Request, Session
from heartline.server.options import new_id

from .raw import Raw, make_app, on_loop, raw

QUICK = Heartbeat(1.0, 1.0)  # the clock's grain is a fiftieth of it: expiry is noticed soon


async def refused(link: Raw, **hello: Any) -> tuple[dict[str, Any], int]:
    """Say hello and be refused: the body of `refused`, and the close code."""
    link.say("hello", {"instance": "i", "floor": 1} | hello)
    body = (await link.hear("refused"))[1]
    return body, (await link.end())[0]


@on_loop
async def test_a_login_gives_identity_and_user() -> None:
    app = make_app()

    @app.login
    def login(payload: dict[str, str]) -> Identity:
        return Identity(payload["user"], {"role": payload["role"]})

    @app.on("who")
    def who(session: Session) -> list[Any]:
        return [session.identity, session.user]

    async with app.serving() as address:
        async with raw(address) as link:
            welcome = await link.hello(login={"user": "ann", "role": "cook"})
            assert "expires_in" not in welcome
            assert await link.call(1, "who") == ["ann", {"role": "cook"}]
        async with raw(address) as link:
            assert (await link.resume(welcome, login={"user": "ann", "role": "boss"}))["resumed"]
            assert await link.call(2, "who") == ["ann", {"role": "boss"}], "the user is renewed with every link"
        assert [session.identity for session in app.sessions("ann")] == ["ann"]
        assert app.sessions("bob") == []
    assert "cook" not in repr(Identity("ann", "cook"))


@pytest.mark.parametrize("wait", [False, True])
@on_loop
async def test_logins_may_wait(wait: bool) -> None:
    app = make_app()

    @app.login
    async def login(payload: str, request: Request) -> str:
        if wait:
            await asyncio.sleep(0.01)
        return f"{payload} of {request.headers['x-team']}"

    async with app.serving() as address, raw(address, headers={"X-Team": "red"}) as link:
        await link.hello(login="ann")
        assert app.sessions()[0].identity == "ann of red"


@on_loop
async def test_a_login_may_look_at_the_request_alone() -> None:
    app = make_app()

    @app.login
    def login(request: Request) -> str:
        return request.query

    async with app.serving() as address, raw(f"{address.url}?token") as link:
        await link.hello(login={"ig": "nored"})
        assert app.sessions()[0].identity == "token"


@on_loop
async def test_refused_for_good_and_for_now() -> None:
    app = make_app()

    @app.login
    async def login(payload: str) -> str:
        if payload == "later":
            raise Refuse("busy", "come back", retry=2.5)
        if payload == "at once":
            raise Refuse("busy", retry=0)
        raise Refuse("unknown_user", f"no {payload}", details="stay here")

    async with app.serving() as address:
        async with raw(address) as link:
            body, code = await refused(link, login="ann")
            assert (body, code) == ({"code": "unknown_user", "message": "no ann", "retry": False}, 4201)
        async with raw(address) as link:
            body, code = await refused(link, login="later")
            assert (body, code) == ({"code": "busy", "message": "come back", "retry": 2.5}, 4006)
        async with raw(address) as link:
            body, code = await refused(link, login="at once")
            assert (body["retry"], code) == (0, 4006)
        assert app.stats().sessions == 0


@on_loop
async def test_a_typed_login() -> None:
    class Credentials(msgspec.Struct):
        user: str
        pin: int

    app = make_app()
    calls: list[Credentials] = []

    @app.login
    def login(payload: Credentials) -> str:
        calls.append(payload)
        return payload.user

    async with app.serving() as address:
        async with raw(address) as link:
            await link.hello(login={"user": "ann", "pin": 1})
        for bad, message in (
            (None, "Expected `object`, got `null` (at $)"),
            ({"user": "ann"}, "Object missing required field `pin` (at $)"),
            ({"user": "ann", "pin": "x"}, "Expected `int`, got `str` (at $.pin)"),
        ):
            async with raw(address) as link:
                body, code = await refused(link, login=bad)
                assert (body, code) == ({"code": "invalid", "message": message, "retry": False}, 4201)
    assert len(calls) == 1


@on_loop
async def test_login_must_return_an_identity(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()

    @app.login
    def login(payload: Any) -> Any:
        return {"none": None, "empty": "", "true": True, "dict": {"name": "ann"}}[payload]

    async with app.serving() as address:
        for bad in ("none", "empty", "true", "dict"):
            caplog.clear()
            async with raw(address) as link:
                body, code = await refused(link, login=bad)
                assert (body["code"], code) == ("failed", 4006)
            assert "must return an Identity or a non-empty string" in caplog.text
        assert app.stats().sessions == 0


@on_loop
async def test_a_failing_login_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()

    class Row(msgspec.Struct):
        name: str

    @app.login
    async def login(payload: str) -> str:
        if payload == "validation":
            msgspec.json.decode(b'{"secret": 5}', type=Row)
        if payload == "time-out":
            raise TimeoutError("the database at 10.0.0.1")
        if payload == "cancel":
            raise asyncio.CancelledError
        raise RuntimeError("the database at 10.0.0.1")

    async with app.serving() as address:
        for payload in ("validation", "time-out", "cancel", "x"):
            async with raw(address) as link:
                body, code = await refused(link, login=payload)
                assert body == {"code": "failed", "message": "the login could not be judged", "retry": 5.0}
                assert code == 4006
    assert caplog.text.count("the login hook failed") == 3
    assert "the database at" in caplog.text


def test_bad_logins_are_refused_early() -> None:
    app = make_app()
    with pytest.raises(TypeError, match="the payload, the request, or both"):
        app.login(lambda one, two: "x")
    with pytest.raises(TypeError, match="a login must be a function"):
        app.login("ann")  # type: ignore[type-var]
    app.login(lambda payload: "x")
    with pytest.raises(ValueError, match="there is a login already"):
        app.login(lambda payload: "y")


def test_identities_are_checked() -> None:
    for name in ("", None, 5):
        with pytest.raises(TypeError, match=r"Identity\.name must be a non-empty string"):
            Identity(name)  # type: ignore[arg-type]
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"Identity\.expires_in"):
            Identity("x", expires_in=seconds)


def test_ids_have_128_random_bits() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(i) for i in ids} == {22}  # 128 bits in base 64


# --- resuming ---------------------------------------------------------------------------------------


@on_loop
async def test_wrong_key_is_refused() -> None:
    """A replayed session id without its key; and nothing happens to the session."""
    app = make_app()
    app.on("x")(lambda data: data)
    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello()
        for key in ("x", welcome["key"][:-1] + "~", "", welcome["key"] + "A"):
            async with raw(address) as thief:
                if key:
                    body, code = await refused(thief, session=welcome["session"], key=key)
                    assert (body["code"], body["retry"], code) == ("not_your_session", False, 4204)
                else:
                    thief.say("hello", {"instance": "i", "floor": 1, "session": welcome["session"], "key": key})
                    assert (await thief.end())[0] == 4200
        for half in ({"session": welcome["session"]}, {"key": welcome["key"]}):
            async with raw(address) as thief:
                thief.say("hello", {"instance": "i", "floor": 1} | half)
                assert await thief.end() == (4200, "session and key come together or not at all")
        assert await link.call(1, "x", "mine") == "mine"
        assert app.stats().sessions == 1


@on_loop
async def test_another_identity_is_refused() -> None:
    app = make_app()
    app.on("x")(lambda data: data)

    @app.login
    def login(payload: str) -> str:
        return payload

    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello(login="ann")
        async with raw(address) as thief:
            body, code = await refused(thief, session=welcome["session"], key=welcome["key"], login="eve")
            assert (body["code"], code) == ("not_your_session", 4204)
        assert await link.call(1, "x", "mine") == "mine"


@on_loop
async def test_unknown_sessions_begin_anew() -> None:
    app = make_app()
    async with app.serving() as address, raw(address) as link:
        welcome = await link.hello(session="never-seen", key="whatever", floor=7)
        assert (welcome["resumed"], welcome["received"]) == (False, 0)
        assert welcome["session"] != "never-seen"
        assert len(welcome["key"]) == 22
