"""What the core needs from outside: codecs, brokers, records. Adapters implement these; nothing here does anything.

Invariant: the core names no adapter (import-linter, test_the_import_contract_is_kept).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from msgspec import Struct

from .frames import DownFrame, UpFrame

_T = TypeVar("_T")
MaybeAwaitable: TypeAlias = _T | Awaitable[_T]
"""A broker that has the answer at hand returns it; one that must wait returns an awaitable of it."""

Trace = Callable[[float, str, dict[str, object]], None]
"""Receives (now, what, details) for everything that matters; never secrets, never payload."""


class Chance(Protocol):
    """Where a machine's chance comes from, `random.Random` for one."""

    def uniform(self, low: float, high: float, /) -> float:
        """Any number from `low` to `high`, each as likely as the others."""
        ...


class ClientCodec(Protocol):
    """How a client spells frames."""

    def encode(self, frame: Struct, /) -> bytes:
        """One frame as the payload of one message."""
        ...

    def decode(self, data: bytes, /) -> DownFrame:
        """One message as a frame. Raises BadFrame."""
        ...


class ServerCodec(Protocol):
    """How a server spells frames."""

    def encode(self, frame: Struct, /) -> bytes:
        """One frame as the payload of one message."""
        ...

    def decode(self, data: bytes, /) -> UpFrame:
        """One message as a frame. Raises BadFrame."""
        ...

    def encode_msg(self, channel: str, offset: int, event: str, data: bytes, prev: int, /) -> bytes:
        """One entry of a channel as the payload of one message."""
        ...

    def encode_value(self, value: object, /) -> bytes:
        """Any JSON value."""
        ...

    def encode_reply(self, n: int, data: bytes, /) -> bytes:
        """One reply around JSON text."""
        ...


class LogEntry(Struct, frozen=True, gc=False):
    """One entry of a channel's log. `data` is JSON text; `prev` the offset before it.

    An announced entry names its `epoch`, or followers would not notice that a log began anew.
    """

    offset: int
    prev: int
    event: str
    data: bytes
    at: float = 0.0
    epoch: str = ""


class Slice(Struct, frozen=True):
    """A piece of a channel's log.

    `entries` begin behind the offset asked for; `trimmed` is the highest offset no longer kept (0: none), `head` the
    last offset given out. `kept` False: the channel keeps no history at all.
    """

    epoch: str
    entries: Sequence[LogEntry]
    trimmed: int
    head: int
    kept: bool = True


class History(Struct, frozen=True):
    """How much of a channel is kept: entries, seconds (None: any age), bytes. 0 entries: a head and gaps only."""

    entries: int = 1000
    age: float | None = None
    bytes: int = 16 << 20


class Started(Struct, frozen=True):
    """A message that was started and has not ended, as a record keeps it."""

    n: int
    event: str
    kind: str
    repeat: bool


class SessionRecord(Struct, frozen=True):
    """What must outlive the process for a session to be resumed (design: the session record).

    Writing one is a compare-and-set on `generation`. `results` are the encoded replies and failures above the floor.
    """

    session: str
    key: str
    identity: str
    instance: str
    generation: int
    owner: str
    floor: int
    received: int
    done: int
    results: dict[int, bytes]
    started: list[Started]
    inbox_epoch: str = ""
    seen_at: float = 0.0


Key: TypeAlias = str | tuple[str, int]
"""What makes an append idempotent: an application's own word, or (session, n) of a client's message."""

OnEntry = Callable[[str, LogEntry], None]
OnRelease = Callable[[str], MaybeAwaitable[bool]]


class Broker(Protocol):
    """Where channels and session records live. `heartline.testing.contracts` checks one.

    Order: calls about one channel take effect in the order they were made, and so do calls about one session; a
    follower that asked for the head after `follow` is told of everything behind that head. An entry is announced to
    followers after it can be read. Errors are `BrokerError`; nothing else escapes.
    """

    durable: bool
    """Whether records and entries outlive the process; acknowledgements then wait for `swap` and `append`.

    What was answered is then there after any crash; of calls that were not, the first so many of each channel and
    session are, in the order in which they were made. An epoch lasts as long as its log, over crashes and restarts.
    """

    @property
    def trouble(self) -> str:
        """Why writes fail at present, in words for a person; "" when all is well."""
        ...

    def start(self, node: str, on_entry: OnEntry, on_release: OnRelease) -> MaybeAwaitable[None]:
        """Begin; `node` is this process's name for ownership. `on_entry` gets entries of followed channels in order."""
        ...

    def stop(self) -> MaybeAwaitable[None]:
        """End; everything accepted is safe when this returns."""
        ...

    def append(
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> MaybeAwaitable[tuple[str, LogEntry]]:
        """Add an entry; (epoch, entry). The same `key` again returns the entry there is.

        A key of an application's own is remembered for a while, that of a client's message, (session, n), until the
        session's record says that n is done.
        """
        ...

    def follow(self, channel: str) -> MaybeAwaitable[None]:
        """Announce entries of `channel` from now on."""
        ...

    def unfollow(self, channel: str) -> MaybeAwaitable[None]:
        """Announce them no longer."""
        ...

    def head(self, channel: str) -> MaybeAwaitable[tuple[str, int]]:
        """(epoch, offset of the last entry); a channel never used has an epoch and the offset 0.

        Two inboxes (`@` and a session's name) have different epochs, so that ("@", epoch, offset) names one entry.
        """
        ...

    def read(self, channel: str, after: int, limit: int, max_bytes: int) -> MaybeAwaitable[Slice]:
        """Entries behind `after`, at most `limit` and about `max_bytes`, at least one if there is one."""
        ...

    def drop(self, channel: str) -> MaybeAwaitable[None]:
        """Forget a channel; its next use has a new epoch (an inbox has none: sessions do not come again)."""
        ...

    def load(self, session: str) -> MaybeAwaitable[SessionRecord | None]:
        """The record of a session."""
        ...

    def swap(self, record: SessionRecord, expected: int | None) -> MaybeAwaitable[bool]:
        """Write a record if the stored generation is `expected` (None: none is stored); whether it was written.

        A broker that deletes records after a time leaves alone what this node has written while it runs.
        """
        ...

    def forget(self, session: str, generation: int | None = None) -> MaybeAwaitable[bool]:
        """Delete a record if its generation is still this one (None: whatever it is); whether it was deleted."""
        ...

    def release(self, session: str, owner: str) -> MaybeAwaitable[bool]:
        """Ask `owner` to let go of a session: True when it did or is known to be gone, False when it is silent."""
        ...
