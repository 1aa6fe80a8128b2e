"""Dials, links and the waits between them, in exact numbers of virtual time."""

import pytest

from heartline.core import effects as do
from heartline.core.enums import State
from heartline.core.policy import BackOff, ClientPolicy
from tests.core.kit import Kit, welcome


def waits(kit: Kit) -> list[float | None]:
    return [e.retry_in for e in kit.new if isinstance(e, do.Changed) and e.new == "waiting"]


def dials(kit: Kit) -> list[int]:
    return [e.attempt for e in kit.of(do.Dial)]


def fail(kit: Kit, reason: str = "refused", *, fatal: bool = False) -> None:
    kit.machine.failed(kit.machine.attempt, kit.now, reason, fatal=fatal)
    kit.step()


def moving(*draws: float) -> Kit:
    """A client that is open on attempt 1 and dials 2."""
    kit = Kit(None, *draws)
    kit.open()
    kit.send()
    kit.hear("ack", 1)
    kit.hear("move", {"after": 2, "spread": 8})
    kit.tick(6.0)
    assert dials(kit) == [2]
    return kit


# dialling


def test_dial_fail_wait_dial() -> None:
    kit = Kit(None, 1.0, 0.5, 0.0)
    kit.machine.connect(5.0)
    assert kit.step() == [do.Changed("idle", "dialling", "connect", 1), do.Dial(1)]
    assert kit.deadline == 15.0
    kit.now = 6.0
    fail(kit)
    assert kit.new == [do.Changed("dialling", "waiting", "refused", 1, None, 0.25)]
    assert kit.deadline == 6.25
    assert kit.tick(6.24) == []
    kit.tick(6.25)
    assert dials(kit) == [2]
    kit.now = 6.5
    fail(kit)
    assert waits(kit) == [0.25]  # half of 0.5
    kit.wait()
    fail(kit)
    assert waits(kit) == [0.0]
    assert kit.machine.failures == 3


def test_never_two_dials() -> None:
    kit = Kit()
    kit.machine.connect(0.0)
    for poke in (
        lambda: kit.machine.connect(1.0),
        lambda: kit.machine.hint(1.0, "network"),
        lambda: kit.machine.retry_now(1.0),
        lambda: kit.machine.tick(1.0),
    ):
        poke()
    assert len([e for e in kit.step() if isinstance(e, do.Dial)]) == 1
    kit.opened()
    kit.machine.retry_now(1.0)
    kit.machine.hint(1.0, "network")
    assert kit.step() == []


def test_nothing_is_left_open() -> None:
    """A socket that comes too late is dropped, whatever the state."""
    kit = Kit()
    kit.machine.connect(0.0)
    kit.tick(10.0)
    assert kit.of(do.Drop) == [do.Drop(1, 4007, "the dial took too long")]
    kit.machine.opened(1, 10.1)
    assert kit.step() == [do.Drop(1, 4007, "no longer wanted")]
    kit.wait()
    kit.machine.opened(1, 11.0)
    assert kit.step() == [do.Drop(1, 4007, "no longer wanted")]
    kit.open()
    kit.machine.opened(1, 11.0)
    assert kit.step() == [do.Drop(1, 4007, "no longer wanted")]
    assert kit.state is State.OPEN


def test_attempts_that_hang_while_connecting() -> None:
    kit = Kit(ClientPolicy(connect_timeout=3.0), 1.0)
    kit.machine.connect(0.0)
    kit.step()
    assert kit.deadline == 3.0
    kit.tick(3.0)
    assert waits(kit) == [0.25]
    assert kit.state is State.WAITING
    assert kit.deadline == 3.25


def test_attempts_that_hang_while_greeting() -> None:
    kit = Kit(ClientPolicy(hello_timeout=4.0), 1.0)
    kit.dial()
    assert kit.deadline == 4.0
    kit.hear("ping", 1)  # life is not welcome
    assert kit.frames() == [["pong", 1]]
    assert kit.deadline == 4.0
    kit.tick(4.0)
    assert [(e.attempt, e.code) for e in kit.of(do.Drop)] == [(1, 4003)]
    assert waits(kit) == [0.25]


def test_a_dial_that_can_never_succeed() -> None:
    kit = Kit()
    kit.machine.connect(0.0)
    fail(kit, "not a WebSocket server", fatal=True)
    assert kit.state is State.REFUSED
    assert kit.deadline is None
    kit.machine.hint(1.0, "network")
    assert kit.step() == []
    kit.machine.retry_now(1.0)
    kit.step()
    assert dials(kit) == [2]


def test_giving_up() -> None:
    kit = Kit(ClientPolicy(max_attempts=2))
    kit.machine.connect(0.0)
    fail(kit)
    assert kit.state is State.WAITING
    kit.wait()
    fail(kit, "refused")
    assert kit.new == [do.Changed("dialling", "gave up", "refused (attempt 2 of 2)", 2)]
    assert kit.deadline is None
    kit.machine.hint(5.0, "network")
    assert kit.step() == []
    kit.machine.retry_now(5.0)
    kit.step()
    assert dials(kit) == [3]
    fail(kit)
    assert kit.state is State.WAITING  # it counts anew


