"""The heartbeat in exact numbers: interval 20, timeout 8 unless said otherwise."""

import pytest

from heartline.core.liveness import Act, Liveness, Pulse
from heartline.core.policy import Heartbeat


def life(now: float = 100.0) -> Liveness:
    return Liveness(Heartbeat(20.0, 8.0), now)


def test_dead_within_interval_plus_timeout() -> None:
    it = life()
    assert it.next_deadline() == 120.0
    assert it.tick(119.9) is Act.NOTHING
    assert it.tick(120.0) is Act.PING
    assert it.t == 1
    assert it.next_deadline() == 128.0
    assert it.tick(127.9) is Act.NOTHING
    assert it.tick(128.0) is Act.DEAD


def test_any_frame_is_life() -> None:
    it = life()
    it.heard(115.0)
    assert it.next_deadline() == 135.0
    assert it.tick(135.0) is Act.PING
    it.heard(140.0)
    assert it.pulse is Pulse.CALM
    assert it.next_deadline() == 160.0


def test_traffic_is_no_proof_of_the_way_out() -> None:
    it = life()
    it.awaiting(True, 105.0)
    for t in range(101, 125):
        it.heard(float(t))
    assert it.next_deadline() == 125.0  # an interval after we began to wait
    assert it.tick(125.0) is Act.PING
    for t in range(126, 133):
        it.heard(float(t))
        it.pong("another", float(t))
        it.pong(0, float(t))
    assert it.tick(133.0) is Act.DEAD


def test_our_own_pong_or_progress_is_proof() -> None:
    for prove in (lambda it: it.pong(1, 130.0), lambda it: it.progress(130.0)):
        it = life()
        it.awaiting(True, 105.0)
        it.heard(124.0)
        assert it.tick(125.0) is Act.PING
        prove(it)
        assert it.pulse is Pulse.CALM
        assert it.next_deadline() == 150.0  # a long handler is asked about once an interval
        it.awaiting(False, 131.0)
        it.heard(131.0)
        assert it.next_deadline() == 151.0


def test_a_ping_that_becomes_overdue_must_be_answered() -> None:
    it = life()
    it.awaiting(True, 103.0)
    assert it.tick(120.0) is Act.PING  # for silence: any frame would do
    it.heard(123.5)  # but by now what we wait for is overdue, too
    assert it.pulse is Pulse.PROBING
    assert it.tick(128.0) is Act.DEAD


def test_late_wake_up_probes_first() -> None:
    it = life()
    assert it.tick(120.0) is Act.PING
    assert it.tick(128.0 + 4.1) is Act.PING  # later than max(1, 8 / 2): we were asleep
    assert it.t == 2
    assert it.next_deadline() == 140.1
    assert it.tick(140.1) is Act.DEAD
    # A little late is not asleep.
    it = life()
    it.tick(120.0)
    assert it.tick(132.0) is Act.DEAD


def test_a_tick_that_is_always_late_does_not_put_it_off_for_ever() -> None:
    it = life()
    assert [it.tick(t) for t in (180.0, 240.0, 300.0)] == [Act.PING, Act.PING, Act.DEAD]


@pytest.mark.parametrize("sign", ["frame", "pong"])
def test_every_sleep_is_forgiven_once(sign: str) -> None:
    it = life()
    now = 120.0
    for _ in range(3):
        assert it.tick(now) is Act.PING
        now += 1000.0
        assert it.tick(now) is Act.PING
        now += 1.0
        if sign == "pong":
            it.pong(it.t, now)
        else:
            it.heard(now)
        assert it.pulse is Pulse.CALM
        now = it.next_deadline()


def test_with_a_short_timeout_a_second_late_is_asleep() -> None:
    it = Liveness(Heartbeat(1.0, 0.5), 0.0)
    it.tick(1.0)
    assert it.tick(2.5) is Act.DEAD
    it = Liveness(Heartbeat(1.0, 0.5), 0.0)
    it.tick(1.0)
    assert it.tick(2.51) is Act.PING


def test_hints_put_off_no_verdict() -> None:
    it = life()
    assert it.probe(101.0) == 1
    for t in range(1, 8):
        assert it.probe(101.0 + t) == 1  # said again, with the same t
    assert it.next_deadline() == 109.0
    it.heard(105.0)
    assert it.pulse is Pulse.PROBING  # only this ping's pong counts
    assert it.tick(109.0) is Act.DEAD


def test_a_hint_outranks_an_ordinary_ping() -> None:
    it = life()
    assert it.tick(120.0) is Act.PING
    assert it.probe(121.0) == 2
    it.pong(1, 122.0)
    assert it.pulse is Pulse.PROBING
    it.pong(2, 122.0)
    assert it.pulse is Pulse.CALM


def test_a_hint_before_a_sleep_does_not_use_up_the_grace() -> None:
    it = life()
    it.probe(101.0)
    assert it.tick(5000.0) is Act.PING
    assert it.tick(5008.0) is Act.DEAD


def test_a_hint_at_waking_up_asks_anew() -> None:
    it = life()
    assert it.probe(101.0) == 1
    assert it.probe(5000.0) == 2
    assert it.next_deadline() == 5008.0


def test_what_was_agreed_holds() -> None:
    it = life()
    it.agree(Heartbeat(5.0, 2.0))
    assert it.heartbeat.interval == 5.0
    assert it.next_deadline() == 105.0
