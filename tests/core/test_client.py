"""The client machine as a whole: the hard cases by name, in exact numbers of virtual time."""

import json
from typing import Any

import pytest
from msgspec import Raw

from heartline.core import effects as do
from heartline.core.codes import CodeClass
from heartline.core.enums import State
from heartline.core.errors import ConnectionClosed
from heartline.core.outbox import Kind, Message
from heartline.core.policy import ClientPolicy, Heartbeat
from heartline.core.saved import Saved
from tests.core.kit import LIMITS, Kit, welcome

STATES = ["idle", "dialling", "greeting", "open", "moving", "waiting", "gave up", "refused"]


def kit_in(state: str, **more: Any) -> Kit:
    """A client in this state, with one message written where that is possible and one waiting."""
    kit = Kit(ClientPolicy(max_attempts=1 if state == "gave up" else None), **more)
    if state in {"open", "moving", "waiting"}:
        kit.open()
    elif state != "idle":
        kit.machine.connect(kit.now)
        kit.step()
    if state == "greeting":
        kit.opened()
    elif state == "moving":
        kit.hear("move", {"after": 0, "spread": 0})
        kit.tick()
    elif state == "waiting":
        kit.lose()
    elif state in {"gave up", "refused"}:
        kit.machine.failed(1, kit.now, "no", fatal=state == "refused")
        kit.step()
    kit.send("call")
    assert kit.state.value == state
    return kit


# hello and welcome


def test_hello_says_who_we_are() -> None:
    kit = Kit(ClientPolicy(heartbeat=Heartbeat(5.0, 2.0)))
    kit.send()
    kit.subscribe("a", "E", 4)
    kit.machine.connect(0.0)
    kit.step()
    kit.opened(Raw(b'{"token":"x"}'))
    body: dict[str, Any] = {
        "instance": "me",
        "floor": 1,
        "login": {"token": "x"},
        "cursors": [[1, "a", ["E", 4]]],
        "heartbeat": {"interval": 5.0, "timeout": 2.0},
    }
    assert kit.frames() == [["hello", body]]
    kit.open()
    kit.hear("ack", 1)
    kit.lose()
    kit.machine.retry_now(0.0)
    kit.opened()
    del body["login"]
    more = {"session": "s", "key": "k", "floor": 2, "cursors": [[1, "a", ["E", 4]], [0, "@", ["i", 0]]]}
    assert kit.frames() == [["hello", body | more]]


def test_session_and_key_come_together() -> None:
    kit = Kit(saved=Saved("s", None))
    kit.dial()
    assert {"session", "key"}.isdisjoint(kit.frames()[0][1])


def test_what_welcome_agrees_is_in_force() -> None:
    kit = Kit(ClientPolicy(heartbeat=Heartbeat(5.0, 2.0)))
    kit.open(heartbeat={"interval": 7.5, "timeout": 3})
    assert kit.deadline == 7.5
    kit.wait()
    assert kit.frames() == [["ping", 1]]
    assert kit.deadline == 10.5


def test_nothing_numbered_before_welcome() -> None:
    kit = Kit()
    kit.send()
    kit.dial()
    kit.send("call")
    kit.subscribe("a")
    kit.machine.retry_now(0.0)
    kit.machine.hint(0.0, "network")
    kit.machine.login(Raw(b"1"), 0.0)
    kit.hear("ping", "x")
    assert [f[0] for f in kit.frames(kit.all)] == ["hello", "pong"]
    kit.open()
    assert [f[0] for f in kit.frames()] == ["sub", "send", "call"]


def test_nothing_numbered_before_the_session_is_stored() -> None:
    kit = Kit(saved=Saved())
    kit.send()
    kit.machine.persisted(1, 0.0)
    kit.open()
    assert kit.of(do.Remember) == [do.Remember("s", "k")]
    assert kit.frames() == []
    kit.machine.remembered("another", 0.0)
    kit.machine.remembered(None, 0.0)
    assert kit.step() == []
    kit.lose()
    kit.open(resumed=True)
    assert kit.frames() == []  # the disk is slow
    kit.machine.remembered("s", 0.0)
    kit.step()
    assert kit.frames() == [["send", 1, "e", 1]]
    # A session that came from the disk is there already.
    kit = Kit(saved=Saved("s", "k"))
    kit.send()
    kit.machine.persisted(1, 0.0)
    kit.open(resumed=True)
    assert kit.frames() == [["send", 1, "e", 1]]


