"""How far a client has received and handled each channel (PROTOCOL 4).

Two positions a channel: *received*, behind which an entry is a repeat and is dropped, and *handled*, from which the
channel goes on after the next link. What lies between is *pending* in the application's hands; credit bounds it.

Invariants:
- an entry is handed over once and in order, or a Gap comes before anything newer (test_once_in_order_or_gap);
- a cursor moves only by handling, by a gap or by the first answer (test_resume_begins_at_the_handled_entry);
- offsets are compared, never counted (test_holes_in_offsets_are_no_loss);
- an answer in another epoch is followed by a gap or by nothing (test_a_new_epoch_without_a_gap_is_refused);
- what a reader before this one handed over never moves this one's cursor (test_strangers_move_no_cursor).
"""

from collections import deque
from enum import Enum
from typing import Final

from .effects import Entry, Lost
from .errors import BadFrame
from .frames import Cursor, GapBody, Msg, Start


class Follow(Enum):
    """Where a subscription stands on this link."""

    OFFLINE = "offline"
    ASKED = "asked"
    GRANTED = "granted"
    """answered, and nothing has come since"""
    LIVE = "live"


class Take(Enum):
    """What became of an entry."""

    HAND_OVER = "hand over"
    DROP = "drop"
    HOLE = "hole"


# Naming a member of an enum costs as much as a call on Python 3.11.
_GRANTED: Final = Follow.GRANTED
_LIVE: Final = Follow.LIVE
_HAND_OVER: Final = Take.HAND_OVER
GONE = "-"
"""An epoch no log has: a server that is asked to go on in it answers with a gap."""


