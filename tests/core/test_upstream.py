"""The way up: one outcome for each message, over many links."""

import json

import pytest

from heartline.core import effects as do
from heartline.core.enums import Outcome, State
from heartline.core.errors import OutboxFull
from heartline.core.outbox import Kind, Message
from heartline.core.policy import ClientPolicy, Full, OutboxLimits
from heartline.core.saved import Saved
from tests.core.kit import Kit

SEND = (Kind.SEND, "e", b"1")


def test_one_definite_outcome() -> None:
    kit = Kit()
    kit.open()
    call, send, pub, late = kit.send("call"), kit.send("send"), kit.send("pub", target="room"), kit.send(expires_in=5.0)
    assert kit.frames(kit.all)[-4:] == [
        ["call", 1, "e", 1],
        ["send", 2, "e", 1],
        ["pub", 3, "room", "e", 1],
        ["send", 4, "e", 1],
    ]
    outcomes = []
    for frame in (
        ["fail", 2, {"code": "forbidden", "message": "no", "path": "x"}],
        ["reply", 1, {"ok": True}],
        ["ack", 4],
        ["reply", 1, {"ok": True}],
        ["fail", 2, {"code": "forbidden"}],
        ["fail", 3, {"code": "late"}],
        ["ack", 4],
    ):
        kit.hear(*frame)
        outcomes += [(e.message.n, e.outcome, json.loads(e.body)) for e in kit.of(do.Settle)]
    assert outcomes == [
        (send, Outcome.REJECTED, {"code": "forbidden", "message": "no", "path": "x"}),
        (call, Outcome.HANDLED, {"ok": True}),
        (pub, Outcome.HANDLED, None),
        (late, Outcome.HANDLED, None),
    ]
    kit.tick(100.0)
    assert kit.of(do.Settle) == []


def test_failure_lost_with_the_link_while_another_runs() -> None:
    """Call 4's failure is lost with the link, call 5 runs, send 6 is done: nothing is started or settled twice."""
    kit = Kit()
    kit.open()
    for _ in range(3):
        kit.send()
    kit.hear("ack", 3)
    assert [kit.send("call"), kit.send("call"), kit.send("send")] == [4, 5, 6]
    kit.lose()  # ["fail", 4] was on its way
    kit.open(resumed=True, received=6)
    assert kit.frames(kit.all)[-1][1]["floor"] == 4
    assert kit.frames() == []
    assert kit.machine.outbox.in_flight == 3
    kit.hear("fail", 4, {"code": "failed"})
    assert kit.outcomes() == [(4, "rejected")]
    kit.hear("ack", 4)
    assert kit.outcomes() == []
    kit.hear("reply", 5, None)
    assert kit.outcomes() == [(5, "handled")]
    kit.hear("ack", 6)
    assert kit.outcomes() == [(6, "handled")]


def test_resumed_repeats_only_what_the_server_lacks() -> None:
    kit = Kit()
    kit.open()
    for _ in range(12):
        kit.send()
    assert len(kit.frames(kit.all)) == 1 + 8
    kit.lose()
    kit.open(resumed=True, received=5)
    assert [f[1] for f in kit.frames()] == [6, 7, 8]  # 1 to 5 fill the window too
    kit.hear("ack", 5)
    assert [f[1] for f in kit.frames()] == [9, 10, 11, 12]


def test_lost_session_names_what_is_unknown() -> None:
    kit = Kit()
    kit.open()
    for i in range(10):
        kit.send("call" if i % 2 else "send", idempotent=i in {2, 3})
    kit.lose()
    kit.open("t")
    assert kit.outcomes() == [(n, "unknown") for n in (1, 2, 5, 6, 7, 8)]
    assert [f[:2] for f in kit.frames()] == [["send", 3], ["call", 4], ["send", 9], ["call", 10]]
    kit.hear("ack", 3)
    assert kit.outcomes() == [(3, "handled")]


def test_lost_session_twice() -> None:
    kit = Kit()
    kit.open()
    kit.send(idempotent=True)
    kit.send()
    for session in ("t", "u"):
        kit.lose()
        kit.open(session)
    assert [f[:2] for f in kit.frames()] == [["send", 1]]
    kit.hear("ack", 1)
    assert kit.outcomes() == [(1, "handled")]


def test_an_outbox_that_was_set_back_leaves_its_session() -> None:
    messages = tuple(Message(n, *SEND) for n in (3, 4))
    kit = Kit(saved=Saved("s", "k", 5, messages))
    kit.machine.send(*SEND, kit.now)
    assert kit.step()[0] == do.Persist(kit.machine.outbox.get(5), 5 + 1024)  # type: ignore[arg-type]
    kit.machine.persisted(5, kit.now)
    kit.open(resumed=True, received=7)
    # 5 is known there, and we never wrote it: somebody else used our numbers.
    assert kit.outcomes() == [(3, "unknown"), (4, "unknown"), (5, "unknown")]
    assert kit.of(do.Remember) == [do.Remember(None, None)]
    assert [(e.attempt, e.code) for e in kit.of(do.Drop)] == [(1, 4007)]
    assert kit.state is State.WAITING
    kit.machine.send(*SEND, kit.now)
    kit.machine.persisted(6, kit.now)
    kit.open("t")
    assert "session" not in kit.frames(kit.all)[-1][1]
    kit.machine.remembered("t", kit.now)
    kit.step()
    assert kit.frames() == []  # on the disk 5 is still a message that was never written
    kit.machine.forgotten(5, kit.now)
    kit.step()
    assert kit.frames() == [["send", 6, "e", 1]]


