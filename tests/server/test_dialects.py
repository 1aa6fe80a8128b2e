"""The five wires over real sockets, by clients that know nothing of heartline.

Tests are named after the faults of existing servers that this one must not have.
"""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from heartline import Identity, Refuse, Request, Server, Session
from heartline.core.codes import Code
from heartline.faults import FaultProxy

from .raw import greeted, hub_of, make_app, on_loop, raw, until
from .wires import World, quick, wire

LOGIN = {"Operator": "userLogin", "userCode": "ann-1", "userInfo": {"nickName": "Ann"}}
IDENTITY = {"memberId": "m-7", "token": "t"}
BINDING = {
    "type": "bindCard",
    "cardId": "c-1",
    "BusinessID": "b-1",
    "phone": "555",
    "memberId": "m-7",
    "BusinessName": "Tea",
    "baseId": "1",
}
ROWS = [{"traderid": 7, "flwsig": True, "sigtraderid": 3}, {"traderid": 7, "flwsig": False}]
PATHS = ["/heart/websocket?7&ann", "/card", "/echo", "/trades", "/community"]


def cards() -> tuple[Server, dict[str, dict[str, Any]]]:
    """A card server: who is who, what is bound."""
    app, bound = make_app(path="/card/native"), {}
    app.speak("/card", "card")

    @app.login
    def login(identity: dict[str, Any]) -> str:
        if identity.get("memberId") != "m-7":
            raise Refuse("403", "nobody knows you")
        return "m-7"

    @app.on("bindCard")
    async def bind(session: Session, said: dict[str, Any]) -> None:
        bound[f"{session.identity}/{said['cardId']}"] = said
        await session.send("bind_ack", {"code": "200", "success": True})

    return app, bound


