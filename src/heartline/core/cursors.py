"""How far a client has received and handled each channel (PROTOCOL 4).

Two positions a channel: *received*, behind which an entry is a repeat and is dropped, and *handled*, from which the
channel goes on after the next link. What lies between waits in the application's inbox; credit bounds it.

Invariants:
- an entry is handed over once and in order, or a Gap comes before anything newer (test_once_in_order_or_gap);
- a cursor moves only by handling, by a gap or by the first answer (test_resume_begins_at_the_handled_entry);
- offsets are compared, never counted (test_holes_in_offsets_are_no_loss).
"""

from enum import Enum

from .effects import Entry, Lost
from .frames import Cursor, GapBody, Msg


class Follow(Enum):
    """Where a subscription stands on this link."""

    OFFLINE = "offline"
    ASKED = "asked"
    LIVE = "live"


class Take(Enum):
    """What became of an entry."""

    HAND_OVER = "hand over"
    DROP = "drop"
    HOLE = "hole"


class Reader:
    """One channel as this client reads it."""

    __slots__ = (
        "channel",
        "epoch",
        "follow",
        "handled",
        "handled_epoch",
        "r",
        "received",
        "since_told",
        "since_told_bytes",
        "told",
        "unhandled",
    )

    def __init__(self, channel: str, epoch: str | None = None, offset: int | None = None) -> None:
        self.channel = channel
        self.epoch = epoch
        self.handled_epoch = epoch
        self.handled: int | None = offset
        self.received: int | None = offset
        self.told = offset or 0
        self.r = 0
        self.follow = Follow.OFFLINE
        self.unhandled = 0
        self.since_told = 0
        self.since_told_bytes = 0

    def ask(self, r: int) -> Cursor:
        """The request that (re)starts this channel on the present link."""
        self.r = r
        self.follow = Follow.ASKED
        self.since_told = self.since_told_bytes = 0
        self.told = self.handled or 0
        at = None if self.handled is None else (self.handled_epoch, self.handled)
        return Cursor(r, self.channel, at)

    def granted(self, epoch: str, offset: int) -> None:
        """The server follows it; where we had no cursor, this is it."""
        self.follow = Follow.LIVE
        if self.epoch is None:
            self.epoch = self.handled_epoch = epoch
        if self.handled is None or self.received is None:
            self.handled = self.received = self.told = offset

    def take(self, msg: Msg) -> Take:
        """Judge one entry; on HAND_OVER it is received."""
        received = self.received
        if self.follow is not Follow.LIVE or received is None or msg.offset <= received:
            return Take.DROP
        if received < (msg.offset - 1 if msg.prev is None else msg.prev):
            return Take.HOLE
        self.received = msg.offset
        self.unhandled += 1
        return Take.HAND_OVER

    def entry(self, msg: Msg) -> Entry:
        """The entry as the application sees it."""
        return Entry(self.channel, self.epoch or "", msg.offset, msg.event, msg.data)

    def gap(self, gap: GapBody) -> Lost | None:
        """Move beyond a gap; None when we had received all of it."""
        after = self.received or 0
        if gap.epoch == self.epoch:
            if gap.to <= after:
                return None
        else:
            after = gap.after
            self.told = 0
        self.epoch = gap.epoch
        self.received = gap.to
        self.unhandled += 1
        return Lost(self.channel, gap.epoch, after, gap.to, gap.reason)

    def handle(self, epoch: str, offset: int, size: int) -> bool:
        """The application is done with an item; whether the cursor moved."""
        self.unhandled = max(0, self.unhandled - 1)
        self.since_told += 1
        self.since_told_bytes += size
        if epoch == self.handled_epoch:
            if offset <= (self.handled or 0):
                return False
        elif epoch != self.epoch:
            return False
        self.handled_epoch = epoch
        self.handled = offset
        return True

    def tell(self) -> int | None:
        """The offset to tell the server in `at`, None when it knows."""
        if self.follow is not Follow.LIVE or not self.handled or self.handled == self.told:
            return None
        if self.handled_epoch != self.epoch:
            return None
        self.told = self.handled
        self.since_told = self.since_told_bytes = 0
        return self.told
