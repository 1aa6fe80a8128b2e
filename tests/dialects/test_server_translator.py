"""The server's translator in front of a real node, in virtual time: every dialect, every answer, every rubbish."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartline.core.frames import At, Settled, Sub
from heartline.core.policy import ServerLimits
from heartline.core.ports import History
from heartline.core.server.verdicts import Accepted, RefusedLogin
from heartline.core.states import LinkState
from heartline.dialects import presets
from heartline.dialects.server_translator import FULL, PROBE
from heartline.dialects.spec import Beat, Dialect, Event, Login, Request, Send, Subscribe
from tests.core.server.world import World

from .foreign import PING, Foreigner

LOGIN = {"Operator": "userLogin", "userCode": "c", "userInfo": {"nickName": "Ann"}}
IDENTITY = {"memberId": "m-1", "token": "t"}
BINDING = {"type": "bindCard", "cardId": "c-1", "memberId": "m-1"}


def traders(args: Any) -> str | None:
    """The channel function of a trades server."""
    if isinstance(args, dict) and args.get("type") == "Subscribe":
        return f"positions/{args.get('traderid')}"
    return None


def ended(peer: Foreigner, n: int, **how: Any) -> list[Any]:
    """End a message that runs; what the client hears of it."""
    peer.new = []
    peer.world.finish(n, **how)
    return peer.look()


# beats


def test_heart_beats() -> None:
    peer = Foreigner(World(), "heart")
    assert peer.tell("ping") == ["pong"]
    assert peer.raw == [b"pong"]
    assert peer.tell("Ping", '"ping"', " ping") == []
    assert [data for _, _, data in peer.asked()] == ["Ping", '"ping"', " ping"]


@pytest.mark.parametrize(
    ("dialect", "beat", "answer"),
    [
        ("echo", {"ModeCode": "heart_beat", "msg": 12}, [{"ModeCode": "heart_beat", "msg": 12}]),
        ("echo", {"ModeCode": "heart_beat"}, [{"ModeCode": "heart_beat"}]),
        ("card", {"type": "heartBeat", "msg": "this is heatbeat"}, []),
        ("trades", {"traderid": 99, "type": "Ping"}, []),
        ("trades", {"traderid": "99", "type": "Ping", "more": 1}, []),
        ("community", {"Operator": "Heart"}, [{"Operator": "HeartOK"}]),
        ("phoenix", [None, "7", "phoenix", "heartbeat", {}], [[None, "7", "phoenix", "phx_reply", {"status": "ok"}]]),
    ],
)
def test_beats_are_answered_as_the_dialect_says(dialect: str, beat: Any, answer: list[Any]) -> None:
    for judged in (False, True):
        peer = Foreigner(World(), dialect, judged=judged)
        assert peer.tell(beat) == answer
        assert peer.asked() == []
        assert peer.link.state is not LinkState.CLOSED


def test_an_echo_keeps_unknown_fields() -> None:
    peer = Foreigner(World(), "echo")
    peer.world.auto = True
    for said in (
        {"ModeCode": "message", "msg": "hello", "from": "ann", "deep": {"x": [1, None]}},
        {"ModeCode": "heart_beat", "msg": 1700, "k": "v"},
        {"ModeCode": "message", "msg": None},
        {"ModeCode": "message"},
    ):
        assert peer.tell(said) == [said]


def test_a_server_that_beats() -> None:
    dialect = Dialect(
        "by", beat=Beat(say={"op": "are you there", "at": "$now_ms"}, answer={"op": "yes"}, by="server", interval=3)
    )
    world = World()
    peer = Foreigner(world, dialect)
    assert peer.translator.next_deadline() == 3
    peer.translator.tick(2.9)
    assert peer.look() == []
    peer.translator.tick(3.0)
    assert peer.look() == [{"op": "are you there", "at": 1_700_000_000_000}]
    assert peer.translator.next_deadline() == 6
    world.advance(2.5)
    assert peer.tell({"op": "yes"}) == []
    assert peer.asked() == []
    assert peer.link.life.heard_at == 2.5
    peer.translator.tick(100)  # asleep: one beat, not thirty
    assert len(peer.look()) == 1


# life


@pytest.mark.parametrize("name", ["heart", "card", "echo", "trades", "community", "plain"])
def test_a_dead_client_is_closed_within_interval_and_timeout(name: str) -> None:
    world = World()
    peer = Foreigner(world, name)
    beat = presets.load(name).beat
    assert beat is not None
    world.advance(beat.interval + world.node.wheel.grain)
    assert peer.look() == [PING]
    assert peer.closed is None
    world.advance(beat.interval + beat.timeout + 2 * world.node.wheel.grain)
    assert peer.closed == (4000, "nothing was heard from the client")


def test_any_traffic_is_life() -> None:
    for says in ("rubbish", {"Operator": "Heart"}, {"Operator": "x"}, "null", PING):
        world = World()
        peer = Foreigner(world, "community")
        for at in range(0, 500, 40):
            world.advance(at)
            if says == PING:
                world.node.alive(peer.link, world.now)  # the pong of RFC 6455
            else:
                peer.tell(says)
        assert peer.closed is None


def test_a_client_that_is_not_read_is_not_dead() -> None:
    world = World()
    peer = Foreigner(world, "plain")
    peer.translator.said(b'["ping",5]', paused=True)
    assert peer.translator.up == [b'["pong",5]']
    assert peer.translator.down == []


def test_who_floods_and_never_reads_is_dead_in_time() -> None:
    """That it is not read, for it takes no answers, does not make it live for ever."""
    world = World()
    peer = Foreigner(world, "plain")
    peer.translator.blocked = True
    peer.translator.said(b'["ping",5]', paused=True)
    assert (peer.translator.up, peer.translator.down) == ([], [PROBE])


# logins


def test_nothing_counts_before_the_login() -> None:
    world = World()
    peer = Foreigner(world, "community", judged=True)
    assert peer.tell({"Operator": "CreateInvitation", "Text": "x"}) == [
        {"Operator": "CreateInvitationError", "code": "login_required", "msg": "log in first"}
    ]
    assert peer.tell("[]", {"Operator": 5}, "x") == []
    assert peer.link.state is LinkState.FRESH
    assert peer.tell(LOGIN) == [{"Operator": "LoginOK"}]
    assert peer.asked() == []
    assert peer.tell({"Operator": "GetInvitation"}) == []
    assert peer.asked() == [("call", "GetInvitation", {})]


def test_what_is_said_while_the_login_is_judged_waits() -> None:
    from heartline.core.server import effects as do

    world = World()
    world.hold = (do.Judge,)
    peer = Foreigner(world, "community", judged=True)
    assert peer.tell(LOGIN, {"Operator": "A"}, LOGIN, {"Operator": "B"}, {"Operator": "Heart"}) == [
        {"Operator": "HeartOK"}
    ]
    assert peer.asked() == []
    world.answer_held()
    assert peer.look() == [{"Operator": "LoginOK"}]
    assert [event for _, event, _ in peer.asked()] == ["A", "B"]


def test_what_a_login_says_and_is_told() -> None:
    world = World()
    heard: list[Any] = []

    def judge(login: Any) -> Accepted:
        heard.append(login)
        return Accepted("ann", None, None, {"openId": "o-1", "more": "not said"})

    world.verdict = judge
    peer = Foreigner(world, "community", judged=True)
    assert peer.tell(LOGIN | {"userOpenId": "o-0"}) == [{"Operator": "LoginOK", "openId": "o-1"}]
    assert heard == [{"openId": "o-0", "userCode": "c", "userInfo": {"nickName": "Ann"}}]
    assert peer.session.identity == "ann"
    assert peer.tell({"Operator": "userLogin"}) == [{"Operator": "LoginOK", "openId": "o-1"}], "again on the same link"
    assert heard[1] == {}


@pytest.mark.parametrize(
    ("refusal", "said", "code"),
    [
        (RefusedLogin("wrong", "Try another"), [{"Operator": "LoginError", "msg": "Try another"}], 4201),
        (RefusedLogin("banned", "Go away"), [{"Operator": "BanLogin", "msg": "Go away"}], 4201),
        (RefusedLogin("busy", "Later", 5.0), [], 4006),
    ],
)
def test_refused_logins(refusal: RefusedLogin, said: list[Any], code: int) -> None:
    world = World()
    world.verdict = lambda _login: refusal
    peer = Foreigner(world, "community", judged=True)
    assert peer.tell(LOGIN, {"Operator": "CreateInvitation"}) == said
    assert peer.closed == (code, refusal.code)
    assert peer.tell({"Operator": "CreateInvitation"}, {"Operator": "Heart"}) == []
    assert peer.asked() == []


def test_a_refusal_for_now_where_it_is_spelt() -> None:
    world = World()
    world.verdict = lambda _login: RefusedLogin("busy", "soon", 5.0)
    dialect = Dialect("x", login=Login(say={"op": "login"}, later=({"op": "later", "in": "$retry", "c": "$code"},)))
    assert Foreigner(world, dialect, judged=True).tell({"op": "login"}) == [{"op": "later", "in": 5.0, "c": "busy"}]


def test_another_identity_on_a_live_link_is_refused_and_the_link_goes_on() -> None:
    world = World()
    world.verdict = lambda login: Accepted(login["userCode"])
    peer = Foreigner(world, "community", judged=True)
    peer.tell(LOGIN)
    assert peer.tell(LOGIN | {"userCode": "other"}) == [{"Operator": "LoginError", "msg": "another identity"}]
    assert peer.closed is None
    assert peer.session.identity == "c"


def test_an_identity_may_be_any_json() -> None:
    """The card dialect's login is whatever comes first and is no beat, and only that."""
    world = World()
    heard: list[Any] = []

    def judge(login: Any) -> Accepted:
        heard.append(login)
        return Accepted("m")

    world.verdict = judge
    peer = Foreigner(world, "card", judged=True)
    assert peer.tell({"type": "heartBeat", "msg": "this is heatbeat"}, "not json") == []
    assert peer.tell(IDENTITY) == [{"code": "200", "success": True, "msgType": "auth_ack"}]
    assert peer.tell(BINDING, IDENTITY) == []
    assert heard == [IDENTITY]
    assert peer.asked() == [("send", "bindCard", BINDING), ("send", "message", IDENTITY)]