def test_settled_before_remembered() -> None:
    """A crash in between must find the old session, not old messages in a new one."""
    messages = (Message(1, Kind.SEND, "e", b"1"), Message(2, Kind.CALL, "e", b"1", idempotent=True))
    kit = Kit(saved=Saved("s", "k", 3, messages, {"@": ("i", 2)}))
    kit.open("t")
    kinds = [type(e) for e in kit.new]
    assert kit.outcomes() == [(1, "unknown")]
    assert kinds.index(do.Settle) < kinds.index(do.Forget) < kinds.index(do.MoveCursor) < kinds.index(do.Remember)
    assert kit.frames() == []
    kit.machine.remembered("t", 0.0)
    kit.step()
    assert kit.frames() == [["call", 2, "e", 1]]


@pytest.mark.parametrize(
    "frame",
    [
        ["welcome", {}],
        welcome("other", resumed=True),
        ["welcome", {k: v for k, v in welcome()[1].items() if k != "key"}],
        welcome(received=3),
        ["reply", 1, 1],
        ["ack", 1],
        ["ok", 1, {}],
        ["msg", "@", 1, "e", 1],
        ["move", {}],
        ["expiring", {"in": 3}],
        ["hello", {}],
        ["refused", {"code": "x", "retry": True}],
    ],
    ids=str,
)
def test_what_may_not_come_before_welcome(frame: list[Any]) -> None:
    kit = Kit()
    kit.dial()
    kit.hear(*frame)
    assert [(e.attempt, e.code) for e in kit.of(do.Drop)] == [(1, 4200)]
    assert kit.state is State.WAITING


def test_welcome_comes_once() -> None:
    kit = Kit()
    kit.open()
    kit.hear(*welcome())
    assert kit.of(do.Drop)[0].code == 4200


# frames that break the protocol


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"[1]",
        b'["nope"]',
        b'["msg"]',
        b'["ack",-1]',
        b'["fail",1,7]',
        b'["hello",{}]',
        b"\xff",
        b"[" * 10**5,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_broken_server_costs_no_message(text: bytes) -> None:
    kit = Kit()
    kit.open()
    kit.send()
    kit.hear_text(text)
    assert [(e.attempt, e.code) for e in kit.of(do.Drop)] == [(1, 4200)]
    assert kit.state is State.WAITING
    kit.hear("ack", 1)
    assert kit.new == []
    kit.open(resumed=True)
    assert kit.frames() == [["send", 1, "e", 1]]
    kit.hear("ack", 1)
    assert kit.outcomes() == [(1, "handled")]


def test_a_server_that_always_breaks_the_protocol_is_dialled_ever_more_slowly() -> None:
    kit = Kit(None, *[1.0] * 10)
    delays = []
    for i in range(5):
        kit.open(resumed=i > 0)
        kit.hear_text(b"rubbish")
        delays += [e.retry_in for e in kit.of(do.Changed)]
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0]


# attempts


def test_older_attempts_are_ignored() -> None:
    kit = Kit()
    kit.open()
    kit.send()
    kit.lose()
    kit.open(resumed=True, received=0)
    assert kit.machine.attempt == 2
    before = kit.deadline
    kit.now = 1.0
    kit.hear("ack", 1, attempt=1)
    kit.hear_text(b"rubbish", attempt=1)
    kit.lose(4202, attempt=1)
    kit.machine.failed(1, 1.0, "late")
    kit.machine.alive(1, 1.0)
    assert kit.step() == []
    assert (kit.state, kit.deadline) == (State.OPEN, before)
    kit.machine.alive(2, 1.0)
    assert kit.deadline == 25.0  # what we wait for is no sign of life from elsewhere
    kit.hear("ack", 1)
    assert kit.outcomes() == [(1, "handled")]


def test_older_attempts_are_ignored_while_another_dials() -> None:
    kit = Kit()
    kit.machine.connect(0.0)
    kit.tick(10.0)
    kit.wait()
    kit.machine.failed(1, kit.now, "at last")
    kit.lose(1006, attempt=1)
    kit.hear(*welcome(), attempt=1)
    assert kit.step() == []
    assert kit.state is State.DIALLING


