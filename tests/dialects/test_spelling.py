"""What a client's message means to a server, and how a server's are spelt."""

import json
from typing import Any

import pytest

from heartline.dialects import presets
from heartline.dialects import spelling as module
from heartline.dialects.spec import Beat, Dialect, Event, Send
from heartline.dialects.spelling import Meaning, Spelling, Unspeakable

NAMES = ["heart", "card", "echo", "trades", "community", "okx", "phoenix", "plain"]


def make(dialect: Dialect | str, **more: Any) -> Spelling:
    return Spelling(presets.load(dialect) if isinstance(dialect, str) else dialect, lambda: 1234, **more)


def said(spelling: Spelling, value: Any, **more: Any) -> Any:
    return spelling.hear(json.dumps(value).encode(), **({"login": False} | more))


def test_every_message_has_one_meaning() -> None:
    community = make("community")
    for value, meaning, name in (
        ({"Operator": "Heart"}, Meaning.BEAT, ""),
        ({"Operator": "Heart", "more": 1}, Meaning.BEAT, ""),
        ({"Operator": "userLogin"}, Meaning.LOGIN, ""),
        ({"Operator": "HeartOK"}, Meaning.CALL, "HeartOK"),
        ({"Operator": "x"}, Meaning.CALL, "x"),
        ({"operator": "x"}, Meaning.NOTHING, ""),
        (None, Meaning.NOTHING, ""),
        ([], Meaning.NOTHING, ""),
    ):
        one = said(community, value)
        assert (one.meaning, one.name) == (meaning, name), value
    for name in NAMES:
        for rubbish in (b"", b"\xff", b"[" * 5000, b"nul"):
            one = make(name).hear(rubbish, login=True)
            assert one.meaning is (Meaning.SEND if name == "heart" else Meaning.NOTHING), "text is all heart asks for"


def test_a_lone_login_is_only_the_first_message() -> None:
    card = make("card")
    assert said(card, {"x": 1}, login=True).meaning is Meaning.LOGIN
    assert said(card, {"x": 1}).meaning is Meaning.SEND


def test_a_channel_function_that_names_none_makes_an_ordinary_message() -> None:
    for channel_of in (None, lambda args: None):
        one = said(make("trades", channel_of=channel_of), {"type": "Subscribe"})
        assert (one.meaning, one.name) == (Meaning.SEND, "message")
    one = said(make("trades", channel_of=lambda args: args["type"]), {"type": "Subscribe"})
    assert (one.meaning, one.name) == (Meaning.SUBSCRIBE, "Subscribe")


def test_a_channel_function_where_the_dialect_names_channels_gets_both() -> None:
    given: list[Any] = []
    said(make("phoenix", channel_of=given.append), ["1", "1", "room", "phx_join", {"t": 1}])
    assert given[-1] == {"channel": "room", "args": {"t": 1}}


def test_the_beat_tells_the_time_of_who_says_it() -> None:
    echo = make("echo")
    assert echo.beat_answer(said(echo, {"ModeCode": "heart_beat", "msg": 99})) == b'{"ModeCode":"heart_beat","msg":99}'
    both = make(Dialect("x", beat=Beat(say={"op": "ping"}, answer={"op": "pong", "at": "$now_ms"})))
    assert both.beat_answer(said(both, {"op": "ping"})) == b'{"op":"pong","at":1234}'


def test_data_cannot_forge_a_field() -> None:
    for dialect, event in (("card", "x"), ("community", "x")):
        field = {"card": "msgType", "community": "Operator"}[dialect]
        with pytest.raises(Unspeakable, match=field):
            make(dialect).entry(b"1", event, json.dumps({field: "forged"}).encode(), None)
    assert make("card").entry(b"2", "x", b'{"msgType":"x","a":1}', None) == b'{"msgType":"x","a":1}'


def test_an_entry_for_many_is_spelt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trades = make("trades", channel_of=str)
    follower = said(trades, {"type": "Subscribe"})
    first = trades.entry(b"frame", "e", b'{"data":[1]}', follower)
    assert trades.entry(b"frame", "e", b'{"data":[1]}', follower) is first
    for n in range(1000):
        trades.entry(b"%d" % n, "e", b'{"data":[1]}', follower)
        assert len(trades._kept) <= module.KEPT
    monkeypatch.setattr(module, "KEPT_BYTES", 100)
    for n in range(20):
        trades.entry(b"large %d" % n, "e", b'{"data":["%s"]}' % (b"x" * 40), follower)
        assert sum(map(len, trades._kept.values())) <= 200
    okx = make("okx", channel_of=str)
    one, other = (said(okx, {"id": "1", "op": "subscribe", "args": [arg]}) for arg in ({"a": 1}, {"a": 2}))
    assert okx.entry(b"frame", "e", b"5", one) == b'{"arg":{"a":1},"data":5}'
    assert okx.entry(b"frame", "e", b"5", other) == b'{"arg":{"a":2},"data":5}', "what differs is spelt for each"


def test_text_dialects_say_text_and_the_rest_as_json() -> None:
    heart = make("heart")
    assert heart.entry(b"1", "message", b'"hello \\u00e9"', None) == "hello é".encode()
    assert heart.entry(b"2", "message", b'{"a":1}', None) == b'{"a":1}'
    assert heart.entry(b"3", "message", b"null", None) == b"null"


def test_events_are_said_under_their_names() -> None:
    dialect = Dialect(
        "x",
        send=Send(say="$data"),
        events=[Event({"t": "a", "d": "$data"}, "a"), Event({"t": "b"}, "b"), Event({"e": "$event"})],  # type: ignore[arg-type]
    )
    for event, data, words in (
        ("a", 1, {"t": "a", "d": 1}),
        ("b", {"x": 1}, {"t": "b", "x": 1}),
        ("c", {"x": 1}, {"e": "c", "x": 1}),
    ):
        assert json.loads(make(dialect).entry(b"%d" % id(words), event, json.dumps(data).encode(), None)) == words