def test_a_login_without_a_hook_is_welcome() -> None:
    peer = Foreigner(World(), "community")
    assert peer.link.state is LinkState.LIVE
    assert peer.tell(LOGIN) == [{"Operator": "LoginOK"}]
    assert peer.asked() == []


def test_a_hook_without_a_login_in_the_dialect() -> None:
    """The hook judges the request alone."""
    world = World()
    heard: list[Any] = []

    def judge(login: Any) -> RefusedLogin:
        heard.append(login)
        return RefusedLogin("forbidden", "no")

    world.verdict = judge
    peer = Foreigner(world, "echo", judged=True)
    assert heard == [None]
    assert (peer.words, peer.closed) == ([], (4201, "forbidden"))


# messages


def test_every_dialect_reaches_the_same_handlers() -> None:
    for dialect, said, asked in (
        ("heart", "hello", ("send", "message", "hello")),
        ("heart", '{"a":1}', ("send", "message", '{"a":1}')),
        ("card", BINDING, ("send", "bindCard", BINDING)),
        ("card", {"msgType": "note", "x": 1}, ("send", "note", {"msgType": "note", "x": 1})),
        ("card", {"x": 1}, ("send", "message", {"x": 1})),
        ("echo", {"ModeCode": "message", "msg": [1]}, ("send", "message", [1])),
        ("trades", {"type": "Stop"}, ("send", "message", {"type": "Stop"})),
        ("community", {"Operator": "Love", "id": 7}, ("call", "Love", {"id": 7})),
        ("okx", {"id": "1", "op": "order", "args": [1]}, ("call", "order", [1])),
        ("okx", {"op": "order", "args": [1]}, ("send", "order", [1])),
        ("phoenix", ["1", "2", "room", "shout", {"t": 1}], ("call", "shout", {"t": 1})),
        ("plain", [1, 2], ("send", "message", [1, 2])),
        ("plain", "null", ("send", "message", None)),
    ):
        peer = Foreigner(World(), dialect)
        peer.tell(said)
        assert peer.asked() == [asked], (dialect, said)