# closing


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("durable", [False, True])
def test_close_is_final(state: str, durable: bool) -> None:
    kit = kit_in(state, saved=Saved() if durable else None)
    kit.now += 1.0
    attempt = kit.machine.attempt
    kit.machine.close(kit.now)
    kit.step()
    dropped = sorted(e.attempt for e in kit.of(do.Drop))
    assert dropped == {"dialling": [1], "greeting": [1], "open": [1], "moving": [1, 2]}.get(state, [])
    assert kit.state is State.CLOSED
    assert kit.deadline is None
    if durable:
        assert kit.outcomes() == []
        assert len(kit.machine.outbox) == 1
    else:
        assert kit.outcomes() == [(1, "unknown" if state in {"open", "moving"} else "expired")]
    poke_everything(kit, attempt)
    assert not [e for e in kit.step() if isinstance(e, do.Dial | do.Transmit | do.Changed | do.Arrived)]
    assert kit.state is State.CLOSED
    assert kit.deadline is None
    with pytest.raises(ConnectionClosed):
        kit.send()
    with pytest.raises(ConnectionClosed):
        kit.subscribe("b")


def poke_everything(kit: Kit, attempt: int) -> None:
    machine, now = kit.machine, kit.now
    machine.connect(now)
    machine.retry_now(now)
    machine.hint(now, "network")
    machine.opened(attempt, now)
    machine.failed(attempt, now, "late")
    machine.received(attempt, json.dumps(welcome()).encode(), now)
    machine.received(attempt, b"rubbish", now)
    machine.lost(attempt, 1006, "late", now)
    machine.alive(attempt, now)
    machine.login(Raw(b"1"), now)
    machine.unsubscribe("a", now)
    machine.handled("@", "i", 1, 1, now)
    machine.persisted(10, now)
    machine.forgotten(1, now)
    machine.remembered("s", now)
    machine.tick(now + 1000.0)
    machine.close(now)
    machine.end(now)


@pytest.mark.parametrize("state", STATES)
def test_end_destroys_the_session(state: str) -> None:
    kit = kit_in(state)
    kit.machine.end(kit.now)
    kit.step()
    said = [["bye", "end"]] if state in {"greeting", "open", "moving"} else []
    assert [f for f in kit.frames() if f[0] == "bye"] == said
    kinds = [type(e) for e in kit.new]
    if said:
        assert kinds.index(do.Transmit) < kinds.index(do.Drop)
    assert kit.of(do.Remember) == [do.Remember(None, None)]
    assert kinds.index(do.Settle) < kinds.index(do.Remember)
    assert kit.machine.session is None
    assert kit.state is State.CLOSED


def test_a_durable_client_keeps_what_is_unsettled_unless_it_ends() -> None:
    kit = Kit(saved=Saved())
    kit.send()
    kit.machine.end(0.0)
    kit.step()
    assert kit.outcomes() == [(1, "expired")]
    assert kit.of(do.Forget) == [do.Forget(1)]


# time


def test_a_clock_that_jumps_forward_asks_before_it_buries() -> None:
    kit = Kit()
    kit.open()
    kit.tick(3600.0)
    assert kit.frames() == [["ping", 1]]
    assert kit.deadline == 3610.0
    kit.tick(7200.0)
    assert kit.frames() == [["ping", 2]]  # and again, once: we were asleep while waiting for the first
    assert kit.deadline == 7210.0
    kit.hear("pong", 2)
    assert kit.deadline == 7225.0


def test_a_clock_that_jumps_back_goes_on() -> None:
    kit = Kit()
    kit.now = 1000.0
    kit.open()
    assert kit.deadline == 1025.0
    kit.now = 400.0
    kit.hear("ping", 1)
    assert kit.deadline == 425.0
    kit.tick(425.0)
    assert kit.frames() == [["ping", 1]]
    assert kit.deadline == 430.0  # the back-off's stable time, begun at 1000
    kit.tick(435.0)
    assert kit.of(do.Drop)[0].code == 4000
    kit.machine.retry_now(434.5)  # a little back is only a moment read earlier
    assert kit.deadline == 445.0


def test_a_clock_that_jumps_back_while_waiting() -> None:
    kit = Kit(None, 1.0)
    kit.now = 1000.0
    kit.machine.connect(1000.0)
    kit.machine.failed(1, 1000.0, "no")
    assert kit.deadline == 1000.25
    kit.machine.tick(10.0)
    assert kit.deadline == 10.25


