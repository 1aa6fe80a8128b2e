"""Virtual time: what happens next, who sleeps meanwhile, and a trace of what happened.

Invariants:
- events happen in the order of time, then of scheduling (test_events_keep_their_order);
- the digest depends on the trace alone, never on hashes or addresses (test_same_seed_same_digest).
"""

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random
from typing import Protocol

TRACE_KEPT = 120
MOST_STEPS = 150_000
MOST_AT_ONCE = 20_000
EPSILON = 1e-6

Act = Callable[[], None]


class Violation(Exception):
    """An invariant does not hold. `name` is the invariant's; the message says what was seen."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message


class World:
    """The one clock and the one queue of a schedule."""

    def __init__(self) -> None:
        self.now: float = 0.0
        self.steps: int = 0
        self.trace: deque[tuple[float, str, str, tuple[object, ...]]] = deque(maxlen=TRACE_KEPT)
        self._queue: list[tuple[float, int, Act]] = []
        self._scheduled = 0
        self._at_once = 0
        self._hash = blake2b(digest_size=16)

    def at(self, when: float, act: Act) -> None:
        """Do `act` at `when`, or now if that has passed."""
        self._scheduled += 1
        heappush(self._queue, (max(when, self.now), self._scheduled, act))

    def after(self, seconds: float, act: Act) -> None:
        """Do `act` in `seconds`."""
        self.at(self.now + seconds, act)

    def step(self) -> bool:
        """Do what is next; False when nothing is."""
        if not self._queue:
            return False
        when, _, act = heappop(self._queue)
        self._at_once = self._at_once + 1 if when <= self.now else 0
        self.now = when
        self.steps += 1
        if self._at_once > MOST_AT_ONCE:
            raise Violation("progress", f"more than {MOST_AT_ONCE} events at one moment: something turns in circles")
        if self.steps > MOST_STEPS:
            raise Violation("progress", f"more than {MOST_STEPS} events: something turns in circles")
        act()
        return True

    def note(self, who: str, what: str, *details: object) -> None:
        """Write a line of the trace."""
        self.trace.append((self.now, who, what, details))
        self._hash.update(f"{self.now:.6f}|{who}|{what}|{details!r}\n".encode())

    @property
    def digest(self) -> str:
        """What everything noted so far comes to."""
        return self._hash.hexdigest()


class Machine(Protocol):
    """What an actor drives."""

    def next_deadline(self) -> float | None:
        """When it wants a tick, by the actor's own clock."""


class Naps:
    """How badly an actor keeps time, drawn for each wake-up."""

    def __init__(self, rng: Random, *, late: float = 0.0, early: float = 0.0, until: float = 0.0) -> None:
        self._rng = rng
        self._late = late
        self._early = early
        self._until = until

    def draw(self, now: float) -> tuple[float, bool, bool]:
        """(seconds too late, also too early, twice)."""
        rng = self._rng
        luck = rng.random()
        if now >= self._until:
            return 0.0005, False, False
        late = rng.uniform(0.0, 0.003)
        if luck < self._late:
            late = rng.choice((0.3, 1.5, 4.0, 20.0)) * rng.random()
        return late, luck > 1.0 - self._early, luck > 1.0 - self._early / 2


class Actor:
    """Somebody with a machine, a clock of its own, and the habit of sleeping through its alarms."""

    def __init__(self, world: World, name: str, naps: Naps) -> None:
        self.world = world
        self.name = name
        self.naps = naps
        self.skew: float = 0.0
        self.asleep_until: float = 0.0
        self.slept: float = 0.0
        """Seconds of lateness so far: what a peer may not be blamed for."""
        self.life: int = 0
        self.napping: float = 0.0
        """How much of that the alarm under way is going to be late."""
        self.stands_until: float = 0.0
        """A clock that went back stands still until then."""
        self._armed: float | None = None
        self._alarm = 0
        self._deferred: list[tuple[int, Act]] = []

    # to be filled in

    def deadline(self) -> float | None:
        """The machine's next deadline."""
        raise NotImplementedError

    def tick(self, late: float) -> None:
        """Tick the machine, `late` seconds after it was due."""
        raise NotImplementedError

    # time

    def now(self) -> float:
        """This actor's clock."""
        return self.world.now + self.skew

    def sleep(self, seconds: float) -> None:
        """Suspend: nothing happens here for a while, then everything at once."""
        until = self.world.now + seconds
        if until > self.asleep_until:
            self.slept += until - max(self.asleep_until, self.world.now)
            self.asleep_until = until
            self.world.note(self.name, "sleeps", round(seconds, 3))

    def jump(self, seconds: float) -> None:
        """Let the clock jump; a monotonic one may leap ahead or stand still, which is how it goes back."""
        self.skew += seconds
        if seconds < 0:
            self.stands_until = max(self.stands_until, self.world.now) - seconds
        self.slept += abs(seconds)
        self.world.note(self.name, "clock jumps", round(seconds, 3))
        self._armed = None
        self.arm()

    def at(self, when: float, act: Act) -> None:
        """Do `act` at `when`, unless this life is over by then; after the nap if there is one."""
        life = self.life

        def fire() -> None:
            if life == self.life:
                self.awake(act)

        self.world.at(when, fire)

    def after(self, seconds: float, act: Act) -> None:
        """Do `act` in `seconds`."""
        self.at(self.world.now + seconds, act)

    def awake(self, act: Act) -> None:
        """Do `act` now, or behind what else waits for this actor to wake up."""
        if self._deferred or self.world.now < self.asleep_until:
            if not self._deferred:
                self.world.at(self.asleep_until, self._wake_up)
            self._deferred.append((self.life, act))
        else:
            act()

    def _wake_up(self) -> None:
        if self.world.now < self.asleep_until:
            self.world.at(self.asleep_until, self._wake_up)
            return
        deferred, self._deferred = self._deferred, []
        for life, act in deferred:
            if life == self.life:
                act()

    @property
    def excuse(self) -> float:
        """Lateness so far, without what is still to come of it."""
        return self.slept - self.napping - max(0.0, self.stands_until - self.world.now)

    def arm(self) -> None:
        """See to it that the machine is ticked when it wants to be."""
        due = self.deadline()
        if due is None or (self._armed is not None and due >= self._armed - EPSILON):
            return
        self._armed = due
        self._alarm += 1
        alarm = self._alarm
        when = max(self.world.now, due - self.skew)
        late, early, twice = self.naps.draw(self.world.now)
        if early and when > self.world.now:
            self.at((self.world.now + when) / 2, self._early_tick)
        self.napping = late if late > 0.05 else 0.0
        self.slept += self.napping
        self.at(when + late, lambda: self._fire(alarm, due))
        if twice:
            self.at(when + late, self._early_tick)

    def new_life(self) -> None:
        """Forget everything that was planned."""
        self.life += 1
        self._armed = None
        self.skew = 0.0

    def _fire(self, alarm: int, due: float) -> None:
        if alarm != self._alarm:
            return
        self._armed = None
        self.napping = 0.0
        self.tick(max(0.0, self.now() - due))
        self.arm()

    def _early_tick(self) -> None:
        self.tick(0.0)
        self.arm()