def test_a_link_that_worked_is_no_attempt() -> None:
    kit = Kit(ClientPolicy(max_attempts=1))
    kit.open()
    kit.send()
    kit.hear("ack", 1)
    kit.lose()
    assert kit.state is State.WAITING
    kit.wait()
    fail(kit)
    assert kit.state is State.GAVE_UP


# back-off


def test_accept_then_drop_grows() -> None:
    kit = Kit(None, *[1.0] * 20)
    delays = []
    for i in range(9):
        kit.open(resumed=i > 0)
        kit.lose()
        delays += waits(kit)
        kit.machine.tick(kit.now)
        kit.wait()
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_progress_resets_to_the_first_step() -> None:
    kit = Kit(None, *[1.0] * 20)
    for _ in range(5):
        kit.open(resumed=kit.machine.session is not None)
        kit.lose()
    kit.open(resumed=True)
    kit.send()
    kit.hear("ack", 1)
    kit.lose()
    assert waits(kit) == [0.5]
    kit.open(resumed=True)
    kit.hear("msg", "@", 1, "e", 1)
    kit.lose()
    assert waits(kit) == [0.5]
    kit.open(resumed=True)
    kit.handled("@", "i", 1)  # it came over an earlier link: that says nothing about this one
    kit.lose()
    assert waits(kit) == [0.5]  # the links before it made progress: they raised nothing
    kit.open(resumed=True)
    kit.lose()
    assert waits(kit) == [1.0]


def test_handling_while_offline_resets_nothing() -> None:
    kit = Kit(None, *[1.0] * 20)
    kit.open()
    for offset in range(1, 6):
        kit.hear("msg", "@", offset, "e", 1)
    kit.lose()
    for offset in range(1, 6):
        kit.wait()
        kit.handled("@", "i", offset)
        fail(kit)
    assert waits(kit) == [4.0]


def test_a_stable_time_resets_fully() -> None:
    kit = Kit(ClientPolicy(back_off=BackOff(stable=20.0)), *[1.0] * 20)
    for _ in range(5):
        kit.open(resumed=kit.machine.session is not None)
        kit.lose()
    kit.open(resumed=True)
    kit.tick(19.9)
    kit.lose()
    assert waits(kit) == [8.0]
    kit.open(resumed=True)
    kit.tick(40.0)
    kit.lose()
    assert waits(kit) == [0.25]


# refusals


def test_min_wait_is_honoured() -> None:
    kit = Kit(None, 1.0, 1.0, 1.0)
    kit.dial()
    kit.hear("refused", {"code": "busy", "message": "later", "retry": 60})
    assert [(e.attempt, e.code, e.reason) for e in kit.of(do.Drop)] == [(1, 4006, "refused: busy: later")]
    assert waits(kit) == [60.25]
    kit.machine.hint(30.0, "network")
    assert kit.step() == []
    assert kit.deadline == 60.25
    kit.machine.hint(60.1, "network")  # the wait is over: only the back-off was left
    kit.step()
    assert dials(kit) == [2]
    kit.now = 61.0
    fail(kit)
    assert waits(kit) == [0.5]  # it was honoured once, that is enough


def test_the_person_need_not_wait() -> None:
    kit = Kit()
    kit.dial()
    kit.hear("refused", {"code": "busy", "retry": 60})
    kit.machine.retry_now(1.0)
    kit.step()
    assert dials(kit) == [2]
    fail(kit)
    assert waits(kit) == [0.25]


@pytest.mark.parametrize(
    ("word", "code"),
    [("login", 4201), ("not_your_session", 4204), ("too_many_sessions", 4205), ("login_refused", 4201)],
)
def test_refused_for_good(word: str, code: int) -> None:
    kit = Kit()
    kit.dial()
    kit.hear("refused", {"code": word, "retry": False})
    assert [(e.attempt, e.code) for e in kit.of(do.Drop)] == [(1, code)]
    assert kit.of(do.Changed)[-1] == do.Changed("greeting", "refused", f"refused: {word}", 1, code)
    assert kit.deadline is None
    kit.lose(4201)  # its close frame, late
    assert kit.new == []


def test_reasons_fit_into_a_close_frame() -> None:
    kit = Kit()
    kit.dial()
    kit.hear("refused", {"code": "x", "message": "错误" * 1000, "retry": False})
    (drop,) = kit.of(do.Drop)
    assert len(drop.reason.encode()) <= 120
    assert drop.reason.startswith("refused: x: 错误")


# codes


@pytest.mark.parametrize(
    ("code", "state"),
    [
        *((code, "waiting") for code in (1000, 1006, 4001, 4100, 4399)),
        *((code, "refused") for code in (1008, 1009, 4200, 4204, 4299)),
    ],
)
def test_the_class_of_a_code_decides(code: int, state: str) -> None:
    kit = Kit()
    kit.open()
    kit.lose(code)
    assert kit.of(do.Changed)[-1].new == state
    assert kit.of(do.Changed)[-1].code == code


