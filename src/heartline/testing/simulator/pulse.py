"""The heartbeat looked at from outside: dead links found in time, and nobody buried alive (PROTOCOL 5).

What a side slept through is not held against it: its own lateness is added to its time, and one fresh probe.

Invariants, each checked under this name: `dead_links_are_found`, `no_death_in_sleep`.
"""

from typing import TYPE_CHECKING

from heartline.core.policy import Heartbeat

from .clock import Violation

if TYPE_CHECKING:
    from .client import SimClient
    from .server import SimNode

SLACK = 0.15
"""Seconds for the grain of ticks."""


class Pulse:
    """When a side last had a sign of life, and since when it is owed one that proves the way out."""

    def __init__(self, now: float, slept: float, heartbeat: Heartbeat) -> None:
        self.heard = (now, slept)
        self.proof = (now, slept)
        self.owed: tuple[float, float] | None = None
        self.heartbeat = heartbeat
        self.probed_late = False
        self.checking = False


class SideWatch:
    """The heartbeat as both sides must keep it."""

    actor: "SimClient | SimNode"
    grain = 0.0

    def __init__(self) -> None:
        self.pulses: dict[object, Pulse] = {}
        self.late: dict[object, float] = {}

    def ticking(self) -> None:
        """A tick is about to be given: note how late each heartbeat is."""
        now = self.actor.now()
        self.late = {link: now - self.due(link) for link in self.pulses}

    def due(self, link: object) -> float:
        """When the heartbeat of a link wants its tick, by the actor's clock."""
        raise NotImplementedError

    def _overslept(self, link: object, pulse: Pulse, grain: float = 0.0) -> bool:
        return self.late.get(link, 0.0) > max(1.0, pulse.heartbeat.timeout / 2) + grain

    def begin_pulse(self, link: object, heartbeat: Heartbeat) -> None:
        """A link is open here."""
        actor = self.actor
        self.pulses[link] = pulse = Pulse(actor.world.now, actor.excuse, heartbeat)
        self._check_later(link, pulse)

    def heard(self, link: object) -> None:
        """Something came in."""
        pulse = self.pulses.get(link)
        if pulse is not None:
            pulse.heard = (self.actor.world.now, self.actor.excuse)

    def proven(self, link: object) -> None:
        """Something came in that proves the way out."""
        pulse = self.pulses.get(link)
        if pulse is not None:
            pulse.proof = (self.actor.world.now, self.actor.excuse)
            pulse.probed_late = False

    def owing(self, link: object, outstanding: bool) -> None:
        """Whether the peer owes an answer."""
        pulse = self.pulses.get(link)
        if pulse is None:
            return
        if not outstanding:
            pulse.owed = None
        elif pulse.owed is None:
            pulse.owed = (self.actor.world.now, self.actor.excuse)

    def pinged(self, link: object) -> None:
        """A ping went out; if this was a late wake-up, it is the fresh probe."""
        pulse = self.pulses.get(link)
        if pulse is not None and self._overslept(link, pulse):
            pulse.probed_late = True

    def buried(self, link: object) -> None:
        """A side declares its peer dead."""
        pulse = self.pulses.get(link)
        if pulse is not None and not pulse.probed_late and self._overslept(link, pulse, self.grain):
            late = self.late[link]
            raise Violation("no_death_in_sleep", f"{self.actor.name} woke {late:.2f} s late and declared death")
        self.actor.ledger.count("dead links found")

    def _check_later(self, link: object, pulse: Pulse) -> None:
        self.actor.after(self._bound(pulse)[0] - self.actor.world.now + 0.001, lambda: self._check(link, pulse))

    def _bound(self, pulse: Pulse) -> tuple[float, str]:
        slept = self.actor.slept
        beat = pulse.heartbeat
        allowed = beat.interval + beat.timeout + self.grain + SLACK

        def until(since: tuple[float, float]) -> float:
            excused = slept - since[1]
            return since[0] + allowed + (2 * excused + beat.timeout if excused > 0 else 0.0)

        when, why = until(pulse.heard), "heard nothing"
        if pulse.owed is not None:
            owed = until(max(pulse.owed, pulse.proof))
            if owed < when:
                when, why = owed, "had no proof of the way out"
        return when, why

    def _check(self, link: object, pulse: Pulse) -> None:
        if self.pulses.get(link) is not pulse:
            return
        when, why = self._bound(pulse)
        if self.actor.world.now > when:
            raise Violation("dead_links_are_found", f"{self.actor.name} {why} for too long and keeps the link")
        self._check_later(link, pulse)
