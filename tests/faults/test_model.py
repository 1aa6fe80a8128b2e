"""The plan of a bad network, in virtual time. One test for each invariant of `heartline.faults.model`."""

import hashlib
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartline.faults import (
    DialVerdict,
    Direction,
    FaultModel,
    FaultRules,
    LinkEvent,
    LinkEventKind,
    LinkFaults,
    LinkState,
)
from heartline.faults.model import LEGAL_MOVES

UP, DOWN = Direction.UP, Direction.DOWN
END = 200.0  # seconds of virtual time each property looks at


def seconds(least: float, most: float) -> st.SearchStrategy[float]:
    return st.floats(least, most, allow_nan=False)


rules = st.builds(
    FaultRules,
    cut_every=st.none() | seconds(0.5, 100),
    cut_loses_data=st.booleans(),
    freeze_every=st.none() | seconds(0.5, 60),
    freeze_for=seconds(0.1, 30) | st.just(math.inf),
    freeze_direction=st.none() | st.sampled_from(Direction),
    freeze_kills=st.booleans(),
    latency=seconds(0, 5),
    jitter=seconds(0, 3),
    bandwidth=st.none() | seconds(10, 1e6),
    refuse_every=st.none() | seconds(0.5, 60),
    refuse_for=seconds(0.1, 30),
    refuse_chance=seconds(0, 0.5),
    hang_chance=seconds(0, 0.5),
    spread=seconds(0, 1),
    kind_after=st.none() | seconds(0, 150),
)
seeds = st.integers(0, 2**32)
chunks = st.lists(st.tuples(seconds(0, END), st.sampled_from(Direction), st.integers(0, 10_000)), max_size=30).map(
    lambda found: sorted(found, key=lambda chunk: chunk[0])
)


def make(given_rules: FaultRules, seed: int = 1) -> FaultModel:
    return FaultModel(given_rules, random.Random(seed))


def whole_life(link: LinkFaults, until: float = END) -> list[LinkEvent]:
    events: list[LinkEvent] = []
    while (when := link.next_event()) is not None and when <= until:
        happened = link.advance(when)
        assert happened, "next_event announced a moment at which nothing happened"
        events += happened
    return events


def test_without_rules_nothing_goes_wrong() -> None:
    model = make(FaultRules())
    assert {model.dial(t / 10) for t in range(1000)} == {DialVerdict.ACCEPT}
    link = model.link(3.0)
    assert link.next_event() is None
    assert link.advance(1e9) == []
    assert link.arrival(UP, 7.5, 1000) == 7.5
    assert link.state is LinkState.PASSING


def digest() -> str:
    """Everything one model does, as a hash. Also run in a subprocess."""
    model = make(
        FaultRules(
            cut_every=40, freeze_every=7, freeze_for=2, jitter=0.5, refuse_every=9, refuse_for=2, hang_chance=0.1
        ),
        seed=42,
    )
    seen: list[object] = [model.dial(float(t)) for t in range(200)]
    for number in range(20):
        link = model.link(number * 1.5)
        seen.append([link.arrival(d, number * 1.5 + t, 10) for t in range(50) for d in Direction])
        seen.append(whole_life(link))
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def test_same_seed_same_plan() -> None:
    assert digest() == digest()


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_same_seed_same_plan_whatever_the_hash_seed(hash_seed: str) -> None:
    call = (
        f"import importlib.util as u; s = u.spec_from_file_location('m', {__file__!r});"
        "m = u.module_from_spec(s); s.loader.exec_module(m); print(m.digest())"
    )
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", call], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert done.stdout.strip() == digest(), done.stderr


@given(rules, seeds)
def test_same_seed_same_plan_whatever_the_traffic(given_rules: FaultRules, seed: int) -> None:
    busy, idle = make(given_rules, seed), make(given_rules, seed)
    for opened in (0.0, 3.0, 50.0):
        one, other = busy.link(opened), idle.link(opened)
        for step in range(20):
            one.arrival(UP, opened + step, 100)
            busy.dial(opened + step)
        assert whole_life(one) == whole_life(other)