def test_a_call_whose_answer_is_gone_is_unknown() -> None:
    kit = Kit()
    kit.open()
    kit.send("call")
    kit.send("call")
    kit.lose()
    kit.open(resumed=True, received=2)
    kit.hear("reply", 2, 1)
    kit.hear("ack", 2)
    assert kit.outcomes() == [(1, "unknown")]
    assert len(kit.machine.outbox) == 0


# limits


def test_too_big_is_never_written() -> None:
    kit = Kit()
    kit.open(limits={"message": 100})
    fits = b'"%s"' % (b"x" * (100 - len('["send",1,"e",""]')))
    kit.send(data=fits)
    assert len(kit.of(do.Transmit)[0].payload) == 100
    kit.send(data=fits[:-1] + b'x"')
    assert kit.frames() == []
    (settled,) = kit.of(do.Settle)
    assert (settled.message.n, settled.outcome) == (2, Outcome.REJECTED)
    assert json.loads(settled.body) == {"code": "too_big", "message": "above the server's limit of 100 bytes"}
    kit.send(event="名" * 40)  # 40 characters, 120 bytes
    assert kit.outcomes() == [(3, "rejected")]
    kit.send()
    assert kit.frames() == [["send", 4, "e", 1]]


def test_who_waits_for_room_hears_of_it() -> None:
    kit = Kit(ClientPolicy(outbox=OutboxLimits(messages=2, full=Full.WAIT)))
    kit.open()
    kit.send()
    kit.send()
    for _ in range(2):
        with pytest.raises(OutboxFull):
            kit.send()
    kit.hear("ack", 1)
    assert kit.new[-2:] == [kit.of(do.Settle)[-1], do.Room()]
    kit.send()
    kit.hear("ack", 2)
    assert kit.of(do.Room) == []  # nobody waits any more
    kit.send()
    with pytest.raises(OutboxFull):
        kit.send()
    kit.machine.close(kit.now)
    assert do.Room() in kit.step()  # to hear that it is closed


def test_a_durable_client_that_closes_wakes_who_waits() -> None:
    kit = Kit(ClientPolicy(outbox=OutboxLimits(messages=1, full=Full.WAIT)), saved=Saved())
    kit.send()
    with pytest.raises(OutboxFull):
        kit.send()
    kit.machine.close(kit.now)
    kit.step()
    assert kit.outcomes() == []
    assert kit.new[-1] == do.Room()


def test_refused_when_full() -> None:
    kit = Kit(ClientPolicy(outbox=OutboxLimits(messages=1)))
    kit.send()
    with pytest.raises(OutboxFull):
        kit.send()
    assert kit.step() == []


def test_the_oldest_goes_when_full() -> None:
    kit = Kit(ClientPolicy(outbox=OutboxLimits(messages=2, full=Full.DROP_OLDEST)))
    assert [kit.send(), kit.send(), kit.send()] == [1, 2, 3]
    (settled,) = kit.of(do.Settle)
    assert (settled.message.n, settled.outcome, settled.reason) == (1, Outcome.EXPIRED, "dropped from a full outbox")
    kit.open()
    assert [f[1] for f in kit.frames()] == [2, 3]


def test_a_program_that_sends_nonsense_is_told() -> None:
    kit = Kit(ClientPolicy(outbox=OutboxLimits(bytes=1000)))
    for error, more in (
        (ValueError, {"event": "@e"}),
        (ValueError, {"event": ""}),
        (TypeError, {"event": None}),
        (ValueError, {"kind": "pub", "target": "@"}),
        (ValueError, {"data": b""}),
        (ValueError, {"expires_in": -1.0}),
        (ValueError, {"expires_in": float("nan")}),
        (ValueError, {"data": b"1" * 1000}),
    ):
        with pytest.raises(error):
            kit.send(**more)  # type: ignore[arg-type]
    assert len(kit.machine.outbox) == 0
    assert kit.send() == 1


# expiry


def test_a_message_expires_while_others_wait() -> None:
    kit = Kit()
    kit.send()
    kit.send(expires_in=3.0)
    kit.send()
    assert kit.deadline == 3.0
    kit.tick(3.0)
    assert kit.outcomes() == [(2, "expired")]
    assert kit.deadline is None
    kit.open()
    assert [f[1] for f in kit.frames()] == [1, 3]


def test_what_ran_out_is_not_sent_although_the_tick_is_late() -> None:
    kit = Kit()
    kit.send(expires_in=3.0)
    kit.now = 10.0
    kit.open()
    assert kit.outcomes() == [(1, "expired")]
    assert kit.frames() == []


def test_withdraw() -> None:
    kit = Kit()
    kit.send()
    kit.send()
    assert kit.machine.withdraw(1, kit.now)
    kit.step()
    assert kit.outcomes() == [(1, "expired")]
    assert not kit.machine.withdraw(1, kit.now)
    kit.open()
    assert not kit.machine.withdraw(2, kit.now)


# the floor


def test_the_floor_is_told_when_it_is_quiet() -> None:
    kit = Kit()
    kit.open()
    kit.send()
    kit.now = 2.0
    kit.hear("ack", 1)
    assert kit.deadline == 3.0
    assert kit.frames(kit.tick(3.0)) == [["settled", 2]]
    assert kit.deadline == 27.0


def test_the_floor_is_told_when_it_holds_us_back() -> None:
    kit = Kit()
    kit.open()
    kit.send("call")
    for _ in range(400):
        kit.send()
    while waiting := [m.n for m in kit.machine.outbox if m.written and m.n > 1]:
        kit.hear("reply", waiting[0], None)
    assert max(f[1] for f in kit.frames(kit.all) if f[0] == "send") == 256
    kit.hear("reply", 1, None)
    frames = kit.frames()
    assert frames[0] == ["settled", 257]
    assert frames[1][:2] == ["send", 257]
