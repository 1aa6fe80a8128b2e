"""What a bad network does to links: one seeded plan, for virtual time and for real sockets alike.

Pure: no clock, no socket, no asyncio. Time enters as ``now``, in seconds since the model began; randomness enters
once, as a `random.Random`. The simulator asks `LinkFaults.arrival` when a chunk comes out; the TCP proxy moves real
bytes after `LinkFaults.transit` and applies the events of `LinkFaults.advance` itself. Both see the same plan.

Invariants, each with a test of that name in ``tests/faults/test_model.py``:

- same_seed_same_plan: the same seed and rules give the same dials and the same plan for the n-th link, in every
  process (whatever PYTHONHASHSEED is) and whatever traffic the links carried meanwhile.
- arrivals_keep_order: within one direction of a link nothing overtakes; nothing arrives before it entered.
- nothing_after_kind: from ``kind_after`` on no dial fails, no link is cut or frozen, and what was frozen thaws.
- no_event_before_its_link: every event of a link lies after the moment the link was opened.
- events_alternate: FREEZE and THAW of a direction take turns, and nothing follows a CUT.
- arrival_agrees_with_events: nothing comes out of a frozen direction, and nothing outlives a cut that loses data.
- calling_pattern_is_harmless: how often `advance` is called changes the batches, never the events.
"""

import math
import random
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from heartline.faults.rules import LEAST_GAP, Direction, FaultRules

__all__ = [
    "LEGAL_MOVES",
    "DialVerdict",
    "Direction",
    "FaultModel",
    "FaultRules",
    "LinkEvent",
    "LinkEventKind",
    "LinkFaults",
    "LinkState",
]


