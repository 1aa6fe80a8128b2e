"""What arrives: entries and gaps of channels, volatile messages; and the places in a channel."""

from typing import Generic, Literal, TypeAlias, TypeGuard, TypeVar

from msgspec import Raw, Struct

T = TypeVar("T")


class Cursor(Struct, frozen=True):
    """A place in a channel: behind `offset` of this `epoch`. Keep it, and pass it as `since=`."""

    epoch: str
    offset: int


Since: TypeAlias = Literal["now", "beginning"] | Cursor | int | None
"""Where a subscription begins."""


def place_of(since: Since) -> tuple[Cursor | None, tuple[str | None, int | None]]:
    """The cursor to begin with, where it is known, and what to ask the server for. Raises ValueError."""
    if since is None or since == "now":
        return None, (None, None)
    if since == "beginning":
        return None, (None, 0)
    if isinstance(since, Cursor):
        epoch: object = since.epoch
        if isinstance(epoch, str) and _is_offset(since.offset):
            return since, (epoch, since.offset)
    elif _is_offset(since):
        return None, (None, since)
    raise ValueError(f"since: expected None, 'now', 'beginning', a Cursor or an offset, got {since!r}")


def _is_offset(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**53


class Entry(Struct, Generic[T], frozen=True):
    """One entry of a channel. `data` is what `type=` asked for, plain JSON values without; `raw` the JSON text."""

    channel: str
    epoch: str
    offset: int
    event: str
    data: T
    raw: Raw

    @property
    def cursor(self) -> Cursor:
        """The place behind this entry."""
        return Cursor(self.epoch, self.offset)


class Gap(Struct, frozen=True):
    """Entries behind `after` up to and including `to` may be lost.

    `reason`: "history" (no longer kept), "epoch" (the log was lost and began anew), "none" (nothing is kept).
    """

    channel: str
    epoch: str
    after: int
    to: int
    reason: str

    @property
    def cursor(self) -> Cursor:
        """The place behind this gap."""
        return Cursor(self.epoch, self.to)


class Volatile(Struct, Generic[T], frozen=True):
    """A message without a place, which may have been dropped on the way and never comes again."""

    channel: str
    event: str
    data: T
    raw: Raw
