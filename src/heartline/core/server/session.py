"""A session on the server: what was accepted, what runs, what was answered (PROTOCOL 3).

Invariants:
- each number starts at most once while this memory lasts, in rising order (test_each_number_starts_once);
- a repeat starts nothing: it attaches to what runs or is answered from the record (test_repeats_start_nothing);
- an ack never covers a number that has not ended (test_ack_covers_only_what_has_ended);
- answers are kept until the floor passes them; beyond the byte limit a reply may go and is named `reply_lost`
  (test_answers_are_kept_until_the_floor);
- a durable session says nothing that is not written yet (test_nothing_said_before_it_is_saved);
- a fenced session does nothing more (test_old_link_is_fenced).
"""

import math
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw

from heartline.core.errors import BadFrame
from heartline.core.outbox import SPAN, Kind
from heartline.core.policy import ServerLimits
from heartline.core.ports import SessionRecord, Started

from .bounds import SLIP, Bounds, bounds_of
from .results import Results

if TYPE_CHECKING:
    from .link import ServerLink

REPLY_LOST: Final = b'{"code":"reply_lost","message":"it was handled; the reply is no longer kept","handled":true}'
UNKNOWN: Final = b'{"code":"unknown","message":"the server stopped while this was running"}'


class Lane(IntEnum):
    """Which messages of a session overlap. Starts are in order all the same."""

    FREE = 0
    """with all others"""
    ALONE = 1
    """with FREE ones only"""
    TOGETHER = 2
    """with FREE ones and others of its kind: publications, whose order the broker keeps"""


# Naming a member of an enum costs as much as a call on Python 3.11.
_FREE: Final = Lane.FREE
_TOGETHER: Final = Lane.TOGETHER


class Pending:
    """A message that was accepted and has not ended. `id` is stable over retries: the idempotency key."""

    __slots__ = ("data", "event", "kind", "lane", "n", "recorded", "running", "session", "target")

    def __init__(
        self, session: "Session", n: int, kind: Kind, event: str, data: Raw | bytes, target: str, lane: Lane
    ) -> None:
        self.session: Session = session
        self.n: int = n
        self.kind: Kind = kind
        self.event: str = event
        self.data: Raw | bytes = data
        """JSON text; a Raw refers to the frame it came in"""
        self.target: str = target
        self.lane: Lane = lane
        self.running: bool = False
        self.recorded: bool = False

    @property
    def id(self) -> str:
        """Stable over links, retries and, with a durable broker, restarts."""
        return f"{self.session.id}/{self.n}"


