"""The live end of one channel in this process, and fan-out as log tailing (PROTOCOL 4; design: the hot path).

Entries of one turn are collected; at its end each follower that stands where the tail began gets the same batch, so
a publication is encoded once, framed once and joined once however many follow.

Invariants:
- a follower is live only where it has everything before the tail (test_live_followers_have_everything_before);
- a follower without credit is passed over and reads from the log later (test_slow_follower_is_passed_over);
- a log that began anew is noticed with its first entry (test_live_followers_notice_a_new_epoch).
"""

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Final

from heartline.core.ports import LogEntry, ServerCodec

from .flow import Flow

if TYPE_CHECKING:
    from .feed import Subscription
    from .link import ServerLink

TURN_BYTES: Final = 256 << 10

_LIVE: Final = Flow.LIVE


class Mark:
    """What credit remembers of a batch until it is handled; one for all who have it."""

    __slots__ = ("count", "last", "size")

    def __init__(self, last: int, count: int, size: int) -> None:
        self.last: int = last
        self.count: int = count
        self.size: int = size


class Batch:
    """Frames that go to many links unchanged. `wire` is for the transport: the same frames as bytes for the socket."""

    __slots__ = ("mark", "payloads", "wire")

    def __init__(self, payloads: list[bytes], last: int) -> None:
        self.payloads: list[bytes] = payloads
        self.mark: Mark = Mark(last, len(payloads), sum(map(len, payloads)))
        self.wire: bytes | None = None


class Outlet:
    """How a shell writes what goes to many: at once, instead of having it wait in `out`.

    One pass over the followers instead of two, and the first of them does not wait for the last. There is one for all
    links: with two thousand of them, each object that a delivery looks at has to come from memory.
    """

    __slots__ = ()

    def tell(self, pipe: object, batch: Batch) -> None:
        """Write a batch to the `pipe` of a link; nothing waits before it."""
        raise NotImplementedError


def encode_entries(codec: ServerCodec, channel: str, entries: Sequence[LogEntry]) -> Batch:
    """Entries of one channel as frames."""
    encode = codec.encode_msg
    return Batch([encode(channel, e.offset, e.event, e.data, e.prev) for e in entries], entries[-1].offset)


class Tail:
    """One channel's followers and the entries of the present turn."""

    __slots__ = ("channel", "epoch", "flushed", "followers", "fresh", "fresh_bytes")

    def __init__(self, channel: str) -> None:
        self.channel: str = channel
        self.followers: dict[Subscription, None] = {}
        self.fresh: list[LogEntry] = []
        self.fresh_bytes: int = 0
        self.flushed: int = 0
        self.epoch: str = ""

    def announce(self, entry: LogEntry) -> bool:
        """Take an entry the broker announced; whether the turn has enough to be flushed at once."""
        if entry.epoch != self.epoch:
            self.epoch = entry.epoch
            self.fresh.clear()
            self.fresh_bytes = self.flushed = 0
        self.fresh.append(entry)
        self.fresh_bytes += len(entry.data)
        return self.fresh_bytes >= TURN_BYTES

    def is_passed_by(self, epoch: str, offset: int) -> bool:
        """Whether entries behind (epoch, offset) have been flushed already."""
        return offset < self.flushed if epoch == self.epoch or not self.epoch else True

    def flush(self, codec: ServerCodec, now: float, hold: "Container[ServerLink] | None" = None) -> None:
        """Give every live follower what it has not seen; the others will read it from the log.

        With `hold`, all links but those in it are written to at once; without, none.
        """
        fresh = self.fresh
        self.fresh = []
        self.fresh_bytes = 0
        self.flushed = fresh[-1].offset
        epoch, prev = self.epoch, fresh[0].prev
        batches: dict[int, Batch | None] = {}
        batch: Batch | None = None
        at = -1  # where those stand who get `batch`
        for subscription in list(self.followers):
            if subscription.flow is not _LIVE:
                continue
            if subscription.epoch is not epoch and subscription.epoch != epoch and epoch:
                subscription.fall_behind()
                continue
            sent = subscription.sent
            if sent != at:
                at = sent
                if sent in batches:
                    batch = batches[sent]
                else:
                    batch = batches[sent] = self._batch(codec, subscription.wire_name, fresh, sent)
            if batch is not None:
                subscription.go_live_with(batch, prev, now, hold)

    @staticmethod
    def _batch(codec: ServerCodec, name: str, fresh: list[LogEntry], sent: int) -> Batch | None:
        entries = fresh if fresh[0].offset > sent else [e for e in fresh if e.offset > sent]
        return encode_entries(codec, name, entries) if entries else None
