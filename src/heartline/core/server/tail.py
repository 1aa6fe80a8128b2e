"""The live end of one channel in this process, and fan-out as log tailing (PROTOCOL 4; design: the hot path).

Entries of one turn are collected; at its end each follower that stands where the tail began gets the same batch, so
a publication is encoded once, framed once and joined once however many follow.

Invariants:
- a follower is live only where it has everything before the tail (test_live_followers_have_everything_before);
- a follower without credit is passed over and reads from the log later (test_slow_follower_is_passed_over);
- a log that began anew is noticed with its first entry (test_live_followers_notice_a_new_epoch).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from heartline.core.ports import LogEntry, ServerCodec

from .flow import Flow

if TYPE_CHECKING:
    from .feed import Subscription
    from .link import ServerLink

TURN_BYTES: Final = 256 << 10
TOGETHER: Final = 32  # pipes: enough to pay, few enough for the processor's nearest caches

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

    Some at a time: the first follower does not wait until the last has been counted, and the kernel's code and ours do
    not push each other out of the processor's caches with each of them.
    """

    __slots__ = ()

    def tell(self, pipes: list[object], batch: Batch) -> None:
        """Write a batch to the `pipe` of each of these links, before which nothing waits; the list is the caller's."""
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

    def flush(
        self, codec: ServerCodec, now: float, outlet: Outlet | None = None, hold: "dict[ServerLink, None] | None" = None
    ) -> None:
        """Give every live follower what it has not seen; the others will read it from the log.

        With `outlet`, all links but those in `hold` are written to at once; without, none.
        """
        fresh = self.fresh
        self.fresh = []
        self.fresh_bytes = 0
        self.flushed = fresh[-1].offset
        epoch, prev = self.epoch, fresh[0].prev
        batches: dict[int, Batch | None] = {}
        batch: Batch | None = None
        at = -1  # where those stand who get `batch`
        pipes: list[object] = []  # of those who are told it at once
        for subscription in list(self.followers):
            if subscription.flow is not _LIVE:
                continue
            if subscription.epoch is not epoch and subscription.epoch != epoch and epoch:
                subscription.fall_behind()
                continue
            sent = subscription.sent
            if sent != at:
                _tell(outlet, pipes, batch)
                at = sent
                if sent in batches:
                    batch = batches[sent]
                else:
                    batch = batches[sent] = self._batch(codec, subscription.wire_name, fresh, sent)
            if batch is None or not subscription.take(batch, prev, now):
                continue
            link = subscription.feed.link
            if outlet is None or link.has_more_to_say(hold):
                link.say_batch(batch)
                continue
            pipes.append(link.pipe)
            if len(pipes) == TOGETHER:
                _tell(outlet, pipes, batch)
        _tell(outlet, pipes, batch)

    @staticmethod
    def _batch(codec: ServerCodec, name: str, fresh: list[LogEntry], sent: int) -> Batch | None:
        entries = fresh if fresh[0].offset > sent else [e for e in fresh if e.offset > sent]
        return encode_entries(codec, name, entries) if entries else None


def _tell(outlet: Outlet | None, pipes: list[object], batch: Batch | None) -> None:
    if outlet is not None and batch is not None and pipes:
        outlet.tell(pipes, batch)
        pipes.clear()