def test_a_tick_that_comes_late() -> None:
    kit = Kit()
    kit.open()
    kit.send("call")
    kit.tick(25.0)
    assert kit.frames() == [["ping", 1]]
    kit.tick(40.5)  # more than half a time-out late
    assert kit.frames() == [["ping", 2]]
    assert kit.state is State.OPEN
    kit.tick(50.5)
    assert kit.of(do.Drop)[0].code == 4000
    kit.open(resumed=True)
    kit.tick(75.5)
    kit.tick(90.5)  # exactly half a time-out late is only late
    assert kit.of(do.Drop)[0].code == 4000


def test_tick_early_or_twice_does_nothing() -> None:
    for state in STATES:
        kit = kit_in(state)
        kit.step()
        for _ in range(3):
            kit.machine.tick(kit.now)
        assert kit.step() == []


def test_next_deadline_is_pure() -> None:
    for state in STATES:
        kit = kit_in(state)
        assert len({kit.machine.next_deadline() for _ in range(5)}) == 1
        assert kit.step() == []


# the heartbeat


def test_half_open_is_found_and_left() -> None:
    kit = Kit()
    kit.open(heartbeat={"interval": 20, "timeout": 8})
    kit.now = 4.0
    kit.hear("msg", "@", 1, "e", 1)
    kit.tick(24.0)
    assert kit.frames() == [["ping", 1]]
    kit.tick(32.0)
    assert kit.of(do.Drop) == [do.Drop(1, 4000, "nothing was heard from the server")]
    assert kit.of(do.Changed) == [do.Changed("open", "waiting", "nothing was heard from the server", 1, 4000, 0.125)]


def test_traffic_down_hides_no_dead_way_up() -> None:
    kit = Kit()
    kit.open(heartbeat={"interval": 20, "timeout": 8})
    kit.now = 5.0
    kit.send()
    for t in range(6, 33):
        kit.tick(float(t))
        if t == 25:
            assert ["ping", 1] in kit.frames()
        kit.hear("msg", "@", t - 5, "e", 1)
        kit.handled("@", "i", t - 5)
    assert kit.state is State.OPEN
    kit.tick(33.0)
    assert kit.of(do.Drop)[0].code == 4000


def test_an_answer_to_a_subscription_is_proof() -> None:
    kit = Kit()
    kit.open(heartbeat={"interval": 20, "timeout": 8})
    kit.now = 5.0
    kit.subscribe("a")
    kit.now = 20.0
    kit.hear("msg", "@", 1, "e", 1)
    assert kit.deadline == 25.0
    kit.now = 24.0
    kit.hear("ok", 1, {"epoch": "E", "offset": 0})
    assert kit.deadline == 30.0  # STABLE; the heartbeat has nothing to do before 44
    kit.tick(30.0)
    assert kit.deadline == 44.0


def test_a_ping_is_answered_at_once() -> None:
    kit = Kit()
    kit.open()
    kit.hear("ping", "same")
    assert kit.frames() == [["pong", "same"]]


# credentials


def test_credentials_expire_on_a_live_link() -> None:
    kit = Kit()
    kit.open()
    kit.hear("expiring", {"in": 30})
    assert kit.new == [do.Renew(30.0)]
    kit.machine.login(Raw(b'{"token":2}'), 1.0)
    kit.step()
    assert kit.frames() == [["login", {"token": 2}]]
    kit.hear("ok", 0, {"expires_in": 3600})
    assert kit.new == []
    kit.hear("refused", {"code": "expired", "message": "too old", "retry": False})
    assert kit.new == [do.Changed("open", "open", "renewal refused: expired: too old", 1)]
    kit.lose(4100)
    assert kit.state is State.WAITING  # the shell asks for fresh ones before it dials


# durable


def test_effects_keep_the_order_of_causes() -> None:
    kit = Kit(saved=Saved("s", "k"))
    kit.open(resumed=True)
    kit.machine.send(Kind.SEND, "e", b"1", 0.0)
    kit.machine.persisted(1, 0.0)
    kit.machine.received(1, b'["ack",1]', 0.0)
    assert [type(e) for e in kit.step()] == [do.Persist, do.Transmit, do.Settle, do.Forget]