@pytest.mark.parametrize("code", [4202, 4203])
def test_replaced_and_ended_settle_everything(code: int) -> None:
    kit = Kit()
    kit.open()
    for _ in range(9):
        kit.send()
    kit.lose(code)
    assert kit.state is State.REFUSED
    assert kit.outcomes() == [*((n, "unknown") for n in range(1, 9)), (9, "expired")]
    kinds = [type(e) for e in kit.new]
    assert kinds.index(do.Remember) > max(i for i, k in enumerate(kinds) if k is do.Settle)
    assert kit.of(do.Remember) == [do.Remember(None, None)]


# moving


def test_move_dials_while_the_link_goes_on() -> None:
    kit = Kit(None, 0.25)
    kit.open()
    kit.hear("move", {"after": 2, "spread": 8})
    kit.hear("move", {"after": 0, "spread": 0})  # once is enough
    assert kit.deadline == 4.0
    kit.wait()
    assert kit.new == [do.Changed("open", "moving", "the server asked to move", 2), do.Dial(2)]
    kit.send()
    assert [e.attempt for e in kit.of(do.Transmit)] == [1]
    kit.hear("ack", 1, attempt=1)
    assert kit.outcomes() == [(1, "handled")]
    kit.send()
    kit.opened()
    drop, changed, _hello = kit.new
    assert drop == do.Drop(1, 4007, "moving on")
    assert changed == do.Changed("moving", "greeting", "open", 2)
    assert kit.frames()[0][1]["session"] == "s"
    kit.hear(*welcome(resumed=True, received=1))
    assert [(e.attempt, f) for e, f in zip(kit.of(do.Transmit), kit.frames(), strict=True)] == [
        (2, ["send", 2, "e", 1])
    ]
    assert kit.lose(1006, attempt=1) == []


def test_move_that_fails_stays() -> None:
    kit = moving()
    fail(kit)
    assert kit.new == [do.Changed("moving", "open", "could not move: refused", 2)]
    kit.send()
    assert [e.attempt for e in kit.of(do.Transmit)] == [1]
    kit.tick(kit.now + 0.1)
    kit.lose(4002, attempt=1)
    assert kit.state is State.WAITING


def test_the_old_link_dies_while_moving() -> None:
    kit = moving()
    kit.lose(1006, attempt=1)
    assert kit.new == [do.Changed("moving", "dialling", "gone", 2, 1006)]
    kit.open(resumed=True, received=1)
    assert kit.state is State.OPEN


def test_the_old_link_falls_silent_while_moving() -> None:
    kit = moving()
    kit.tick(kit.now + 9.9)
    assert kit.state is State.MOVING
    kit = Kit(ClientPolicy(connect_timeout=1000.0))
    kit.open()
    kit.hear("move", {"after": 0, "spread": 0})
    kit.tick(0.0)
    kit.tick(25.0)
    assert kit.frames() == [["ping", 1]]
    kit.tick(35.0)
    assert [(e.attempt, e.code) for e in kit.of(do.Drop)] == [(1, 4000)]
    assert kit.state is State.DIALLING


def test_a_fatal_end_while_moving_stops_the_dial() -> None:
    kit = moving()
    kit.lose(4202, attempt=1)
    assert kit.of(do.Drop) == [do.Drop(2, 4007, "no longer wanted")]
    assert kit.state is State.REFUSED
    assert kit.deadline is None


def test_moving_takes_too_long() -> None:
    kit = moving()
    kit.tick(kit.now + 10.0)
    assert kit.of(do.Drop) == [do.Drop(2, 4007, "the dial took too long")]
    assert kit.state is State.OPEN


def test_moves_without_progress_slow_down() -> None:
    kit = Kit(None, *[1.0] * 20)
    delays = []
    kit.open()
    for _ in range(5):
        kit.hear("move", {"after": 0, "spread": 0})
        delays.append((kit.deadline or 0.0) - kit.now)
        kit.wait()
        kit.open(resumed=True)
    assert delays == [0.0, 0.5, 1.0, 2.0, 4.0]


# hints


def test_hint_while_waiting_dials_at_once() -> None:
    kit = Kit()
    kit.machine.connect(0.0)
    fail(kit)
    kit.machine.hint(0.01, "the network is back")
    assert kit.step() == [do.Changed("waiting", "dialling", "the network is back", 2), do.Dial(2)]
    assert kit.deadline == 10.01


def test_hint_while_open_pings_at_once() -> None:
    kit = Kit()
    kit.open()
    for at in (5.0, 5.5):
        kit.now = at
        kit.machine.hint(at, "foreground")
        kit.step()
        assert kit.frames() == [["ping", 1]]
    assert kit.deadline == 15.0
    kit.hear("msg", "@", 1, "e", 1)
    assert kit.deadline == 15.0  # only the pong counts
    kit.tick(15.0)
    assert [(e.attempt, e.code) for e in kit.of(do.Drop)] == [(1, 4000)]
    kit.open(resumed=True)
    kit.machine.retry_now(16.0)
    kit.step()
    assert kit.frames() == [["ping", 1]]
    kit.hear("pong", 1)
    assert kit.deadline == 41.0