def test_answers_go_to_what_asked() -> None:
    world = World()
    peer = Foreigner(world, "okx")
    peer.tell({"id": "a", "op": "x", "args": 1}, {"id": "b", "op": "x", "args": 2}, {"id": "c", "op": "y", "args": 3})
    assert ended(peer, 1, reply=[10]) == [{"id": "a", "op": "x", "code": "0", "data": [10]}]
    assert ended(peer, 2, fail="no") == [{"id": "b", "code": "no", "msg": "", "data": {"code": "no", "message": ""}}]
    assert ended(peer, 3, reply=None) == [{"id": "c", "op": "y", "code": "0"}]


def test_two_requests_of_one_name_are_answered_in_order() -> None:
    """The wire has no ids: "answers are matched by name, so two requests in flight both reach the last callback"."""
    world = World()
    peer = Foreigner(world, "community")
    peer.tell({"Operator": "Get", "id": 1}, {"Operator": "Get", "id": 2})
    assert ended(peer, 1, reply={"data": 1}) == [{"Operator": "GetOK", "data": 1}]
    assert ended(peer, 2, reply={"data": 2}) == [{"Operator": "GetOK", "data": 2}]


def test_what_says_nothing() -> None:
    """A handler that returns nothing, and a message nobody handles, where no answer of its own is waited for."""
    world = World()
    peer = Foreigner(world, "community")
    peer.tell({"Operator": "A"}, {"Operator": "B"}, {"Operator": "C"})
    assert ended(peer, 1, reply=None) == []
    assert ended(peer, 2, fail="unknown_event") == []
    assert ended(peer, 3, fail="too_long") == [{"Operator": "CError", "code": "too_long", "msg": ""}]