def test_numbers_are_reserved_in_blocks() -> None:
    kit = Kit(saved=Saved("s", "k", 5000))
    reserved = []
    for _ in range(2050):
        kit.send()
        reserved += [(e.message.n, e.reserved) for e in kit.of(do.Persist)]
    assert reserved[0] == (5000, 6024)
    assert next(r for r in reserved if r[1] != 6024) == (6024, 7048)
    assert all(n < limit for n, limit in reserved)


def test_a_crash_comes_back_to_its_session() -> None:
    messages = (Message(3, Kind.CALL, "e", b'"x"'), Message(4, Kind.PUB, "e", b"1", target="room"))
    kit = Kit(saved=Saved("s", "k", 1024, messages, {"@": ("i", 7)}))
    kit.send(expires_in=1.0)
    kit.dial()
    assert kit.frames()[0][1] == {
        "instance": "me",
        "floor": 3,
        "session": "s",
        "key": "k",
        "cursors": [[0, "@", ["i", 7]]],
    }
    kit.open(resumed=True, received=3)
    assert kit.frames() == [["pub", 4, "room", "e", 1]]
    kit.hear("reply", 3, "done")
    kit.hear("ack", 4)
    assert kit.frames() == []  # 1024 is not on disk yet
    kit.machine.persisted(1024, 0.0)
    kit.step()
    assert kit.frames() == []  # and beyond floor + 256: the disk still holds 3 and 4
    kit.machine.forgotten(3, 0.0)
    kit.machine.forgotten(4, 0.0)
    kit.step()
    assert kit.frames() == [["settled", 1024], ["send", 1024, "e", 1]]


def test_restored_messages_never_expire() -> None:
    kit = Kit(saved=Saved("s", "k", 2, (Message(1, Kind.SEND, "e", b"1", expires_at=0.5),)))
    assert kit.deadline is None
    kit.tick(100.0)
    assert kit.new == []
    assert not kit.machine.withdraw(1, 100.0)


def test_a_trace_tells_every_move() -> None:
    from heartline.core.client import ClientMachine
    from heartline.dialects.native import NativeClient
    from tests.core.kit import Dice

    lines: list[tuple[float, str, dict[str, object]]] = []
    machine = ClientMachine(
        ClientPolicy(), NativeClient(), Dice(), "me", about={"name": "x"}, trace=lambda *line: lines.append(line)
    )
    machine.connect(2.0)
    assert lines == [(2.0, "client.state", {"old": "idle", "new": "dialling", "reason": "connect"})]
    machine.opened(1, 2.0)
    assert json.loads(machine.drain()[-1].payload)[1]["client"] == {"name": "x"}  # type: ignore[union-attr]
    assert LIMITS["window"] == 256


def test_a_durable_client_is_restored_before_its_first_step() -> None:
    kit = Kit(saved=Saved())
    kit.machine.restore(Saved("s", "k", 9, (Message(4, Kind.SEND, "e", b"1"),), {"@": ("i", 2)}))
    assert kit.machine.session == "s"
    assert [m.n for m in kit.machine.outbox] == [4]
    assert kit.send() == 9
    with pytest.raises(RuntimeError, match="restore"):
        kit.machine.restore(Saved())
    with pytest.raises(RuntimeError, match="restore"):
        Kit().machine.restore(Saved())


# what a dialect tells


def test_what_nobody_said_is_no_life_and_no_progress() -> None:
    """A dialect settles what it has written: the heartbeat goes on as if nothing had been heard."""
    kit = Kit()
    kit.open(heartbeat={"interval": 10, "timeout": 4})
    n = kit.send()
    kit.now = 9.0
    kit.machine.received(kit.machine.attempt, b'["reply",%d,null]' % n, kit.now, proof=False)
    assert any(isinstance(effect, do.Settle) for effect in kit.step())
    kit.tick(10.0)
    assert ["ping", 1] in kit.frames()
    kit.tick(14.0)
    assert kit.machine.state is State.WAITING
    assert kit.machine.failures == 1


def test_a_stranger_s_close_code_is_not_ours() -> None:
    kit = Kit()
    kit.open()
    kit.machine.lost(kit.machine.attempt, 4203, "whatever", kit.now, kind=CodeClass.RETRY)
    assert kit.machine.state is State.WAITING
    assert kit.machine.session == "s"