class Reader:
    """One channel as this client reads it.

    `pending` holds (offset, bytes) of what the application has and has not handled, gaps with 0 bytes.
    """

    __slots__ = (
        "_before", "_earlier", "_fresh_bytes", "_granted_epoch", "channel", "epoch", "follow", "handled",
        "handled_epoch", "pending", "r", "received", "since_told", "since_told_bytes", "swamped", "told",
    )  # fmt: skip

    def __init__(self, channel: str, epoch: str | None = None, offset: int | None = None) -> None:
        self.channel: str = channel
        self.epoch = epoch if offset is not None else None
        self.handled_epoch = self.epoch
        self.handled: int | None = offset
        self.received: int | None = offset
        self.told: int = offset or 0
        self.r: int = 0
        self.follow: Follow = Follow.OFFLINE
        self.pending: deque[tuple[int, int]] = deque()
        self._fresh_bytes = 0
        self.since_told: int = 0
        self.since_told_bytes: int = 0
        self.swamped: bool = False
        self._granted_epoch = self.epoch
        self._before = 0
        self._earlier = 0

    # towards the server

    def ask(self, r: int) -> Cursor | Start:
        """The request that (re)starts this channel on the present link."""
        self.r = r
        self.follow = Follow.ASKED
        self.since_told = self.since_told_bytes = 0
        self._count_anew()
        if self.handled is None:
            return Start(r, self.channel)
        self.told = self.handled if self.handled_epoch == self.epoch else 0
        return Cursor(r, self.channel, (self.handled_epoch, self.handled))

    def granted(self, epoch: str, offset: int) -> bool:
        """The server follows it; True where we had no cursor, so that this is it."""
        first = self.handled is None or self.epoch is None
        self.follow = Follow.GRANTED
        self._granted_epoch = epoch
        if self.epoch is None:
            self.epoch = self.handled_epoch = epoch
        if self.handled is None or self.received is None:
            self.handled = self.received = self.told = offset
        return first

    def tell(self) -> int | None:
        """The offset to tell the server in `at`, None when it knows."""
        if not self.untold:
            return None
        self.told = self.handled or 0
        self.since_told = self.since_told_bytes = 0
        return self.told

    def said_again(self, offset: int) -> bool:
        """The server says again what was handled, so it waits for an `at` that came too early; whether to repeat it."""
        if self.handled is None or offset > self.handled or self.handled_epoch != self.epoch:
            return False
        self.told = min(self.told, offset - 1)
        return self.untold

    @property
    def untold(self) -> bool:
        """Whether more was handled, in the epoch the server reads, than it has heard of."""
        if not self.handled or self.handled == self.told:
            return False
        return self.handled_epoch == self.epoch == self._granted_epoch

    @property
    def followed(self) -> bool:
        """Whether the server follows the channel for us."""
        return self.follow is _LIVE or self.follow is _GRANTED

    # from the server

    def take(self, msg: Msg) -> Take:
        """Judge one entry; on HAND_OVER it is received and pending. Raises BadFrame."""
        received, offset, prev = self.received, msg.offset, msg.prev
        if self.follow is not _LIVE:
            if self.follow is not _GRANTED:
                return Take.DROP
            if self._granted_epoch != self.epoch:
                raise BadFrame("msg: another epoch, and no gap before it")
        if received is None or offset <= received:
            return Take.DROP
        if received < (offset - 1 if prev is None else prev):
            if self.follow is _GRANTED:
                raise BadFrame("msg: prev is beyond the position that ok told")
            return Take.HOLE
        self.follow = _LIVE
        self.received = offset
        size = len(msg.data)
        self.pending.append((offset, size))
        self._fresh_bytes += size
        return _HAND_OVER

    def entry(self, msg: Msg) -> Entry:
        """The entry as the application sees it."""
        return Entry(self.channel, self.epoch or "", msg.offset, msg.event, msg.data)

    def gap(self, gap: GapBody) -> Lost | None:
        """Move beyond a gap; None when we had received all of it."""
        self.follow = Follow.LIVE
        if gap.epoch != self.epoch:
            return self.restart(gap.epoch, gap.after, gap.to, gap.reason)
        after = self.received or 0
        if gap.to <= after:
            return None
        return self._lose(after, gap.to, gap.reason)

    def restart(self, epoch: str, after: int, to: int, reason: str) -> Lost:
        """Another log has taken this one's place: go on behind `to`, whatever had been received.

        Where it bears the same epoch (the inbox of another session may), the cursor is put where no log is.
        """
        if epoch == self.handled_epoch:
            self.handled_epoch = GONE
        self._earlier += len(self.pending)
        self.pending.clear()
        self._before = 0
        self.told = 0
        self.epoch = self._granted_epoch = epoch
        return self._lose(after, to, reason)

    # towards the application

    def handle(self, epoch: str, offset: int, size: int) -> bool:
        """The application is done with everything up to an item; whether the cursor moved."""
        mine = epoch == self.epoch and self.received is not None and offset <= self.received
        if mine:
            self._release(offset)
            self.since_told_bytes += size
        else:
            self._earlier = max(0, self._earlier - 1)
            if epoch == self.epoch or epoch != self.handled_epoch:
                return False
        if epoch == self.handled_epoch and offset <= (self.handled or 0):
            return False
        self.handled_epoch = epoch
        self.handled = offset
        return True

    def overrun(self, credit: int, credit_bytes: int) -> bool:
        """Whether more came since the last answer or gap than the server may have sent.

        Twice the credit, because an `at` that crosses a change of epoch grants it again. What was pending before
        does not count, for it may be trimmed and never sent again; `is_swamped` is its end.
        """
        fresh = len(self.pending) - self._before
        return fresh > 2 * credit or (fresh > 1 and self._fresh_bytes > 2 * credit_bytes)

    def is_swamped(self, credit: int) -> bool:
        """Whether so much waits for the application, over many links, that nothing more is taken."""
        if len(self.pending) + self._earlier >= 4 * credit + 16:
            self.swamped = True
        return self.swamped

    def has_room_again(self, credit: int) -> bool:
        """Whether the application has caught up so far that what was not taken can be asked for again."""
        if not self.swamped or len(self.pending) + self._earlier > credit:
            return False
        self.swamped = False
        return True

    def _lose(self, after: int, to: int, reason: str) -> Lost:
        self.received = to
        self.pending.append((to, 0))
        self._count_anew()
        return Lost(self.channel, self.epoch or "", after, to, reason)

    def _count_anew(self) -> None:
        self._before = len(self.pending)
        self._fresh_bytes = 0

    def _release(self, offset: int) -> None:
        pending = self.pending
        while pending and pending[0][0] <= offset:
            size = pending.popleft()[1]
            self._earlier = 0
            if self._before:
                self._before -= 1
            else:
                self._fresh_bytes -= size
            if size:
                self.since_told += 1