def test_another_seed_is_another_plan() -> None:
    given_rules = FaultRules(cut_every=10)
    assert {make(given_rules, seed).link(0).next_event() for seed in range(50)} != {
        make(given_rules, 0).link(0).next_event()
    }


@given(rules, seeds, chunks, seconds(0, 50))
def test_arrivals_keep_order(
    given_rules: FaultRules, seed: int, sent: list[tuple[float, Direction, int]], opened: float
) -> None:
    link = make(given_rules, seed).link(opened)
    last = dict.fromkeys(Direction, opened)
    lost = dict.fromkeys(Direction, False)
    for now, direction, size in sent:
        if now < opened:
            continue
        out = link.arrival(direction, now, size)
        if out is None:
            lost[direction] = True
            continue
        assert out >= now
        assert out >= last[direction]
        assert not lost[direction], "a chunk came out although one before it was lost"
        last[direction] = out


@given(rules, seeds, seconds(0, 100), seconds(0, 100))
def test_nothing_after_kind(given_rules: FaultRules, seed: int, opened: float, later: float) -> None:
    kind = given_rules.kind_after
    if kind is None:
        return
    model = make(given_rules, seed)
    assert model.dial(kind + later) is DialVerdict.ACCEPT
    link = model.link(opened)
    events = whole_life(link, math.inf)
    assert all(e.at < kind or (e.at == kind and e.what is LinkEventKind.THAW) for e in events)
    assert link.next_event() is None
    if link.state is not LinkState.CUT:
        assert link.state is LinkState.PASSING
        now = max(kind, opened) + later
        out = link.arrival(UP, now, 1)
        assert out is not None
        assert out <= now + given_rules.latency + given_rules.jitter + 1.0


@given(rules, seeds, seconds(0, 100))
def test_no_event_before_its_link(given_rules: FaultRules, seed: int, opened: float) -> None:
    link = make(given_rules, seed).link(opened)
    assert link.advance(opened) == []
    assert all(e.at > opened for e in whole_life(link))


@given(rules, seeds)
def test_events_alternate(given_rules: FaultRules, seed: int) -> None:
    link = make(given_rules, seed).link(0.0)
    frozen: set[Direction] = set()
    cut = False
    last = 0.0
    for event in whole_life(link):
        assert not cut
        assert event.at >= last
        last = event.at
        if event.what is LinkEventKind.CUT:
            cut = True
            assert event.direction is None
            continue
        assert event.direction is not None
        assert (event.direction in frozen) is (event.what is LinkEventKind.THAW)
        frozen ^= {event.direction}
        assert given_rules.freeze_direction in {None, event.direction}
    for direction in Direction:
        assert link.frozen(direction) is (direction in frozen and not cut)


@given(rules, seeds, chunks)
def test_arrival_agrees_with_events(
    given_rules: FaultRules, seed: int, sent: list[tuple[float, Direction, int]]
) -> None:
    model, twin = make(given_rules, seed), make(given_rules, seed)
    link = model.link(0.0)
    outs = [(direction, link.arrival(direction, now, size)) for now, direction, size in sent]
    horizon = max([END, *(out for _, out in outs if out is not None)])
    events = whole_life(twin.link(0.0), horizon)
    cut = next((e for e in events if e.what is LinkEventKind.CUT), None)
    for direction, out in outs:
        if out is None:
            continue
        if cut is not None and cut.loses_data:
            assert out < cut.at
        if cut is None or out < cut.at:
            assert not frozen_at(events, direction, out)


def frozen_at(events: list[LinkEvent], direction: Direction, when: float) -> bool:
    frozen = False
    for event in events:
        if event.at <= when and event.direction is direction:
            frozen = event.what is LinkEventKind.FREEZE
    return frozen