def people() -> tuple[Server, list[Any]]:
    """A community server."""
    app, handled = make_app(path="/community/native"), []
    app.speak("/community", "community")

    @app.login
    async def login(said: dict[str, Any]) -> Identity:
        await asyncio.sleep(0)
        code = said.get("userCode", "")
        if code == "mallory":
            raise Refuse("banned", "you know why")
        if not code:
            raise Refuse("wrong", "no code")
        return Identity(str(code), say={"openId": f"o-{code}"})

    @app.on("GetInvitation")
    async def get(said: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(said.get("wait", 0))
        return {"data": [said.get("id")], "serverTime": 5}

    @app.on("CreateInvitation")
    def create(said: dict[str, Any]) -> None:
        handled.append(said)

    @app.on("LoveInvitation")
    def love(said: dict[str, Any]) -> None:
        raise Refuse("gone", "there is no such post")

    return app, handled


@contextmanager
def quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing here is news for an operator."""
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    yield
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


# heart


@on_loop
async def test_text_ping_gets_text_pong() -> None:
    world = World()
    async with world.app.serving() as address, wire(address, "/heart/websocket?7&ann") as client:
        for _ in range(3):
            await client.say("ping")
            assert await client.text() == "pong"
        assert await client.ask("hello") == "hello!"
        assert await client.ask('{"a":1}') == '{"a":1}!'
        await client.say("Ping", "ping ", "")
        assert [await client.text() for _ in range(3)] == ["Ping!", "ping !", "!"]
    assert world.handled == ["hello", '{"a":1}', "Ping", "ping ", ""]


@on_loop
async def test_two_bare_query_values() -> None:
    """`websocket?<taskId>&<userId>`, and the headers: for the login and for handlers."""
    app = make_app()
    app.speak("/heart/websocket", "heart")
    seen: list[Any] = []

    @app.login
    def login(payload: None, request: Request) -> Identity:
        task, _, user = request.query.partition("&")
        if not user:
            raise Refuse("who", "no user")
        return Identity(user, {"task": task, "agent": request.headers["x-agent"]})

    @app.on("message")
    def message(session: Session) -> None:
        assert session.request is not None
        seen.append((session.identity, session.user, session.request.query, session.request.headers["x-agent"]))

    async with app.serving() as address:
        headers = {"X-Agent": "mini"}
        async with wire(address, "/heart/websocket?7&ann", additional_headers=headers) as client:
            assert await client.ask("ping") == "pong"
            await client.say("x")
            await until(lambda: seen)
        async with wire(address, "/heart/websocket?7", additional_headers=headers) as client:
            assert await client.end() == (Code.LOGIN_REFUSED, "who")
    assert seen == [("ann", {"task": "7", "agent": "mini"}, "7&ann", "mini")]


# card


@on_loop
async def test_identity_then_binding() -> None:
    app, bound = cards()
    async with app.serving() as address, wire(address, "/card") as client:
        await client.say({"type": "heartBeat", "msg": "this is heatbeat"})  # before the identity, as some do
        await client.say(IDENTITY)
        assert await client.text() == '{"code":"200","success":true,"msgType":"auth_ack"}'
        await client.say({"type": "heartBeat", "msg": "this is heatbeat"}, BINDING)
        assert await client.hear() == {"msgType": "bind_ack", "code": "200", "success": True}
        assert list(bound["m-7/c-1"]) == list(BINDING), "in the order in which it was said"
        await client.hears_nothing()


@on_loop
async def test_binding_twice_must_not_bind_twice() -> None:
    """Both are repeated after every reconnect, and may be on one link."""
    app, bound = cards()
    async with app.serving() as address:
        for _ in range(3):
            async with wire(address, "/card") as client:
                assert (await client.ask(IDENTITY))["msgType"] == "auth_ack"
                for _ in range(2):
                    assert (await client.ask(BINDING))["msgType"] == "bind_ack"
        assert list(bound) == ["m-7/c-1"]
        await until(lambda: app.stats().sessions == 0, "no link leaves a session behind")


@on_loop
async def test_a_refused_identity_is_told() -> None:
    app, bound = cards()
    async with app.serving() as address, wire(address, "/card") as client:
        await client.say({"memberId": "m-8"}, BINDING)
        assert await client.hear() == {"msgType": "auth_ack", "code": "403", "msg": "nobody knows you"}
        assert await client.end() == (Code.LOGIN_REFUSED, "403")
    assert bound == {}


@on_loop
async def test_who_says_nothing_is_not_waited_for() -> None:
    app = make_app(hello_timeout=0.3)
    app.speak("/card", "card")
    app.login(lambda payload: "x")
    async with app.serving() as address, wire(address, "/card") as client:
        assert (await client.end())[0] == Code.HELLO_TIMEOUT


# echo


@on_loop
async def test_echo_of_messages_and_beats() -> None:
    world = World()
    said = {"ModeCode": "message", "msg": {"a": [1, 2.5, None, "é😀"]}, "from": "ann", "n": 2**53}
    async with world.app.serving() as address, wire(address, "/echo") as client, wire(address, "/echo") as other:
        assert await client.ask(said) == said
        assert await client.ask({"ModeCode": "heart_beat", "msg": 1700000000000}) == {
            "ModeCode": "heart_beat",
            "msg": 1700000000000,
        }
        assert await client.ask({"ModeCode": "heart_beat", "msg": 1, "more": []}) == {
            "ModeCode": "heart_beat",
            "msg": 1,
            "more": [],
        }
        await client.say({"ModeCode": "other", "msg": 1})
        await client.hears_nothing()
        await other.hears_nothing()


@on_loop
async def test_binary_counts_as_text() -> None:
    world = World()
    async with world.app.serving() as address, wire(address, "/echo") as client:
        for said in (b'{"ModeCode":"message","msg":"binary"}', b'{"ModeCode":"heart_beat","msg":5}'):
            await client.say(said)
            assert await client.text() == said.decode()
        await client.say(b"\xff\xfe", b"", b"{")
        assert (await client.ask({"ModeCode": "message", "msg": 1}))["msg"] == 1
    async with world.app.serving() as address, wire(address, "/heart/websocket") as client:
        assert await client.ask(b"ping") == "pong"


@on_loop
async def test_fragments_are_put_together() -> None:
    world = World()
    async with world.app.serving() as address, wire(address, "/echo") as client:
        await client.ws.send(['{"ModeCode":', '"message",', '"msg":"in parts"}'])
        assert (await client.hear())["msg"] == "in parts"


@on_loop
async def test_a_client_with_all_the_habits_of_its_library() -> None:
    """It offers compression, pings by itself and wants pongs."""
    world = World()
    habits = {"compression": "deflate", "ping_interval": 0.1, "ping_timeout": 2.0}
    async with world.app.serving() as address, wire(address, "/echo", **habits) as client:
        for n in range(5):
            assert (await client.ask({"ModeCode": "message", "msg": n}))["msg"] == n
            await asyncio.sleep(0.1)


@on_loop
async def test_what_failed_is_not_echoed(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    async with world.app.serving() as address, wire(address, "/echo") as client:
        await client.say({"ModeCode": "message", "msg": "boom"}, {"ModeCode": "message", "msg": "fine"})
        assert (await client.hear())["msg"] == "fine"
    assert "hunter2" in caplog.text


# trades


@on_loop
async def test_positions_are_pushed() -> None:
    world = World()
    async with world.app.serving() as address, wire(address, "/trades") as client, wire(address, "/trades") as other:
        await client.say({"traderid": 10260, "type": "Ping"}, {"type": "Subscribe", "traderid": 7})
        await other.say({"type": "Subscribe", "traderid": 8})
        await until(lambda: world.app.stats().channels_followed == 2)
        push = {"Code": 200, "data": ROWS}
        await world.app.publish("positions/7", "getPositonsOrder", push)
        assert await client.text() == json.dumps(push, separators=(",", ":"))
        await other.hears_nothing()
        await client.say({"type": "Stop", "traderid": 7})
        await until(lambda: world.handled)
        assert world.handled == [{"type": "Stop", "traderid": 7}]
        await client.ws.close(1000)
    assert client.ws.close_code == 1000


@on_loop
async def test_one_push_is_delivered_once() -> None:
    """However often the client has subscribed."""
    world = World()
    async with world.app.serving() as address, wire(address, "/trades") as client:
        for _ in range(5):
            await client.say({"type": "Subscribe", "traderid": 7})
        await until(lambda: world.app.stats().channels_followed == 1)
        await world.app.publish("positions/7", "e", {"Code": 200, "data": [1]})
        assert await client.hear() == {"Code": 200, "data": [1]}
        await client.hears_nothing()


@on_loop
async def test_what_was_taken_away_comes_no_more() -> None:
    world = World()
    async with world.app.serving() as address, wire(address, "/trades") as client:
        await client.say({"type": "Subscribe", "traderid": 7})
        await until(lambda: world.app.stats().channels_followed == 1)
        (session,) = world.app.sessions()
        session.revoke("positions/7")
        await world.app.publish("positions/7", "e", {"Code": 200, "data": [1]})
        await client.hears_nothing()
        await client.say({"type": "Subscribe", "traderid": 7})
        await until(lambda: world.app.stats().channels_followed == 1)
        await world.app.publish("positions/7", "e", {"Code": 200, "data": [2]})
        assert (await client.hear())["data"] == [2]


@on_loop
async def test_a_push_for_many_is_whole_for_each() -> None:
    world = World()
    async with world.app.serving() as address:
        clients = [wire(address, "/trades") for _ in range(20)]
        wires = [await one.__aenter__() for one in clients]
        for one in wires:
            await one.say({"type": "Subscribe", "traderid": 7})
        await until(lambda: len(world.app.sessions()) == 20)
        hub = hub_of(world.app)
        await until(lambda: len(hub.node.tails.get("positions/7").followers) == 20 if hub.node.tails else False)
        for n in range(1, 11):
            await world.app.publish("positions/7", "e", {"Code": 200, "data": [n]})
        for one in wires:
            assert [(await one.hear())["data"] for _ in range(10)] == [[n] for n in range(1, 11)]
        for client in clients:
            await client.__aexit__(None, None, None)


# community


@on_loop
async def test_login_posts_and_replies() -> None:
    app, handled = people()
    async with app.serving() as address, wire(address, "/community") as client:
        assert await client.ask({"Operator": "Heart"}) == {"Operator": "HeartOK"}
        assert await client.ask(LOGIN) == {"Operator": "LoginOK", "openId": "o-ann-1"}
        assert await client.ask({"Operator": "GetInvitation", "id": 7, "limt": 3, "skip": 0}) == {
            "Operator": "GetInvitationOK",
            "data": [7],
            "serverTime": 5,
        }
        await client.say({"Operator": "CreateInvitation", "isRichText": False, "Table": "T", "Text": "x"})
        assert await client.ask({"Operator": "LoveInvitation", "id": 9}) == {
            "Operator": "LoveInvitationError",
            "code": "gone",
            "msg": "there is no such post",
        }
    assert handled == [{"isRichText": False, "Table": "T", "Text": "x"}]


@on_loop
async def test_two_requests_in_flight_each_get_their_answer() -> None:
    app, _ = people()
    async with app.serving() as address, wire(address, "/community") as client:
        await client.ask(LOGIN)
        await client.say(
            {"Operator": "GetInvitation", "id": 1, "wait": 0.1}, {"Operator": "GetInvitation", "id": 2, "wait": 0}
        )
        assert [(await client.hear())["data"] for _ in range(2)] == [[1], [2]]


@on_loop
async def test_what_waits_for_the_login_is_done_in_order() -> None:
    """A client that sends its buffer right behind the login, and does not wait for the answer."""
    app, handled = people()
    async with app.serving() as address, wire(address, "/community") as client:
        await client.say(LOGIN, *({"Operator": "CreateInvitation", "n": n} for n in range(200)))
        assert (await client.hear())["Operator"] == "LoginOK"
        await until(lambda: len(handled) == 200)
    assert [said["n"] for said in handled] == list(range(200))


@pytest.mark.parametrize(
    ("code", "answer", "reason"),
    [("mallory", {"Operator": "BanLogin", "msg": "you know why"}, "banned"),
     ("", {"Operator": "LoginError", "msg": "no code"}, "wrong")],
)  # fmt: skip
@on_loop
async def test_refused_and_banned_logins(code: str, answer: Any, reason: str) -> None:
    app, _ = people()
    async with app.serving() as address, wire(address, "/community") as client:
        assert await client.ask(LOGIN | {"userCode": code}) == answer
        assert await client.end() == (Code.LOGIN_REFUSED, reason)


@on_loop
async def test_a_login_that_fails_is_for_another_time(caplog: pytest.LogCaptureFixture) -> None:
    """The hook raised: no verdict on the person, so nothing is said of one, and the client comes back later."""
    app = make_app()
    app.speak("/community", "community")

    @app.login
    def login(said: Any) -> str:
        raise RuntimeError("hunter2")

    async with app.serving() as address, wire(address, "/community") as client:
        await client.say(LOGIN)
        with pytest.raises(Exception, match="4006"):
            await client.hear()


@on_loop
async def test_an_operator_named_like_a_built_in_method_calls_it(caplog: pytest.LogCaptureFixture) -> None:
    """Here it calls nothing, and says nothing."""
    app, handled = people()
    names = [
        "__proto__",
        "constructor",
        "toString",
        "hasOwnProperty",
        "valueOf",
        "__init__",
        "__class__",
        "login",
        "on",
    ]
    with quiet_log(caplog):
        async with app.serving() as address, wire(address, "/community") as client:
            await client.ask(LOGIN)
            await client.say(
                *({"Operator": name, "id": 1} for name in names), *({"Operator": n} for n in (1, None, {}))
            )
            assert await client.ask({"Operator": "Heart"}) == {"Operator": "HeartOK"}
            await client.hears_nothing()
    assert handled == []


# whoever is dead, slow or mad


@pytest.mark.parametrize("name", ["heart", "card", "echo", "trades", "community"])
@on_loop
async def test_the_server_keeps_dead_clients(name: str) -> None:
    """Here it does not: found within interval and time-out, even where nothing answers the beat."""
    app = make_app()
    app.speak("/ws", quick(name))
    ended: list[str] = []
    app.ended(lambda session: ended.append(session.id))
    async with (
        app.serving() as address,
        FaultProxy(("127.0.0.1", address.port)) as proxy,
        raw(proxy.url(path="/ws"), subprotocols=()) as client,
    ):
        await until(lambda: app.stats().sessions == 1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await until(lambda: loop.time() - began > 0.8)
        assert app.stats().links == 1, "it answers pings of RFC 6455, so it lives"
        proxy.freeze()
        began = loop.time()
        await until(lambda: app.stats().links == 0)
        assert loop.time() - began < 2.0
        assert len(ended) == 1
        assert client.socket is not None


@on_loop
async def test_one_bad_message_kills_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """Here it does not, nor the link it came on, nor anybody else's."""
    world, (card_app, _), (community, _) = World(frames=1e9), cards(), people()
    world.app.mount(card_app)
    world.app.mount(community)
    rubbish: list[Any] = [
        "", " ", "null", "true", "0", "-1", "1e999", '""', "[]", "{}", "[[]]", "not json", "{", '{"a":', "\x00", "﻿{}",
        "[" * 50_000, '{"a":' * 5_000, "[" * 900 + "]" * 900, '"\\ud800"', '{"Operator":"\\ud800"}', b"\xff\xfe", b"",
        '{"ModeCode":"__proto__"}', '{"Operator":"constructor"}', '{"__proto__":{"x":1}}', '{"type":"__proto__"}',
        '{"ModeCode":{"$text":"x"}}', '{"ModeCode":["message"],"msg":1}', '{"Operator":"@"}', '{"Operator":""}',
        '{"type":"Subscribe","traderid":{"a":1}}', '{"type":"Subscribe","traderid":"7"}', '{"type":5}',
        '{"Operator":"' + "x" * 1000 + '"}', '{"Operator":"userLogin","userCode":[],"userInfo":5}',
        '["call",1,"x",1]', '["hello",{"instance":"i","floor":1}]', '["bye",""]', '["ping",1]',
    ]  # fmt: skip
    with quiet_log(caplog):
        async with world.app.serving() as address, wire(address, "/echo") as neighbour, greeted(address) as native:
            for at, path in enumerate(PATHS):
                async with wire(address, path) as client:
                    if path == "/card":
                        await client.ask(IDENTITY)
                    elif path == "/community":
                        await client.ask(LOGIN)
                    await client.say(*rubbish)
                    if path.startswith("/heart"):
                        await client.say("ping")
                        while await client.text() != "pong":
                            pass
                    elif path in ("/echo", "/community"):
                        beat = {"/echo": {"ModeCode": "heart_beat", "msg": 77}, "/community": {"Operator": "Heart"}}[
                            path
                        ]
                        await client.say(beat)
                        while (await client.hear()).get("msg", "") not in (77, ""):
                            pass
                    else:
                        await client.say("null")
                        await (await client.ws.ping())
                assert (await neighbour.ask({"ModeCode": "message", "msg": path}))["msg"] == path
                assert await native.call(at + 1, "x", path) == path