def test_confirmations_wait_for_the_handler() -> None:
    world = World()
    peer = Foreigner(world, "echo")
    said = [{"ModeCode": "message", "msg": n} for n in range(3)]
    assert peer.tell(*said) == []
    assert ended(peer, 1) == [said[0]]
    assert ended(peer, 2, fail="failed") == []
    assert ended(peer, 3) == [said[2]]


def test_messages_wait_for_the_window() -> None:
    world = World()
    peer = Foreigner(world, "echo", window=4)
    said = [{"ModeCode": "message", "msg": n} for n in range(100)]
    peer.tell(*said)
    assert len(peer.asked()) == 4
    assert peer.translator.is_full
    answers: list[Any] = []
    for n in range(1, 101):
        answers += ended(peer, n)
        assert len(peer.asked()) == min(100, n + 4)
    assert answers == said
    assert not peer.translator.is_full
    assert peer.translator.is_idle


def test_a_slow_one_among_many_ends_in_its_order() -> None:
    """Numbers stay within the span the protocol allows, however long one of them takes."""
    world = World(limits=ServerLimits(rate=None))
    peer = Foreigner(world, "community")
    for n in range(600):
        peer.tell({"Operator": f"E{n}"})
    assert len(peer.asked()) == 256
    for n in range(1, 601):
        assert ended(peer, n, reply={"n": n})[:1] == [{"Operator": f"E{n - 1}OK", "n": n}]
    assert peer.closed is None
    assert any(isinstance(one, Settled) for one in peer.up)