class DialVerdict(Enum):
    """What becomes of one attempt to connect. HANG: the dialler hears nothing, neither yes nor no."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    HANG = "hang"


class LinkState(Enum):
    """Where a link stands. FROZEN: at least one direction is a black hole."""

    PASSING = "passing"
    FROZEN = "frozen"
    CUT = "cut"


LEGAL_MOVES: Final[dict[LinkState, frozenset[LinkState]]] = {
    LinkState.PASSING: frozenset({LinkState.FROZEN, LinkState.CUT}),
    LinkState.FROZEN: frozenset({LinkState.PASSING, LinkState.CUT}),
    LinkState.CUT: frozenset(),
}


class LinkEventKind(Enum):
    """What happened to a link."""

    CUT = "cut"
    FREEZE = "freeze"
    THAW = "thaw"


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """Something the plan did to a link at the moment ``at`` (seconds, the model's time).

    ``direction`` is None for a CUT. ``loses_data`` counts for a CUT only: True means that both ends see a reset and
    whatever was in flight is gone; False means that what was in flight arrives, and then the end of the stream.
    """

    at: float
    what: LinkEventKind
    direction: Direction | None = None
    loses_data: bool = False


class FaultModel:
    """The network as a whole: decides about dials and hands each accepted link its own plan.

    ``rng`` is drawn from here only: three times now and once for each link. Links have generators of their own, so
    what one link carries never changes what another one suffers.
    """

    def __init__(self, rules: FaultRules, rng: random.Random) -> None:
        if not isinstance(rules, FaultRules):
            raise TypeError(f"rules must be FaultRules, not {type(rules).__name__}")
        if not isinstance(rng, random.Random):
            raise TypeError(f"rng must be a random.Random, not {type(rng).__name__}")
        self.rules = rules
        self._dials = random.Random(rng.getrandbits(64))
        self._outages = random.Random(rng.getrandbits(64))
        self._links = random.Random(rng.getrandbits(64))
        self._outage = _window(rules, self._outages, rules.refuse_every, rules.refuse_for, 0.0)

    def dial(self, now: float) -> DialVerdict:
        """Decide about one dial. After ACCEPT the caller asks for `link`. One draw for each dial, come what may."""
        _check(now)
        drawn = self._dials.random()
        rules = self.rules
        if rules.kind_after is not None and now >= rules.kind_after:
            return DialVerdict.ACCEPT
        while self._outage is not None and now >= self._outage[1]:
            self._outage = _window(rules, self._outages, rules.refuse_every, rules.refuse_for, self._outage[1])
        if self._outage is not None and now >= self._outage[0]:
            return DialVerdict.REFUSE
        if drawn < rules.refuse_chance:
            return DialVerdict.REFUSE
        if drawn < rules.refuse_chance + rules.hang_chance:
            return DialVerdict.HANG
        return DialVerdict.ACCEPT

    def link(self, now: float) -> "LinkFaults":
        """The plan of a link that opens at ``now``. The n-th call of a seed always gives the n-th plan."""
        _check(now)
        return LinkFaults(self.rules, now, random.Random(self._links.getrandbits(64)))


class LinkFaults:
    """What happens to one link, from its opening on. Made by `FaultModel.link`.

    The caller wakes at `next_event` and calls `advance`; it asks `arrival` for each chunk (simulator), or delays
    chunks by `transit` and obeys the events itself (proxy).
    """

    __slots__ = (
        "_cut",
        "_free",
        "_horizon",
        "_jitter",
        "_last",
        "_plan",
        "_rules",
        "_state",
        "_windows",
        "opened",
    )

    def __init__(self, rules: FaultRules, opened: float, rng: random.Random) -> None:
        self.opened: float = opened
        self._rules = rules
        self._state = LinkState.PASSING
        self._plan = rng
        seeds = [rng.getrandbits(64) for _ in Direction]
        self._jitter = {d: random.Random(s) for d, s in zip(Direction, seeds, strict=True) if rules.jitter}
        self._free = dict.fromkeys(Direction, opened)  # when the line has sent what it was given
        self._last = dict.fromkeys(Direction, opened)  # when the last chunk comes out
        cut = opened + _gap(rules, rng, rules.cut_every) if rules.cut_every is not None else math.inf
        self._cut = (cut if _before_kind(rules, cut) else math.inf, rules.cut_loses_data)
        self._windows: deque[tuple[float, float]] = deque()  # freezes not yet over, earliest first
        self._horizon: float | None = opened  # end of the last window drawn; None: there are no more
        self._draw_window()
        if rules.freeze_kills and self._windows:
            killed = self._windows[0][1]
            if killed < self._cut[0] and _before_kind(rules, killed):
                self._cut = (killed, True)

    @property
    def state(self) -> LinkState:
        """Where the link stood at the last `advance`."""
        return self._state

    def frozen(self, direction: Direction) -> bool:
        """Whether this direction was a black hole at the last `advance`."""
        return self._state is LinkState.FROZEN and direction in self._directions()

    def next_event(self) -> float | None:
        """When `advance` has something to tell; None: never again. Pure."""
        if self._state is LinkState.CUT:
            return None
        when = self._cut[0]
        if self._windows:
            start, end = self._windows[0]
            when = min(when, end if self._state is LinkState.FROZEN else start)
        return when if when < math.inf else None

    def advance(self, now: float) -> list[LinkEvent]:
        """Everything that happened up to and including ``now``, in order. An earlier ``now`` changes nothing."""
        _check(now)
        events: list[LinkEvent] = []
        while (when := self.next_event()) is not None and when <= now:
            if when == self._cut[0]:
                self._go(LinkState.CUT)
                events.append(LinkEvent(when, LinkEventKind.CUT, None, self._cut[1]))
            elif self._state is LinkState.FROZEN:
                self._go(LinkState.PASSING)
                self._windows.popleft()
                if not self._windows:
                    self._draw_window()
                events += [LinkEvent(when, LinkEventKind.THAW, d) for d in self._directions()]
            else:
                self._go(LinkState.FROZEN)
                events += [LinkEvent(when, LinkEventKind.FREEZE, d) for d in self._directions()]
        return events

    def transit(self, direction: Direction, now: float, size: int = 0) -> float:
        """When ``size`` bytes that enter now would come out if the link were neither cut nor frozen.

        Counts them as sent: call it, or `arrival`, once for each chunk. Never before ``now``, never before the chunk
        ahead of it.
        """
        _check(now)
        rules = self._rules
        out = max(now, self.opened)
        if rules.bandwidth is not None:
            out = self._free[direction] = max(out, self._free[direction]) + size / rules.bandwidth
        out += rules.latency
        if rules.jitter:
            out += self._jitter[direction].uniform(0.0, rules.jitter)
        out = self._last[direction] = max(out, self._last[direction])
        return out

    def arrival(self, direction: Direction, now: float, size: int = 0) -> float | None:
        """When a chunk of ``size`` bytes that enters now comes out; None: never (lost, or held for ever).

        An end of stream or a reset is a chunk of size 0. A chunk that would come out of a frozen direction waits for
        the thaw. After a cut that loses no data, chunks that entered before it still arrive, maybe later than the
        CUT event; the end of the stream comes behind the last of them.
        """
        out = self.transit(direction, now, size)
        cut, loses = self._cut
        if now >= cut:
            return None
        through = self._thawed(out) if direction in self._directions() else out
        if through < cut:
            return through
        return max(out, cut) if cut < math.inf and not loses else None

    def _thawed(self, when: float) -> float:
        """``when``, or the end of the freeze it falls into."""
        while self._horizon is not None and self._horizon <= when:
            self._draw_window()
        for start, end in self._windows:
            if start <= when < end:
                return end
        return when

    def _draw_window(self) -> None:
        """Append the next freeze to the plan. Always in order, so it does not matter who asks first."""
        rules = self._rules
        if self._horizon is None:
            return
        window = _window(rules, self._plan, rules.freeze_every, rules.freeze_for, self._horizon)
        self._horizon = window[1] if window is not None and window[1] < math.inf else None
        if window is not None:
            self._windows.append(window)

    def _directions(self) -> tuple[Direction, ...]:
        one = self._rules.freeze_direction
        return (Direction.UP, Direction.DOWN) if one is None else (one,)

    def _go(self, new: LinkState) -> None:
        if new not in LEGAL_MOVES[self._state]:
            raise RuntimeError(f"link faults: {self._state.name} to {new.name} is not a legal move")
        self._state = new


def _gap(rules: FaultRules, rng: random.Random, every: float) -> float:
    return max(LEAST_GAP, every * (1.0 + rules.spread * rng.uniform(-1.0, 1.0)))


def _window(
    rules: FaultRules, rng: random.Random, every: float | None, lasting: float, after: float
) -> tuple[float, float] | None:
    """The next (start, end) of something periodic, shortened by kindness; None when there is none."""
    if every is None:
        return None
    start = after + _gap(rules, rng, every)
    if not _before_kind(rules, start):
        return None
    end = start + lasting
    return start, end if rules.kind_after is None else min(end, rules.kind_after)


def _before_kind(rules: FaultRules, when: float) -> bool:
    return rules.kind_after is None or when < rules.kind_after


def _check(now: float) -> None:
    if not -math.inf < now < math.inf:
        raise ValueError(f"now must be a finite number of seconds, not {now!r}")
