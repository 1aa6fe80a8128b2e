"""The live end of one channel in this process, and fan-out as log tailing (PROTOCOL 4; design: the hot path).

Entries of one turn are collected; at its end each follower that stands where the tail began gets the same batch, so
a publication is encoded once, framed once and joined once however many follow.

Invariants:
- a follower is live only where it has everything before the tail (test_live_followers_have_everything_before);
- a follower without credit is passed over and reads from the log later (test_slow_follower_is_passed_over);
- a log that began anew is noticed with its first entry (test_live_followers_notice_a_new_epoch).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from heartline.core.ports import LogEntry, ServerCodec

from .flow import Flow

if TYPE_CHECKING:
    from .feed import Subscription

TURN_BYTES = 256 << 10


class Batch:
    """Frames that go to many links unchanged. `wire` is for the transport: the same frames as bytes for the socket."""

    __slots__ = ("last", "payloads", "size", "wire")

    def __init__(self, payloads: list[bytes], last: int) -> None:
        self.payloads: list[bytes] = payloads
        self.last: int = last
        self.size: int = sum(map(len, payloads))
        self.wire: bytes | None = None


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

    def flush(self, codec: ServerCodec, now: float) -> None:
        """Give every live follower what it has not seen; the others will read it from the log."""
        fresh = self.fresh
        self.fresh = []
        self.fresh_bytes = 0
        self.flushed = fresh[-1].offset
        batches: dict[int, Batch | None] = {}
        for subscription in list(self.followers):
            if subscription.flow is not Flow.LIVE:
                continue
            if subscription.epoch != self.epoch and self.epoch:
                subscription.fall_behind()
                continue
            sent = subscription.sent
            if sent in batches:
                batch = batches[sent]
            else:
                batch = batches[sent] = self._batch(codec, subscription.wire_name, fresh, sent)
            if batch is not None:
                subscription.go_live_with(batch, fresh[0].prev, now)

    @staticmethod
    def _batch(codec: ServerCodec, name: str, fresh: list[LogEntry], sent: int) -> Batch | None:
        entries = fresh if fresh[0].offset > sent else [e for e in fresh if e.offset > sent]
        return encode_entries(codec, name, entries) if entries else None