def test_large_messages_wait_for_the_window_in_bytes() -> None:
    world = World()
    peer = Foreigner(world, "plain", window_bytes=1000)
    peer.tell("x" * 10, json.dumps("a" * 5000), json.dumps("b" * 900), json.dumps("c" * 90))
    assert [len(data) for _, _, data in peer.asked()] == [5000], "a lone one always goes"
    ended(peer, 1)
    assert [len(data) for _, _, data in peer.asked()] == [5000, 900, 90]


def test_a_flood_fills_and_drains() -> None:
    world = World()
    peer = Foreigner(world, "plain", window=1)
    peer.tell(*[f"{n}" for n in range(FULL)])
    assert not peer.translator.is_full
    peer.tell("1")
    assert peer.translator.is_full


# channels


def test_a_channel_function_names_the_channel() -> None:
    world = World()
    world.auto = True
    peer = Foreigner(world, "trades", channel=traders)
    assert peer.tell({"type": "Subscribe", "traderid": 7}) == []
    assert peer.asked() == []
    world.publish("positions/7", b'{"Code":200,"data":[1]}')
    world.publish("positions/8", b'{"Code":200,"data":[2]}')
    assert peer.look() == [{"Code": 200, "data": [1]}]
    assert peer.raw == [b'{"Code":200,"data":[1]}']
    peer.tell({"type": "Stop"})
    assert peer.asked() == [("send", "message", {"type": "Stop"})]


def test_subscribing_twice_subscribes_once() -> None:
    world = World()
    peer = Foreigner(world, "trades", channel=traders)
    for _ in range(3):
        peer.tell({"type": "Subscribe", "traderid": 7})
    world.publish("positions/7", b'{"data":[1]}')
    assert peer.look() == [{"data": [1]}]
    assert sum(isinstance(one, Sub) for one in peer.up) == 1


def test_subscriptions_of_okx() -> None:
    world = World()
    peer = Foreigner(world, "okx", channel=lambda args: f"{args['channel']}/{args['instId']}")
    args = {"channel": "tickers", "instId": "BTC"}
    assert peer.tell({"id": "1", "op": "subscribe", "args": [args]}) == [{"event": "subscribe", "arg": args}]
    assert peer.tell({"id": "2", "op": "subscribe", "args": [args]}) == [{"event": "subscribe", "arg": args}]
    world.publish("tickers/BTC", b'[{"last":"1"}]')
    assert peer.look() == [{"arg": args, "data": [{"last": "1"}]}]
    assert peer.tell({"id": "3", "op": "unsubscribe", "args": [args]}) == [{"event": "unsubscribe", "arg": args}]
    world.publish("tickers/BTC", b"[2]")
    assert peer.look() == []
    assert peer.tell({"id": "4", "op": "unsubscribe", "args": [args]}) == [{"event": "unsubscribe", "arg": args}]


def test_subscriptions_of_phoenix() -> None:
    world = World()
    world.allow = lambda one: ("unmatched", "no", False) if one.channel == "secret" else (None, "", False)
    peer = Foreigner(world, "phoenix")
    assert peer.tell(["3", "3", "room:1", "phx_join", {}]) == [
        ["3", "3", "room:1", "phx_reply", {"status": "ok", "response": {}}]
    ]
    assert peer.tell(["4", "4", "secret", "phx_join", {}]) == [
        ["4", "4", "secret", "phx_reply", {"status": "unmatched", "response": {"code": "unmatched", "message": "no"}}]
    ]
    world.publish("room:1", b'{"t":1}')
    assert peer.look() == [[None, None, "room:1", "e", {"t": 1}]]
    world.node.revoke(peer.session, "room:1", "forbidden", "out")
    world.turn()
    assert peer.look() == [["3", None, "room:1", "phx_error", {"code": "forbidden", "message": "out"}]]


