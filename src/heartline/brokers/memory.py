"""Channels and session records in this process's memory: the broker that does not survive a restart.

Invariants: those of `heartline.core.ports.Broker`, checked by `heartline.testing.contracts`; history never exceeds
its limits in entries, bytes or age (test_history_limits); a key is remembered with its epoch, so a channel that was
dropped takes the same key again (test_keys_belong_to_an_epoch); two inboxes have different epochs, of at most 64
characters (test_epochs_of_inboxes); appending costs the same however long the history is
(test_trimming_is_amortised).
"""

import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from heartline.core.errors import BrokerError
from heartline.core.ports import History, Key, LogEntry, OnEntry, OnRelease, SessionRecord, Slice

ENTRY_OVERHEAD = 160
REMEMBERED_KEYS = 10_000
LONGEST_EPOCH = 64


class _Log:
    """One channel: entries from `start` on are kept."""

    __slots__ = ("bytes", "entries", "history", "start")

    def __init__(self, history: History) -> None:
        self.history = history
        self.entries: list[LogEntry] = []
        self.start = 0
        self.bytes = 0

    @property
    def trimmed(self) -> int:
        return self.entries[self.start].prev if self.start < len(self.entries) else self.head

    @property
    def head(self) -> int:
        return self.entries[-1].offset if self.entries else 0

    def add(self, entry: LogEntry) -> None:
        self.entries.append(entry)
        self.bytes += len(entry.data) + ENTRY_OVERHEAD

    def trim(self, oldest: float) -> None:
        """Let go of what history does not hold; the last entry stays as the head's witness, behind `start`."""
        history, entries = self.history, self.entries
        while self.start < len(entries) and (
            len(entries) - self.start > history.entries
            or self.bytes > history.bytes
            or (history.age is not None and entries[self.start].at < oldest)
        ):
            self.bytes -= len(entries[self.start].data) + ENTRY_OVERHEAD
            self.start += 1
        if self.start > 64 and self.start * 2 > len(entries):
            keep = min(self.start, len(entries) - 1)
            del entries[:keep]
            self.start -= keep


class MemoryBroker:
    """A broker in memory. `durable` only says how it is treated: a simulator keeps it while nodes come and go.

    `step` chooses how far the next offset is from the last (brokers may leave holes); `clock` gives seconds since
    1970; `epoch` names this incarnation.
    """

    trouble = ""

    def __init__(
        self,
        *,
        epoch: str | None = None,
        durable: bool = False,
        step: Callable[[], int] = lambda: 1,
        clock: Callable[[], float] = time.time,
        most_channels: int = 1_000_000,
    ) -> None:
        self.durable = durable
        self._epoch = epoch if epoch is not None else f"{time.time_ns():x}"
        self._step = step
        self._clock = clock
        self._most_channels = most_channels
        self._logs: dict[str, _Log] = {}
        self._dropped: dict[str, int] = {}
        self._drops = 0
        self._keys: OrderedDict[tuple[str, Key], LogEntry] = OrderedDict()
        self._records: dict[str, SessionRecord] = {}
        self._followed: set[str] = set()
        self._nodes: dict[str, tuple[OnEntry, OnRelease]] = {}
        self._node = ""

    def start(self, node: str, on_entry: OnEntry, on_release: OnRelease) -> None:
        """Begin for one node; a node that starts again has lost its followers."""
        self._nodes = {node: (on_entry, on_release)}
        self._followed = set()
        self._node = node

    def stop(self) -> None:
        """End; there is nothing to write."""
        self._nodes = {}

    def append(
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> tuple[str, LogEntry]:
        """Add an entry and announce it."""
        epoch = self._epoch_of(channel)
        if key is not None:
            known = self._keys.get((channel, key))
            if known is not None and known.epoch == epoch:
                return epoch, known
        log = self._logs.get(channel)
        if log is None:
            if len(self._logs) >= self._most_channels:
                raise BrokerError(f"more than {self._most_channels} channels")
            log = self._logs[channel] = _Log(history)
        else:
            log.history = history
        head = log.head
        now = self._clock()
        entry = LogEntry(head + self._step(), head, event, data, now, epoch)
        log.add(entry)
        log.trim(now - history.age if history.age is not None else 0.0)
        if key is not None:
            self._keys[(channel, key)] = entry
            if len(self._keys) > REMEMBERED_KEYS:
                self._keys.popitem(last=False)
        if channel in self._followed:
            for on_entry, _ in list(self._nodes.values()):
                on_entry(channel, entry)
        return epoch, entry

    def follow(self, channel: str) -> None:
        """Announce entries of the channel."""
        self._followed.add(channel)

    def unfollow(self, channel: str) -> None:
        """Announce them no longer."""
        self._followed.discard(channel)

    def head(self, channel: str) -> tuple[str, int]:
        """Epoch and last offset."""
        log = self._logs.get(channel)
        return self._epoch_of(channel), log.head if log is not None else 0

    def read(self, channel: str, after: int, limit: int, max_bytes: int) -> Slice:
        """A piece of the log behind `after`."""
        log = self._logs.get(channel)
        epoch = self._epoch_of(channel)
        if log is None:
            return Slice(epoch, (), 0, 0)
        if log.history.age is not None:
            log.trim(self._clock() - log.history.age)
        entries = log.entries
        begin = bisect_right(entries, after, lo=log.start, key=lambda e: e.offset)
        piece: list[LogEntry] = []
        size = 0
        for entry in entries[begin : begin + limit]:
            size += len(entry.data)
            if piece and size > max_bytes:
                break
            piece.append(entry)
        return Slice(epoch, piece, log.trimmed, log.head, log.history.entries > 0)

    def drop(self, channel: str) -> None:
        """Forget a channel. An inbox is named after its session, which never comes again: nothing is kept of it."""
        if self._logs.pop(channel, None) is not None and not _is_inbox(channel):
            self._drops += 1
            self._dropped[channel] = self._drops

    def load(self, session: str) -> SessionRecord | None:
        """A session's record."""
        return self._records.get(session)

    def swap(self, record: SessionRecord, expected: int | None) -> bool:
        """Compare-and-set by generation."""
        stored = self._records.get(record.session)
        if (stored.generation if stored is not None else None) != expected:
            return False
        self._records[record.session] = record
        return True

    def forget(self, session: str, generation: int | None = None) -> bool:
        """Delete a record."""
        stored = self._records.get(session)
        if stored is None or generation not in (None, stored.generation):
            return False
        del self._records[session]
        return True

    def release(self, session: str, owner: str) -> bool:
        """Other owners of this memory are gone: it lives in one process."""
        del session
        return owner != self._node

    def _epoch_of(self, channel: str) -> str:
        if _is_inbox(channel):
            epoch = f"{self._epoch}.{channel[1:]}"
            return epoch if len(epoch) <= LONGEST_EPOCH else blake2b(epoch.encode(), digest_size=16).hexdigest()
        drops = self._dropped.get(channel)
        return self._epoch if drops is None else f"{self._epoch}.{drops}"


def _is_inbox(channel: str) -> bool:
    return channel.startswith("@") and "/" not in channel