class Session:
    """One session. The node owns it; `link` is today's link, or None while it is detached."""

    __slots__ = (
        "__weakref__",
        "acked",
        "anonymous",
        "bounds",
        "detached_at",
        "durable",
        "ended",
        "expires_at",
        "fenced",
        "floor",
        "generation",
        "held",
        "id",
        "identity",
        "inbox",
        "instance",
        "key",
        "lane",
        "lane_running",
        "link",
        "paid_until",
        "pending",
        "pending_bytes",
        "queue",
        "ready",
        "received",
        "results",
        "resumable",
        "revision",
        "saved_revision",
        "unacked",
        "unsaved",
        "user",
        "view",
        "writing",
    )  # fmt: skip

    def __init__(
        self,
        session_id: str,
        key: str,
        identity: str,
        instance: str,
        limits: ServerLimits,
        unsaved: "dict[str, Session] | None" = None,
    ) -> None:
        # What every message looks at comes first, side by side in memory.
        self.bounds: Bounds = bounds_of(limits)
        self.floor: int = 1
        self.received: int = 0
        self.pending: list[Pending] = []
        """what has not ended, in rising order: at most SPAN, so lists will do here, and lie closer than dicts"""
        self.pending_bytes: int = 0
        self.results: Results = Results()
        self.ended: dict[int, None] = {}  # in place of a set, which weighs 216 bytes when empty
        self.paid_until: float = -math.inf
        self.lane: Lane = _FREE
        """what runs that others have to wait for, FREE when nothing does"""
        self.lane_running: int = 0
        self.fenced: bool = False
        self.durable: bool = unsaved is not None
        self.link: ServerLink | None = None
        self.view: Any = None  # the shell's own
        self.queue: list[Pending] = []  # a deque weighs 760 bytes also when empty
        self.unacked: int = 0
        self.acked: int = 0
        self.ready: bool = False
        self.id: str = session_id
        self.key: str = key
        self.identity: str = identity
        self.instance: str = instance
        self.unsaved: dict[str, Session] | None = unsaved
        self.user: object = None
        self.anonymous: bool = False
        self.resumable: bool = True
        """whether its client can come back to it; else it ends with its link"""
        self.generation: int = 1
        self.detached_at: float = 0.0
        self.expires_at: float | None = None
        self.inbox: tuple[str, int] = ("", 0)
        self.writing: int = 0
        self.revision: int = 0
        self.saved_revision: int = 0
        self.held: list[tuple[int, bytes, int]] | None = None

    # accepting

    @property
    def done(self) -> int:
        """Everything accepted up to here has ended."""
        return self.pending[0].n - 1 if self.pending else self.received

    def accept(
        self, n: int, kind: Kind, event: str, data: Raw | bytes, target: str, lane: Lane, now: float | None = None
    ) -> Pending | None:
        """Take one numbered frame; the message when it is new. Raises BadFrame (PROTOCOL 3.1, 3.2, 3.4).

        With a time it starts, if its rate allows that (`running`): the caller knows that nothing stands before it.
        """
        if not self.floor <= n < self.floor + SPAN:
            raise BadFrame(f"number {n} is outside [{self.floor}, {self.floor + SPAN})")
        if n <= self.received or self.results.get(n) is not None or (self.ended and n in self.ended):
            self._repeated(n, kind)
            return None
        if self.pending_bytes + len(data) > self.bounds.window_bytes:
            raise BadFrame("more bytes in flight than the window allows")
        self.pending_bytes += len(data)
        self.received = n
        message = Pending(self, n, kind, event, data, target, lane)
        self.pending.append(message)
        bounds = self.bounds
        if now is not None and self.paid_until <= now + bounds.ahead:
            self.paid_until = (max(now, self.paid_until)) + bounds.pace
            message.running = True
            if lane:
                self.lane, self.lane_running = lane, 1
        else:
            self.queue.append(message)
        return message

    def settled(self, floor: int) -> None:
        """The client needs nothing below `floor` any more."""
        if floor < self.floor:
            raise BadFrame(f"the floor fell from {self.floor} to {floor}")
        self.floor = floor
        self.results.drop_below(floor)
        if self.ended:
            self.ended = {n: None for n in self.ended if n >= floor}
        self.changed()

    # starting and ending

    def next_start(self, now: float) -> Pending | None:
        """The message to start now, None when none may."""
        queue = self.queue
        if not queue or self.fenced:
            return None
        message = queue[0]
        lane = message.lane
        if lane and self.is_blocked:
            return None
        if self.paid_until > now + self.bounds.ahead:
            return None
        self.paid_until = max(self.paid_until, now) + self.bounds.pace
        queue.pop(0)
        message.running = True
        if lane:
            self.lane = lane
            self.lane_running += 1
        return message

    @property
    def is_blocked(self) -> bool:
        """Whether the next message has to wait until what runs has ended."""
        lane = self.queue[0].lane
        return self.lane_running > 0 and lane is not _FREE and not (lane is _TOGETHER and self.lane is _TOGETHER)

    def record_start(self, message: Pending) -> int | None:
        """Write down that `message` starts, so that a crash makes it unknown; the revision to wait for."""
        message.recorded = True
        self.changed()
        return self.revision if self.durable else None

    def finish(self, message: Pending, payload: bytes | None) -> bool:
        """A message ended: with a frame to say (reply or fail), or well and silently (None).

        False when it no longer matters to this session.
        """
        n, pending = message.n, self.pending
        at = 0 if pending and pending[0] is message else self._place(n)
        if self.fenced or at < 0:
            return False
        del pending[at]
        self.pending_bytes -= len(message.data)
        if message.lane:
            self.lane_running -= 1
        if at > 0:  # something before it still runs
            self.ended[n] = None
        elif self.ended:
            done = self.done
            self.ended = {e: None for e in self.ended if e > done}
        if self.durable:
            self.changed()
        if payload is None:
            if n > self.unacked:
                self.unacked = n
        elif n >= self.floor:
            results = self.results
            results.keep(n, payload)
            if results.size > self.bounds.results_bytes:
                self._shed(n)
            if self.durable:
                self._say(payload, n)
            elif self.link is not None:
                self.link.say(payload)
        return True

    def ack(self) -> int | None:
        """The number to acknowledge now, None when nothing new has ended."""
        if self.acked >= self.unacked:
            return None
        done = self.done
        if done <= self.acked:
            return None
        self.acked = done
        return done

    # links

    def claim(self, instance: str, floor: int) -> None:
        """A newer link takes this session over: what was to be said to the older one is said again after welcome."""
        self.generation += 1
        self.instance = instance
        self.held = None
        self.acked = 0
        self.unacked = max(self.unacked, self.done)
        if floor > self.floor:
            self.settled(floor)
        self.changed()

    @property
    def member(self) -> str:
        """The name under which presence shows this session's user."""
        return self.identity or self.id[:8]

    def answers(self) -> list[bytes]:
        """Everything to be said again after welcome, in the order of numbers; what is not saved yet comes later."""
        later = set() if self.held is None else {n for _, _, n in self.held}
        return [payload for n, payload in self.results.items() if n not in later]

    def hand_over(self) -> None:
        """Another node goes on from here: what was not started was never accepted, and its client says it again."""
        self.received = self.done
        self.pending.clear()
        self.queue.clear()
        self.changed()

    # records

    @property
    def is_saved(self) -> bool:
        """Whether its record tells all there is: nothing runs, nothing waits to be written."""
        return not (self.pending or self.writing or self.held) and self.revision == self.saved_revision

    def record(self, owner: str, now: float) -> SessionRecord:
        """What must outlive this process."""
        done = self.done
        results = dict(self.results.items())
        for n in self.ended:
            if n > done:
                results.setdefault(n, b"")
        started = [Started(m.n, m.event, m.kind.value, repeat=False) for m in self.pending if m.recorded]
        return SessionRecord(
            self.id, self.key, self.identity, self.instance, self.generation, owner, self.floor, self.received, done,
            results, started, self.inbox[0], now,
        )  # fmt: skip

    @classmethod
    def restored(cls, record: SessionRecord, limits: ServerLimits, unsaved: "dict[str, Session]") -> "Session":
        """The session another owner left behind. What it had started and not ended is unknown or comes again."""
        session = cls(record.session, record.key, record.identity, record.instance, limits, unsaved)
        session.generation = record.generation
        session.floor = record.floor
        session.received = record.done
        for n, payload in record.results.items():
            if payload:
                session.results.keep(n, payload)
            else:
                session.ended[n] = None
        for started in record.started:
            if session.results.get(started.n) is None:
                session.results.keep(started.n, b'["fail",%d,%b]' % (started.n, UNKNOWN))
        session.inbox = (record.inbox_epoch, 0)
        return session

    def saved(self, revision: int) -> None:
        """The record of this revision is written: what waited for it may be said."""
        self.saved_revision = max(self.saved_revision, revision)
        held, link = self.held, self.link
        if held is None:
            return
        ready = 0
        while ready < len(held) and held[ready][0] <= self.saved_revision:
            if link is not None:
                link.say(held[ready][1])
            ready += 1
        del held[:ready]

    def say(self, payload: bytes) -> None:
        """Say a frame that must not precede what it follows from being saved."""
        self._say(payload)

    # the inside

    def _place(self, n: int) -> int:
        """Where message n is in `pending`; -1 when it is not."""
        pending = self.pending
        low, high = 0, len(pending)
        while low < high:
            middle = (low + high) // 2
            if pending[middle].n < n:
                low = middle + 1
            else:
                high = middle
        return low if low < len(pending) and pending[low].n == n else -1

    def _say(self, payload: bytes, n: int = 0) -> None:
        if self.durable and (self.held or self.revision > self.saved_revision):
            if self.held is None:
                self.held = []
            self.held.append((self.revision, payload, n))
        elif self.link is not None:
            self.link.say(payload)

    def changed(self) -> None:
        """Something the record tells has changed."""
        if self.unsaved is not None:
            self.revision += 1
            self.unsaved[self.id] = self

    def _repeated(self, n: int, kind: Kind) -> None:
        """Let a repeat wait for what runs, or answer it from the record (PROTOCOL 3.2)."""
        if self._place(n) >= 0:
            return
        self.received = max(self.received, n)
        known = self.results.get(n)
        if known is not None:
            self._say(known)
        elif kind is Kind.CALL:
            self._say(b'["fail",%d,%b]' % (n, REPLY_LOST))
        else:
            self.unacked = max(self.unacked, n)
            self.acked = min(self.acked, n - 1)

    def _shed(self, newest: int) -> None:
        """Make room by forgetting the largest replies but the newest; a repeat is told `reply_lost`."""
        results = self.results
        for n, payload in sorted(results.items(), key=lambda kept: (-len(kept[1]), kept[0])):
            if results.size <= self.bounds.results_bytes:
                return
            lost = b'["fail",%d,%b]' % (n, REPLY_LOST)
            if len(payload) <= len(lost):
                return  # to forget so small a reply would need more room than to keep it
            if n != newest and payload.startswith(b'["reply"'):
                results.keep(n, lost)

    def next_token_at(self) -> float:
        """When the rate lets the next message start."""
        return self.paid_until - self.bounds.ahead + SLIP * self.bounds.pace