@pytest.mark.parametrize("channel", [5, None, "", "@", "@x", "a\n", "x" * 256, {"a": 1}])
def test_channels_that_are_none(channel: Any) -> None:
    peer = Foreigner(World(), "phoenix")
    answers = peer.tell(["3", "3", channel, "phx_join", {}])
    assert peer.closed is None
    assert all(one[4]["status"] in ("invalid", "unknown_event", "forbidden") for one in answers), answers


def test_credit_follows_the_socket() -> None:
    world = World(limits=ServerLimits(credit=2))
    peer = Foreigner(world, "trades", channel=traders)
    peer.tell({"type": "Subscribe", "traderid": 7})
    peer.stuck = True
    for n in range(5):
        world.publish("positions/7", b'{"data":[%d]}' % (n + 1))
    assert peer.look() == [{"data": [1]}, {"data": [2]}]
    assert not any(isinstance(one, At) for one in peer.up)
    peer.stuck = False
    assert peer.look() == [{"data": [3]}, {"data": [4]}, {"data": [5]}]
    assert peer.link.feed.in_flight == 0


def test_who_is_too_slow_for_the_history_misses_some_and_the_operator_can_know() -> None:
    world = World(limits=ServerLimits(credit=2))
    peer = Foreigner(world, "trades", channel=traders)
    peer.tell({"type": "Subscribe", "traderid": 7})
    peer.stuck = True
    for n in range(10):
        world.publish("positions/7", b'{"data":[%d]}' % (n + 1), history=History(2))
    peer.stuck = False
    assert [one["data"] for one in peer.look()] == [[1], [2], [9], [10]]
    assert peer.translator.missed == 1


def test_nothing_is_begun_while_the_socket_is_full() -> None:
    """Else who asks and never reads would fill the memory with answers."""
    world = World()
    peer = Foreigner(world, "plain")
    peer.translator.blocked = peer.stuck = True
    peer.tell("1", "2", "3")
    assert peer.asked() == []
    peer.stuck = False
    peer.look()
    assert [data for _, _, data in peer.asked()] == [1, 2, 3]


def test_events_for_one_session() -> None:
    for dialect, event, data, words in (
        ("heart", "message", "hi", "hi"),
        ("heart", "other", {"a": 1}, {"a": 1}),
        ("card", "bind_ack", {"code": "200"}, {"msgType": "bind_ack", "code": "200"}),
        ("card", "bind_ack", None, {"msgType": "bind_ack"}),
        ("echo", "message", [1], {"ModeCode": "message", "msg": [1]}),
        ("echo", "message", None, {"ModeCode": "message"}),
        ("community", "Changed", None, {"Operator": "Changed"}),
        ("trades", "getPositonsOrder", {"Code": 1, "data": []}, {"Code": 1, "data": []}),
        ("trades", "getPositonsOrder", {"Code": 404, "data": None}, {"Code": 404, "data": None}),
        ("community", "InvitationChanged", {"id": 1}, {"Operator": "InvitationChanged", "id": 1}),
        ("plain", "anything", 5, 5),
    ):
        world = World()
        peer = Foreigner(world, dialect)
        world.node.tell_now(peer.session, event, json.dumps(data).encode())
        world.turn()
        assert peer.look() == [words], (dialect, event)
        assert peer.complaints == []


def test_what_cannot_be_spelt() -> None:
    for dialect, event, data, complaint in (
        ("card", "bind_ack", {"msgType": "forged"}, "msgType"),
        ("card", "bind_ack", [1], "expected an object"),
        ("community", "x", "text", "expected an object"),
        ("trades", "x", {"data": []}, "no form for the event 'x'"),
    ):
        world = World()
        peer = Foreigner(world, dialect)
        for one in (data, None):
            world.node.tell_now(peer.session, event, json.dumps(one).encode())
        world.turn()
        peer.look()
        assert complaint in peer.complaints[0]
        assert peer.closed is None
    world = World()
    peer = Foreigner(world, "community")
    peer.tell({"Operator": "A"}, {"Operator": "B"})
    assert ended(peer, 1, reply=[1]) == [{"Operator": "AError", "code": "failed", "msg": "the answer cannot be said"}]
    assert ended(peer, 2, reply={}) == [{"Operator": "BOK"}]