@given(rules, seeds, st.lists(seconds(0, END), max_size=40))
def test_calling_pattern_is_harmless(given_rules: FaultRules, seed: int, moments: list[float]) -> None:
    often, once = make(given_rules, seed).link(0.0), make(given_rules, seed).link(0.0)
    events: list[LinkEvent] = []
    for now in moments:  # not sorted: an earlier now must change nothing
        events += often.advance(now)
    events += often.advance(END)
    assert events == once.advance(END)


# --- the meaning of single rules, in exact numbers ------------------------------------------------


def test_a_metronome_cuts_exactly() -> None:
    link = make(FaultRules(cut_every=5, spread=0)).link(2.0)
    assert link.next_event() == 7.0
    assert link.advance(6.999) == []
    assert link.advance(7.0) == [LinkEvent(7.0, LinkEventKind.CUT, None, True)]
    assert link.next_event() is None
    assert link.state is LinkState.CUT


def test_a_gap_has_its_mean_and_its_bounds() -> None:
    model = make(FaultRules(cut_every=10, spread=0.5))
    gaps = [when for _ in range(2000) if (when := model.link(0.0).next_event()) is not None]
    assert len(gaps) == 2000
    assert 5 <= min(gaps) < 5.2
    assert 14.8 < max(gaps) <= 15
    assert sum(gaps) / 2000 == pytest.approx(10, rel=0.03)


def test_a_cut_loses_what_is_in_flight() -> None:
    link = make(FaultRules(cut_every=5, spread=0, latency=1)).link(0.0)
    assert link.arrival(UP, 3.9) == 4.9
    assert link.arrival(UP, 4.0) is None
    assert link.arrival(DOWN, 4.5) is None


def test_a_gentle_cut_delivers_what_is_in_flight() -> None:
    link = make(FaultRules(cut_every=5, spread=0, latency=1, cut_loses_data=False)).link(0.0)
    assert link.arrival(UP, 4.5) == 5.5
    assert link.arrival(UP, 5.0) is None
    assert link.advance(5.0) == [LinkEvent(5.0, LinkEventKind.CUT, None, False)]


def test_a_gentle_cut_lets_out_what_a_freeze_held() -> None:
    link = make(FaultRules(freeze_every=2, freeze_for=math.inf, cut_every=5, spread=0, cut_loses_data=False)).link(0.0)
    assert link.arrival(UP, 1.0) == 1.0
    assert link.arrival(UP, 3.0) == 5.0


def test_a_freeze_holds_one_direction_until_the_thaw() -> None:
    link = make(FaultRules(freeze_every=4, freeze_for=3, freeze_direction=UP, spread=0, latency=0.5)).link(0.0)
    assert link.arrival(UP, 3.0) == 3.5
    assert link.arrival(UP, 3.5) == 7.0
    assert link.arrival(DOWN, 3.5) == 4.0
    assert link.arrival(UP, 6.0) == 7.0
    assert link.arrival(UP, 6.9) == 7.4
    assert link.advance(5.0) == [LinkEvent(4.0, LinkEventKind.FREEZE, UP)]
    assert link.frozen(UP)
    assert not link.frozen(DOWN)
    assert link.advance(7.0) == [LinkEvent(7.0, LinkEventKind.THAW, UP)]
    assert not link.frozen(UP)
    assert link.next_event() == 11.0


@pytest.mark.parametrize("loses", [True, False])
def test_half_open_for_ever(loses: bool) -> None:
    link = make(FaultRules(freeze_every=4, freeze_for=math.inf, spread=0, cut_loses_data=loses)).link(0.0)
    assert [e.what for e in link.advance(4.0)] == [LinkEventKind.FREEZE] * 2
    assert link.next_event() is None
    assert link.arrival(UP, 4.5) is None
    assert link.advance(1e9) == []
    assert link.frozen(DOWN)


def test_a_killing_freeze_ends_in_a_cut() -> None:
    link = make(FaultRules(freeze_every=4, freeze_for=3, freeze_kills=True, spread=0, cut_loses_data=False)).link(0)
    assert link.arrival(DOWN, 4.5) is None
    assert whole_life(link)[-1] == LinkEvent(7.0, LinkEventKind.CUT, None, True)


