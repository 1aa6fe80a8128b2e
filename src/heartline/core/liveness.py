"""Whether the peer is still there: the same machine on both sides (PROTOCOL 5).

Any complete frame is life. But while this side waits for something the other owes it, traffic that comes in says
nothing about the way out: then only the pong with our own t, or the progress itself, is proof. A verdict that comes
late was delayed by our own sleep, so it is put off for one fresh probe.

Invariants:
- dead within interval + timeout of the last sign (test_dead_within_interval_plus_timeout);
- traffic alone never hides a dead way out (test_traffic_is_no_proof_of_the_way_out);
- no death on a late wake-up without a fresh probe, after every sleep (test_late_wake_up_probes_first);
- hints, however many, put off no verdict (test_hints_put_off_no_verdict).
"""

import math
from enum import Enum
from typing import Final

from .policy import Heartbeat


class Pulse(Enum):
    """CALM → PROBING (a ping is out) → CALM or dead."""

    CALM = "calm"
    PROBING = "probing"


_CALM: Final = Pulse.CALM  # naming a member of an enum costs as much as a call on Python 3.11
_PROBING: Final = Pulse.PROBING
_NEVER: Final = math.inf


class Act(Enum):
    """What the owner has to do now."""

    NOTHING = "nothing"
    PING = "ping"
    DEAD = "dead"


_NOTHING: Final = Act.NOTHING
_PING: Final = Act.PING
_DEAD: Final = Act.DEAD


class Liveness:
    """One link's heartbeat. The owner tells what it hears and asks `tick` when `next_deadline` has come."""

    __slots__ = ("_awaiting_since", "_fresh", "_heartbeat", "_probed_at", "_strict", "heard_at", "pulse", "t")

    def __init__(self, heartbeat: Heartbeat, now: float) -> None:
        self._heartbeat = heartbeat
        self.heard_at: float = now
        self._awaiting_since: float = _NEVER
        self.pulse: Pulse = _CALM
        self.t: int = 0
        self._probed_at = now
        self._strict = False
        self._fresh = False

    @property
    def heartbeat(self) -> Heartbeat:
        """The agreement in force."""
        return self._heartbeat

    def agree(self, heartbeat: Heartbeat) -> None:
        """Take over what the handshake agreed."""
        self._heartbeat = heartbeat

    def heard(self, now: float) -> None:
        """Count one complete frame of any kind as life."""
        self.heard_at = now
        if self.pulse is _PROBING and not self._strict:
            if self._calm_since() + self._heartbeat.interval <= now:
                self._strict = True  # what we wait for is overdue too: the ping under way must be answered
            else:
                self.pulse = _CALM
                self._fresh = False

    def pong(self, t: object, now: float) -> None:
        """Count a pong; only one with the t of our latest ping is proof of the way out."""
        if t == self.t and self.pulse is _PROBING:
            self.progress(now)

    def progress(self, now: float) -> None:
        """Count proof that what we send arrives."""
        self.heard_at = now
        if self._awaiting_since != _NEVER:
            self._awaiting_since = now
        self.pulse = _CALM
        self._fresh = False

    def awaiting(self, outstanding: bool, now: float) -> None:
        """Tell whether the peer owes us something."""
        if not outstanding:
            self._awaiting_since = _NEVER
        elif self._awaiting_since == _NEVER:
            self._awaiting_since = now

    def probe(self, now: float) -> int:
        """Ask at once, after a hint: only the answer to this very ping counts. Returns its t.

        While such a ping is out it is only said again: neither its answer nor the verdict is put off.
        """
        if self.pulse is _PROBING and self._strict and now < self.next_deadline():
            return self.t
        return self._ping(now, strict=True)

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        if self.pulse is _PROBING:
            return self._probed_at + self._heartbeat.timeout
        return self._calm_since() + self._heartbeat.interval

    def tick(self, now: float) -> Act:
        """Judge. On PING the owner sends a ping with `t`; on DEAD it leaves the link."""
        late = now - self.next_deadline()
        if late < 0:
            return _NOTHING
        if self.pulse is _CALM:
            self._ping(now, strict=self._calm_since() < self.heard_at)
            return _PING
        if late > max(1.0, self._heartbeat.timeout / 2) and not self._fresh:
            self._fresh = True
            self._ping(now, strict=self._strict)
            return _PING
        return _DEAD

    def _calm_since(self) -> float:
        return min(self.heard_at, self._awaiting_since)

    def _ping(self, now: float, *, strict: bool) -> int:
        self.pulse = _PROBING
        self._probed_at = now
        self._strict = strict
        self.t += 1
        return self.t