# ends


def test_a_request_to_move_is_for_the_shell() -> None:
    world = World()
    peer = Foreigner(world, "plain")
    world.node.drain_links(0.0, 5.0)
    world.turn()
    assert peer.look() == []
    assert peer.translator.leaving is not None
    assert peer.translator.leaving.spread == 5.0


def test_what_was_accepted_ends_before_its_session() -> None:
    """Who says something and goes away has said it."""
    world = World()
    peer = Foreigner(world, "plain")
    session = peer.session
    peer.tell("1", "2", "3")
    peer.lose()
    assert (session.id in world.node.sessions, len(world.started)) == (True, 1)
    for n in (1, 2, 3):
        assert session.id in world.node.sessions
        world.finish(n)
    assert len(world.started) == 3
    assert world.node.sessions == {}


def test_a_dialect_has_its_own_heartbeat() -> None:
    world = World(durable=True)
    echo, plain = Foreigner(world, "echo"), Foreigner(world, Dialect("none", send=Send(say="$data")))
    assert (echo.link.life.heartbeat.interval, echo.link.life.heartbeat.timeout) == (4, 2)
    assert plain.link.life.heartbeat.interval == 25
    assert not echo.session.durable, "nothing is written for who cannot come back"


# rubbish

RUBBISH: list[bytes] = [
    b"",
    b" ",
    b"null",
    b"true",
    b"5",
    b"-1e999",
    b'""',
    b"[]",
    b"{}",
    b"[[]]",
    b"[null,null,null,null,null]",
    b"[1,2,3,4,5]",
    b"\xff\xfe\x00",
    b"\x00" * 1000,
    b"[" * 100_000,
    b"[" * 900 + b"]" * 900,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b'"\\ud800"',
    b'{"Operator":"\\ud800"}',
    b'{"Operator":"x","\\udfff":"\\ud800"}',
    b'{"Operator":"__proto__"}',
    b'{"Operator":"constructor"}',
    b'{"Operator":"toString","__proto__":{"x":1}}',
    b'{"Operator":"@"}',
    b'{"Operator":""}',
    b'{"Operator":null}',
    b'{"Operator":{"$text":"ping"}}',
    b'{"Operator":"' + b"x" * 300 + b'"}',
    b'{"Operator":"a\\nb"}',
    b'{"Operator":"userLogin","userCode":{"a":[1]},"userInfo":5,"userOpenId":[]}',
    b'{"Operator":"Heart","Operator":"x"}',
    b'{"ModeCode":5,"msg":1}',
    b'{"ModeCode":["message"],"msg":1}',
    b'{"ModeCode":"heart_beat","msg":{"a":{}}}',
    b'{"ModeCode":"__proto__","msg":1}',
    b'{"type":"heartBeat"}',
    b'{"type":"bindCard","cardId":{"x":[]}}',
    b'{"type":5}',
    b'{"type":"Ping","traderid":{}}',
    b'{"msgType":null}',
    b'{"id":5,"op":"subscribe","args":5}',
    b'{"id":"1","op":"subscribe","args":[]}',
    b'{"id":"1","op":"subscribe","args":[null]}',
    b'{"id":"1","op":"subscribe","args":[{"channel":"@who/x"}]}',
    b'{"id":"1","op":"","args":1}',
    b'[null,"1","phoenix","heartbeat",5]',
    b'["1","2","phoenix","phx_leave",{}]',
    b'["1","2",{},"x",{}]',
    b'["1","2","room","@",{}]',
    b'["1","2","room","phx_join",{"' + b"x" * 1000 + b'":1}]',
    b"$data",
    b'{"$text":"ping"}',
    b'{"$one_of":[1]}',
    b'{"...":"$data"}',
]
DIALECTS = ["heart", "card", "echo", "trades", "community", "okx", "phoenix", "plain"]