def test_a_chunk_may_run_into_a_later_freeze() -> None:
    link = make(FaultRules(freeze_every=4, freeze_for=3, spread=0, latency=20)).link(0.0)
    assert link.arrival(UP, 0.0) == 21.0  # frozen from 4 to 7, 11 to 14, 18 to 21
    assert link.arrival(DOWN, 5.0) == 28.0
    assert [event.at for event in link.advance(20.0)] == [4.0, 4.0, 7.0, 7.0, 11.0, 11.0, 14.0, 14.0, 18.0, 18.0]


def test_kindness_thaws_what_was_frozen_for_ever() -> None:
    link = make(FaultRules(freeze_every=4, freeze_for=math.inf, freeze_kills=True, spread=0, kind_after=9)).link(0)
    assert link.arrival(UP, 5.0) == 9.0
    assert [(e.at, e.what) for e in whole_life(link)][-1] == (9.0, LinkEventKind.THAW)


def test_bandwidth_queues_behind_itself() -> None:
    link = make(FaultRules(bandwidth=100, latency=1)).link(0.0)
    assert link.arrival(UP, 0.0, 50) == 1.5
    assert link.arrival(UP, 0.0, 100) == 2.5
    assert link.arrival(DOWN, 0.0, 100) == 2.0
    assert link.arrival(UP, 10.0, 0) == 11.0


def test_outages_refuse_dials_and_end() -> None:
    model = make(FaultRules(refuse_every=10, refuse_for=2, spread=0))
    verdicts = {t: model.dial(t) for t in (0.0, 9.9, 10.0, 11.9, 12.0, 21.9, 22.0, 23.9, 24.0, 1000.0)}
    assert [t for t, v in verdicts.items() if v is DialVerdict.REFUSE] == [10.0, 11.9, 22.0, 23.9]


@pytest.mark.parametrize(
    ("given_rules", "verdict"),
    [
        (FaultRules(refuse_chance=1), DialVerdict.REFUSE),
        (FaultRules(hang_chance=1), DialVerdict.HANG),
        (FaultRules(hang_chance=1, kind_after=0), DialVerdict.ACCEPT),
    ],
)
def test_certain_chances(given_rules: FaultRules, verdict: DialVerdict) -> None:
    model = make(given_rules)
    assert {model.dial(float(t)) for t in range(100)} == {verdict}


def test_chances_are_shares() -> None:
    model = make(FaultRules(refuse_chance=0.25, hang_chance=0.25))
    verdicts = [model.dial(0.0) for _ in range(4000)]
    assert verdicts.count(DialVerdict.REFUSE) / 4000 == pytest.approx(0.25, abs=0.03)
    assert verdicts.count(DialVerdict.HANG) / 4000 == pytest.approx(0.25, abs=0.03)


def test_the_table_of_moves_is_whole() -> None:
    assert set(LEGAL_MOVES) == set(LinkState)
    assert LEGAL_MOVES[LinkState.CUT] == frozenset()
    link = make(FaultRules(cut_every=1, spread=0)).link(0)
    link.advance(1)
    with pytest.raises(RuntimeError, match="CUT to PASSING"):
        link._go(LinkState.PASSING)


@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf])
def test_time_must_be_finite(now: float) -> None:
    model = make(FaultRules())
    link = model.link(0)
    calls: list[Callable[[float], object]] = [
        model.dial, model.link, link.advance, lambda t: link.transit(UP, t), lambda t: link.arrival(UP, t),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match="now must be"):
            call(now)


def test_wrong_arguments_name_themselves() -> None:
    with pytest.raises(TypeError, match="rules"):
        FaultModel({}, random.Random(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="rng"):
        FaultModel(FaultRules(), 1)  # type: ignore[arg-type]


def test_the_model_is_pure() -> None:
    call = (
        "import sys, heartline; before = set(sys.modules); import heartline.faults.model as m;"
        "assert not {'asyncio', 'socket', 'time', 'heartline.faults.proxy'} & (set(sys.modules) - before),"
        "sorted(set(sys.modules) - before)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", call], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
