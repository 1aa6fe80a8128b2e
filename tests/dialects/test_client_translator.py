"""The client's translator in virtual time, one test for each thing that its modules say always holds.

What exactly is said when is in protocol/vectors/dialects; here is what must not depend on the case.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from heartline.dialects import Beat, Dialect, Event, Login, Request, Send, Subscribe, presets
from heartline.dialects.client_channels import CREDIT, CREDIT_BYTES, MOST_LEAVING, check_subscription
from heartline.dialects.client_desk import Down, Leave, Say, SendPing
from heartline.dialects.client_messages import MOST_PLACES, check_message
from heartline.dialects.client_translator import MOST_EARLY, ClientTranslator
from heartline.testing.dialect_vectors import form_cases

ASK = Dialect(
    name="ask",
    request=Request(say={"do": "$event", "d": "$data"}, ok={"did": "$event", "r": "$reply"}),
    send=Send(say={"tell": "$event", "d": "$data"}, ok={"told": "$event"}),
)
FEED = Dialect(
    name="feed",
    subscribe=Subscribe(
        say={"sub": "$channel"},
        ok={"ok": "$channel"},
        items={"ch": "$channel", "d": "$data"},
        ended={"end": "$channel"},
    ),
)


class Kit:
    """One translator: what it says, what goes down, all else; and what the application said of its messages."""

    def __init__(self, dialect: Dialect | str, *, again: bool = False, can_ping: bool = True, **options: Any) -> None:
        dialect = presets.load(dialect) if isinstance(dialect, str) else dialect
        self.again = again
        self.translator = ClientTranslator(dialect, self, "e", can_ping=can_ping, **options)
        self.said: list[str] = []
        self.down: list[Any] = []
        self.pings: list[bytes] = []
        self.left = 0

    def message(self, n: int) -> tuple[bool, str]:
        return self.again, ""

    def args(self, channel: str) -> Any:
        return UNSET

    def hello(self, at: float = 0.0, *, again: bool = False, floor: int = 1, **more: Any) -> None:
        session = {"session": "e", "key": "-"} if again else {}
        self.up(["hello", {"instance": "me", "floor": floor, **session, **more}], at)

    def up(self, frame: Any, at: float) -> None:
        self.translator.up(json.dumps(frame).encode(), at)
        self.look()

    def hear(self, value: Any, at: float) -> bool:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        understood = self.translator.heard(data, at)
        self.look()
        return understood

    def tick(self, at: float) -> None:
        self.translator.tick(at)
        self.look()

    def lost(self) -> None:
        self.translator.lost()
        self.look()

    def look(self) -> None:
        for output in self.translator.drain():
            match output:
                case Say():
                    self.said.append(output.data.decode())
                case Down():
                    self.down.append(json.loads(output.data))
                case SendPing():
                    self.pings.append(output.payload)
                case Leave():
                    self.left += 1

    def kinds(self) -> list[str]:
        return [frame[0] for frame in self.down]


# links and logins


def test_welcome_comes_with_the_login() -> None:
    kit = Kit("community")
    kit.hello(login={"userCode": "c"})
    assert kit.down == []
    kit.hear({"Operator": "HeartOK"}, 1)
    kit.hear({"Operator": "Other"}, 1)
    assert kit.down == []
    kit.hear({"Operator": "LoginOK", "openId": "o"}, 2)
    assert kit.kinds() == ["welcome", "msg"]
    kit.hear({"Operator": "LoginOK", "openId": "o"}, 3)
    assert kit.kinds().count("welcome") == 1
    at_once = Kit("plain")
    at_once.hello(login={"a": 1})
    assert at_once.kinds() == ["welcome"]
    assert at_once.said == []


def test_what_comes_before_welcome_is_handed_over_after_it() -> None:
    kit = Kit("community")
    kit.hello(login={"userCode": "c"})
    for n in range(MOST_EARLY + 10):
        kit.hear({"Operator": "Notice", "n": n}, 1)
    kit.hear({"Operator": "LoginOK", "openId": "o"}, 2)
    assert kit.kinds() == ["welcome", *["msg"] * MOST_EARLY, "gap"]
    assert kit.down[0][1]["inbox"]["offset"] == 0
    assert [frame[2] for frame in kit.down[1:-1]] == list(range(1, MOST_EARLY + 1))


def test_what_comes_before_welcome_is_bounded_in_bytes() -> None:
    kit = Kit("community")
    kit.hello(login={"userCode": "c"})
    for _ in range(5):
        kit.hear({"Operator": "Notice", "n": "x" * (1 << 20)}, 1)
    kit.hear({"Operator": "LoginOK", "openId": "o"}, 2)
    assert kit.kinds() == ["welcome", *["msg"] * 3, "gap"]


def test_nothing_is_due_between_links() -> None:
    for name in presets.NAMES:
        kit = Kit(name)
        kit.hello()
        kit.lost()
        assert kit.translator.next_deadline() is None
        said = list(kit.said)
        for at in (10.0, 100.0):
            kit.tick(at)
            kit.up(["ping", 1], at)
            kit.hear({"x": 1}, at)
        assert (kit.said, kit.pings, kit.left) == (said, [], 0)


def test_long_words_are_cut() -> None:
    kit = Kit("card")
    kit.hello(login={"u": 1})
    kit.hear({"msgType": "auth_ack", "code": "9" * 1000, "msg": "x" * 1000}, 1)
    (refused,) = kit.down
    assert len(refused[1]["message"]) < 300


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
WORDS = st.sampled_from(
    [json.loads(case["message"]) for case in form_cases() if "message" in case and case["message"][:1] in "{["]
    + [
        [None, "1", "phoenix", "phx_reply", {"status": "ok"}],
        ["1", "1", "c", "phx_reply", {"status": "ok", "response": {}}],
        {"Operator": "LoginOK"},
        {"event": "subscribe", "arg": {}},
        {"ModeCode": "heart_beat"},
        {"data": [1]},
        {"code": "200", "success": True, "msgType": "auth_ack"},
    ]
)


@given(
    name=st.sampled_from(presets.NAMES),
    said=st.lists(st.binary(max_size=30) | (values | WORDS).map(lambda v: json.dumps(v).encode()), max_size=20),
)
def test_rubbish_is_ignored_and_counted(name: str, said: list[bytes]) -> None:
    kit = Kit(name)
    kit.hello(login={"userCode": "c"}, cursors=[[1, "c"]])
    kit.up(["send", 1, "message", "x"], 0)
    kit.up(["call", 2, "x", {}], 0)
    ignored = sum(not kit.hear(data, at) for at, data in enumerate(said))
    assert kit.translator.ignored == ignored


# the heartbeat


def test_beats_keep_their_time() -> None:
    kit = Kit("echo")
    kit.hello()
    for quarter in range(1, 81):
        at = quarter / 4
        kit.tick(at)
        kit.hear({"ModeCode": "message", "msg": "x"}, at)
        kit.up(["send", quarter, "message", "x"], at)
        if quarter % 3 == 0:
            kit.up(["ping", quarter], at)
    times = [json.loads(text)["msg"] for text in kit.said if "heart_beat" in text]
    assert [time for time in times if time in range(4000, 20001, 4000)] == [4000, 8000, 12000, 16000, 20000]


def test_no_beat_outlives_its_link() -> None:
    for name in presets.NAMES:
        kit = Kit(name)
        kit.hello(0)
        kit.up(["ping", 1], 1)
        kit.lost()
        kit.hello(100, again=True)
        down = len(kit.down)
        kit.hear({"ModeCode": "heart_beat", "msg": 1000}, 101)
        kit.hear([None, "1", "phoenix", "phx_reply", {"status": "ok", "response": {}}], 101)
        kit.hear(b"pong", 101)
        kit.hear({"Operator": "HeartOK"}, 101)
        kit.translator.pong(b"1", 101)
        kit.look()
        assert "pong" not in [frame[0] for frame in kit.down[down:]], name


def test_the_answer_to_an_earlier_beat_is_no_pong() -> None:
    kit = Kit("heart")
    kit.hello()
    kit.tick(10)
    kit.up(["ping", 1], 15)
    assert kit.said == ["ping", "ping"]
    kit.hear(b"pong", 16)
    assert "pong" not in kit.kinds()
    kit.hear(b"pong", 17)
    assert kit.down[-1] == ["pong", 1]


@pytest.mark.parametrize("name", ["card", "trades", "plain"])
def test_nobody_is_dead_for_lack_of_an_answer(name: str) -> None:
    kit = Kit(name, can_ping=False)
    kit.hello()
    kit.up(["ping", 7], 20)
    assert kit.down[-1] == ["pong", 7]
    with_pings = Kit(name)
    with_pings.hello()
    with_pings.up(["ping", 7], 20)
    assert with_pings.kinds() == ["welcome"]
    assert len(with_pings.pings) == 1


def test_a_late_wake_up_is_no_verdict() -> None:
    kit = Kit(Dialect(name="x", beat=Beat(say={"p": 1}, by="server", interval=5, timeout=2)))
    kit.hello()
    kit.tick(6.9)
    assert kit.left == 0
    kit.tick(3600)
    assert kit.left == 0
    kit.tick(3602)
    assert kit.left == 1


# messages


def test_at_most_once_is_never_said_again() -> None:
    kit = Kit(ASK)
    kit.hello()
    kit.up(["call", 1, "a", 1], 1)
    kit.up(["send", 2, "b", 2], 1)
    for link in range(3):
        kit.lost()
        kit.hello(link + 2, again=True)
        kit.up(["call", 1, "a", 1], link + 2)
        kit.up(["send", 2, "b", 2], link + 2)
    assert kit.said == ['{"do":"a","d":1}', '{"tell":"b","d":2}']
    fails = [frame for frame in kit.down if frame[0] == "fail"]
    assert [frame[1] for frame in fails] == [1, 2] * 3
    assert {frame[2]["code"] for frame in fails} == {"unknown"}


def test_at_least_once_is_said_again() -> None:
    kit = Kit(ASK, again=True)
    kit.hello()
    for link in range(4):
        kit.up(["call", 1, "a", 1], link)
        kit.up(["send", 2, "b", 2], link)
        assert kit.said[-2:] == ['{"do":"a","d":1}', '{"tell":"b","d":2}']
        kit.lost()
        kit.hello(link + 0.5, again=True)
    assert len(kit.said) == 8
    kit.up(["send", 2, "b", 2], 9)
    kit.hear({"told": "b"}, 9)
    assert kit.down[-1] == ["reply", 2, None]
    assert "fail" not in kit.kinds()


def test_answers_find_their_requests_in_order() -> None:
    kit = Kit(ASK)
    kit.hello()
    for n in range(1, 7):
        kit.up(["call", n, "ab"[n % 2], n], 1)
    for event, n in (("a", 2), ("b", 1), ("b", 3), ("a", 4), ("a", 6), ("b", 5)):
        kit.hear({"did": event, "r": n}, 2)
        assert kit.down[-1] == ["reply", n, n]
    assert not kit.hear({"did": "a"}, 3)


def test_a_late_answer_is_not_the_next_one_s() -> None:
    kit = Kit(ASK)
    kit.hello()
    kit.up(["call", 1, "a", 1], 1)
    kit.translator.forget(1)
    kit.look()
    assert kit.down[-1][:2] == ["fail", 1]
    kit.up(["call", 2, "a", 2], 2)
    kit.hear({"did": "a", "r": "late"}, 3)
    assert kit.down[-1][:2] == ["fail", 1]
    kit.hear({"did": "a", "r": "mine"}, 3)
    assert kit.down[-1] == ["reply", 2, "mine"]


def test_places_that_nobody_waits_at_are_bounded() -> None:
    kit = Kit(ASK)
    kit.hello()
    for n in range(1, MOST_PLACES + 11):
        kit.up(["call", n, "a", n], n)
        kit.translator.forget(n)
        kit.up(["settled", n + 1], n)
    assert len(kit.translator._messages._calls) == MOST_PLACES
    assert len(kit.translator._messages._records) == 0


def test_subscriptions_that_were_left_are_bounded() -> None:
    leaving = Subscribe(say={"sub": "$channel"}, leave={"leave": "$channel"}, left={"left": "$id"})
    kit = Kit(Dialect(name="x", subscribe=leaving))
    kit.hello()
    for n in range(1000):
        kit.up(["sub", 1, f"c{n}"], 1)
        kit.up(["unsub", 2, f"c{n}"], 1)
    assert len(kit.said) == 2000
    assert len(kit.translator._channels._leaving) == MOST_LEAVING
    assert list(kit.translator._channels._logs) == ["@"]


def test_the_machine_hears_the_same_outcome_again() -> None:
    kit = Kit(ASK)
    kit.hello()
    kit.up(["call", 1, "a", 1], 1)
    kit.hear({"did": "a", "r": 7}, 1)
    kit.lost()
    kit.hello(2, again=True)
    kit.up(["call", 1, "a", 1], 2)
    assert kit.down[-1] == ["reply", 1, 7]
    assert len(kit.said) == 1
    kit.up(["settled", 2], 3)
    kit.lost()
    kit.hello(4, again=True, floor=2)
    assert kit.down[-1][1]["received"] == 1


@pytest.mark.parametrize(
    ("name", "kind", "data", "channel", "message"),
    [
        ("heart", "call", "x", None, "'heart' has no requests"),
        ("heart", "send", {}, None, "expected text, got dict"),
        ("heart", "send", None, None, "nothing to say without it"),
        ("phoenix", "send", {}, None, "'phoenix' needs one for its sends"),
        ("echo", "send", 1, "c", "'echo' has none in its sends"),
        ("community", "call", {"Operator": 1}, None, "belongs to the message itself"),
    ],
)
def test_what_cannot_be_spelt_is_refused_before_it_is_queued(
    name: str, kind: str, data: Any, channel: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_message(presets.load(name), kind, "x", data, channel, {})


def test_what_can_be_spelt_passes() -> None:
    check_message(presets.load("heart"), "send", "x", "text", None, {})
    check_message(presets.load("phoenix"), "pub", "x", None, "room", {})
    check_message(presets.load("community"), "call", "x", None, None, {})
    check_subscription(presets.load("phoenix"), "room", None, {})
    with pytest.raises(ValueError, match="'echo' has no subscriptions"):
        check_subscription(presets.load("echo"), "room", None, {})


# channels


def test_subscriptions_are_said_again() -> None:
    kit = Kit(FEED)
    kit.hello()
    kit.up(["sub", 1, "a"], 1)
    kit.hear({"ok": "a"}, 1)
    kit.hear({"ch": "a", "d": 1}, 1)
    for link in range(1, 4):
        kit.lost()
        offset = kit.down[-1][2] if kit.down[-1][0] == "msg" else 0
        kit.hello(link * 10, again=True, cursors=[[1, "a", ["e", offset]]])
        kit.hear({"ok": "a"}, link * 10)
        kit.hear({"ch": "a", "d": 1}, link * 10)
        assert kit.kinds()[-3:] == ["ok", "gap", "msg"]
        gap, entry = kit.down[-2:]
        assert (gap[2]["after"], gap[2]["to"], entry[2]) == (offset, offset + 1, offset + 2)
    assert kit.said == ['{"sub":"a"}'] * 4


@pytest.mark.parametrize("size", [1, 100_000])
def test_who_does_not_keep_up_gets_a_gap(size: int) -> None:
    """Whether it is the number of entries or their bytes that counts."""
    kit = Kit(FEED)
    kit.hello()
    kit.up(["sub", 1, "a"], 1)
    kit.hear({"ok": "a"}, 1)
    for _ in range(CREDIT + 100):
        kit.hear({"ch": "a", "d": "x" * size}, 1)
    handed = kit.kinds().count("msg")
    assert handed == min(CREDIT, CREDIT_BYTES // (size + 2))
    kit.up(["at", "a", handed], 2)
    assert kit.down[-1][0] == "gap"
    kit.hear({"ch": "a", "d": 1}, 3)
    assert kit.down[-1][:3] == ["msg", "a", handed + 2]


def test_one_entry_above_all_limits_is_handed_over() -> None:
    kit = Kit(FEED)
    kit.hello()
    kit.up(["sub", 1, "a"], 1)
    kit.hear({"ch": "a", "d": "x" * (2 * CREDIT_BYTES)}, 1)
    kit.hear({"ch": "a", "d": "small"}, 1)
    assert kit.kinds() == ["welcome", "ok", "msg"]


def test_stale_data_is_asked_for_again_and_then_the_link_is_left() -> None:
    subscribe = Subscribe(say={"sub": "$channel"}, items={"ch": "$channel"}, stale_after=10)
    kit = Kit(Dialect(name="x", subscribe=subscribe))
    kit.hello()
    kit.up(["sub", 1, "a"], 0)
    assert kit.translator.next_deadline() == 10
    kit.tick(10)
    assert (len(kit.said), kit.kinds()[-1], kit.left) == (2, "gap", 0)
    kit.tick(20)
    assert (len(kit.said), kit.left) == (2, 1)


def test_what_was_ended_is_asked_for_again() -> None:
    kit = Kit(FEED)
    kit.hello()
    kit.up(["sub", 1, "a"], 0)
    waits, at = [], 0.0
    for _ in range(8):
        kit.hear({"end": "a"}, at)
        due = kit.translator.next_deadline()
        assert due is not None
        waits.append(due - at)
        at = due
        kit.tick(at)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    kit.hear({"ch": "a", "d": 1}, at)
    kit.hear({"end": "a"}, at)
    assert kit.translator.next_deadline() == at + 1


def test_a_login_gives_and_keeps() -> None:
    forms = Login(say={"code": "$login", "old": "$keep.id"}, ok={"id": "$keep.id", "name": "$keep.name"})
    kit = Kit(Dialect(name="x", login=forms), keep={"id": 1, "other": 2})
    kit.hello(login="c")
    assert kit.said == ['{"code":"c","old":1}']
    kit.hear({"id": 3, "name": "n"}, 1)
    assert kit.translator.kept == {"id": 3, "name": "n", "other": 2}


def test_an_event_takes_the_first_form_that_fits() -> None:
    events = (Event({"a": "$data", "b": 1}, "both"), Event({"a": "$data"}, "one"), Event({"$text": "$data"}, "text"))
    kit = Kit(Dialect(name="x", events=events))
    kit.hello()
    for said in ({"a": 1, "b": 1}, {"a": 1, "b": 2}, {"c": 1}, b"\xff"):
        assert kit.hear(said, 1)
    assert [frame[3] for frame in kit.down[1:]] == ["both", "one", "text", "text"]