def check_link(peer: Foreigner) -> None:
    """The link has heard nothing that is not good heartline.1, and does its work."""
    peer.go_on()
    assert peer.closed is None
    numbers = [one.n for one in peer.up if hasattr(one, "n")]
    assert numbers == sorted(set(numbers))
    assert not peer.world.traced or all(what != "server.bad_frame" for _, what, _ in peer.world.traced)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rubbish_never_reaches_the_link(dialect: str) -> None:
    for judged in (False, True):
        world = World(limits=ServerLimits(rate=None))
        world.auto = True
        world.verdict = lambda _login: Accepted("x")
        for channel in (None, lambda args: args if isinstance(args, str) else None):
            peer = Foreigner(world, dialect, judged=judged, channel=channel)
            for _ in range(2):
                for rubbish in RUBBISH:
                    peer.tell(rubbish)
                    check_link(peer)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
WORDS = st.sampled_from(
    [
        "Operator",
        "ModeCode",
        "msg",
        "type",
        "msgType",
        "op",
        "args",
        "id",
        "channel",
        "event",
        "data",
        "heart_beat",
        "Heart",
        "userLogin",
        "userCode",
        "bindCard",
        "Ping",
        "subscribe",
        "unsubscribe",
        "phx_join",
        "phx_leave",
        "...",
    ]
)
NEARLY = st.dictionaries(WORDS, JSON | WORDS, max_size=5) | st.lists(JSON | WORDS | st.none(), min_size=5, max_size=5)


@given(st.lists(NEARLY | JSON | st.binary(max_size=20), max_size=20), st.sampled_from(DIALECTS), st.booleans())
def test_whatever_is_said_the_link_lives(messages: list[Any], dialect: str, judged: bool) -> None:
    world = World(limits=ServerLimits(rate=None))
    world.auto = True
    peer = Foreigner(world, dialect, judged=judged, channel=lambda args: str(args)[:20])
    for message in messages:
        peer.tell(message if isinstance(message, bytes) else json.dumps(message))
    check_link(peer)
    assert peer.complaints == []


def test_a_flood_of_rubbish_is_bounded() -> None:
    world = World(limits=ServerLimits(frames=1000))
    peer = Foreigner(world, "community")
    peer.tell(*["rubbish"] * 1001)
    assert peer.closed == (4005, "too many frames a second")
    assert peer.translator.ignored == 1001


def test_a_dialect_of_ones_own() -> None:
    dialect = Dialect(
        "own",
        send=Send(
            say={"do": "$event", "with": "$data"}, ok={"done": "$event"}, no={"failed": "$event", "why": "$code"}
        ),
        request=Request(say={"ask": "$event", "n": "$id"}, ok={"n": "$id"}),
        subscribe=Subscribe(say={"watch": "$channel"}, items={"of": "$channel", "is": "$data"}),
        events=[Event({"tell": "$event"})],  # type: ignore[arg-type]
    )
    world = World()
    peer = Foreigner(world, dialect)
    peer.tell({"do": "a", "with": 1}, {"do": "b"}, {"ask": "c", "n": 7}, {"tell": "d", "x": 1})
    assert peer.asked() == [("send", "a", 1), ("send", "b", None), ("call", "c", {"ask": "c", "n": 7}),
                            ("send", "d", {"tell": "d", "x": 1})]  # fmt: skip
    assert ended(peer, 1) == [{"done": "a"}]
    assert ended(peer, 2, fail="nope") == [{"failed": "b", "why": "nope"}]
    assert ended(peer, 3, reply={"more": 1}) == [{"n": 7, "more": 1}]
    peer.tell({"watch": "x"})
    world.publish("x", 5)
    assert peer.look() == [{"of": "x", "is": 5}]
