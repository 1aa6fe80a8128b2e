"""Every input in every state: a legal move or none, and the way each of them has to go."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from msgspec import Raw

from heartline.core import effects as do
from heartline.core.client import ClientMachine
from heartline.core.enums import State
from heartline.core.errors import ConnectionClosed
from heartline.core.outbox import Kind
from heartline.core.states import MOVES
from tests.core.kit import Kit, welcome
from tests.core.test_client import STATES, kit_in

Input = Callable[[ClientMachine, float], Any]


def hear(*frame: Any) -> Input:
    return lambda m, now: m.received(m._road.link or m.attempt, json.dumps(frame).encode(), now)


INPUTS: dict[str, Input] = {
    "connect": lambda m, now: m.connect(now),
    "send": lambda m, now: m.send(Kind.SEND, "e", b"1", now),
    "withdraw": lambda m, now: m.withdraw(1, now),
    "subscribe": lambda m, now: m.subscribe("a", now),
    "unsubscribe": lambda m, now: m.unsubscribe("a", now),
    "handled": lambda m, now: m.handled("@", "i", 1, 1, now),
    "retry_now": lambda m, now: m.retry_now(now),
    "hint": lambda m, now: m.hint(now, "network"),
    "login": lambda m, now: m.login(Raw(b"1"), now),
    "close": lambda m, now: m.close(now),
    "end": lambda m, now: m.end(now),
    "opened": lambda m, now: m.opened(m.attempt, now),
    "opened, older": lambda m, now: m.opened(m.attempt - 1, now),
    "failed": lambda m, now: m.failed(m.attempt, now, "no"),
    "failed, older": lambda m, now: m.failed(m.attempt - 1, now, "no"),
    "failed for good": lambda m, now: m.failed(m.attempt, now, "no", fatal=True),
    "lost": lambda m, now: m.lost(m._road.link or m.attempt, 1006, "", now),
    "lost for good": lambda m, now: m.lost(m._road.link or m.attempt, 4204, "", now),
    "lost, replaced": lambda m, now: m.lost(m._road.link or m.attempt, 4202, "", now),
    "lost, older": lambda m, now: m.lost(-1, 4202, "", now),
    "alive": lambda m, now: m.alive(m._road.link, now),
    "welcome": hear(*welcome()),
    "refused for now": hear("refused", {"code": "x", "retry": 5}),
    "refused for good": hear("refused", {"code": "x", "retry": False}),
    "reply": hear("reply", 1, 1),
    "ack": hear("ack", 1),
    "fail": hear("fail", 1, {"code": "x"}),
    "ok": hear("ok", 1, {"epoch": "E", "offset": 1}),
    "no": hear("no", 1, {"code": "x"}),
    "msg": hear("msg", "@", 1, "e", 1),
    "msg, with a hole": hear("msg", "@", 9, "e", 1),
    "gap": hear("gap", "@", {"epoch": "i", "after": 0, "to": 3, "reason": "history"}),
    "now": hear("now", "@", "e", 1),
    "move": hear("move", {"after": 0, "spread": 0}),
    "expiring": hear("expiring", {"in": 1}),
    "ping": hear("ping", 1),
    "pong": hear("pong", 1),
    "rubbish": hear("rubbish"),
    "persisted": lambda m, now: m.persisted(9, now),
    "forgotten": lambda m, now: m.forgotten(1, now),
    "remembered": lambda m, now: m.remembered("s", now),
    "tick": lambda m, now: m.tick(now),
    "tick at the deadline": lambda m, now: m.tick(m.next_deadline() or now),
    "tick much later": lambda m, now: m.tick(now + 3600.0),
}

LINKED = {"greeting", "open", "moving"}
UP = {"open", "moving"}
WRONG_GREETING = {"reply", "ack", "fail", "ok", "no", "msg", "msg, with a hole", "gap", "now", "move", "expiring"}


def expected(state: str, name: str) -> str:
    """Where the input leads; the same state where it does not matter there."""
    by_input: dict[str, dict[str, str]] = {
        "connect": {"idle": "dialling"},
        "retry_now": dict.fromkeys(("waiting", "gave up", "refused"), "dialling"),
        "hint": {"waiting": "dialling"},
        "close": dict.fromkeys(STATES, "closed"),
        "end": dict.fromkeys(STATES, "closed"),
        "opened": dict.fromkeys(("dialling", "moving"), "greeting"),
        "failed": {"dialling": "waiting", "moving": "open"},
        "failed for good": {"dialling": "refused", "moving": "open"},
        "lost": {"greeting": "waiting", "open": "waiting", "moving": "dialling"},
        "lost for good": dict.fromkeys(LINKED, "refused"),
        "lost, replaced": dict.fromkeys(LINKED, "refused"),
        "welcome": {"greeting": "open", "open": "waiting", "moving": "dialling"},
        "refused for now": {"greeting": "waiting"},
        "refused for good": {"greeting": "refused"},
        "rubbish": {"greeting": "waiting", "open": "waiting", "moving": "dialling"},
        "msg, with a hole": {"open": "waiting", "moving": "dialling"},
        "tick at the deadline": {"dialling": "waiting", "greeting": "waiting", "waiting": "dialling", "moving": "open"},
        "tick much later": {"dialling": "waiting", "greeting": "waiting", "waiting": "dialling", "moving": "open"},
    }
    if state == "greeting" and name in WRONG_GREETING:
        return "waiting"
    return by_input.get(name, {}).get(state, state)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", INPUTS)
def test_every_input_in_every_state(state: str, name: str) -> None:
    kit = kit_in(state)
    before = kit.machine.state
    INPUTS[name](kit.machine, kit.now)
    kit.step()
    assert kit.machine.state.value == expected(state, name)
    # The moves it told are legal, and lead from where it was to where it is.
    for change in kit.of(do.Changed):
        assert State(change.old) is before
        if change.new != change.old:
            assert State(change.new) in MOVES[before]
            before = State(change.new)
    assert before is kit.machine.state
    # It dials when, and only when, it begins to; and writes only to a link there is.
    begins = [c for c in kit.of(do.Changed) if c.new in {"dialling", "moving"} and c.old not in {"moving", "dialling"}]
    assert len(kit.of(do.Dial)) == len(begins)
    if state not in LINKED and name != "opened":
        assert kit.of(do.Transmit) == []


@pytest.mark.parametrize("name", INPUTS)
def test_nothing_after_closed(name: str) -> None:
    kit = kit_in("open")
    kit.machine.close(0.0)
    kit.step()
    for now in (0.0, 100.0):
        with pytest.raises(ConnectionClosed) if name in {"send", "subscribe"} else nullcontext():
            INPUTS[name](kit.machine, now)
        # A socket that opens too late is dropped, and what the application handled is still stored.
        assert [e for e in kit.step() if not isinstance(e, do.MoveCursor | do.Drop)] == []
        assert name.startswith("opened") or kit.of(do.Drop) == []
        assert kit.machine.state is State.CLOSED
        assert kit.machine.next_deadline() is None


def test_the_table_is_used_up() -> None:
    """Each legal move is made by some input, so that nothing in the table is mere permission."""
    made = {(state, expected(state, name)) for state in STATES for name in INPUTS}
    made |= {("dialling", "gave up"), ("greeting", "gave up"), ("open", "gave up"), ("open", "moving")}
    legal = {(old.value, new.value) for old, news in MOVES.items() for new in news}
    assert legal == {(old, new) for old, new in made if old != new}


def test_giving_up_is_reached_from_each() -> None:
    for state in ("dialling", "greeting", "open"):
        kit = kit_in("gave up")
        kit.machine.retry_now(0.0)
        kit.step()
        if state != "dialling":
            kit.opened()
        if state == "open":
            kit.hear(*welcome())
        assert kit.machine.state.value == state
        if state == "dialling":
            kit.machine.failed(2, 0.0, "no")
        else:
            kit.machine.lost(2, 1006, "", 0.0)
        assert kit.machine.state is State.GAVE_UP


def test_kits_are_in_the_states_they_say() -> None:
    assert {kit_in(state).state for state in STATES} == set(State) - {State.CLOSED}
    assert isinstance(kit_in("open"), Kit)
