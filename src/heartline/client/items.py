"""What arrives: entries and gaps of channels, volatile messages; and the places in a channel.

Invariants:
- an error about data names where it does not fit and never repeats the data (test_unexpected_data_names_the_place).
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from msgspec import DecodeError, Raw, Struct, json

from heartline.core import effects
from heartline.core.errors import UnexpectedData

T = TypeVar("T")
Decode = Callable[[Raw | bytes], Any]
_QUOTED = r"'[^']*'"


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
        return since, (since.epoch, since.offset)
    if type(since) is int and 0 <= since < 2**53:
        return None, (None, since)
    raise ValueError(f"since: expected None, 'now', 'beginning', a Cursor or an offset, got {since!r}")


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


def decoder_of(wanted: Any) -> Decode:
    """What makes `wanted` out of JSON; None: plain values. Raises TypeError for types that no JSON can be."""
    if wanted is None:
        return json.decode
    try:
        hash(wanted)
    except TypeError:
        return _new_decoder(wanted)
    return _known_decoder(wanted)


def decode(what: str, decoder: Decode, data: Raw | bytes) -> Any:
    """Data as its reader wants it. Raises UnexpectedData; `what` begins its text."""
    try:
        return decoder(data)
    except (DecodeError, RecursionError) as error:
        raise unexpected(what, error) from None


def convert(item: effects.Entry | effects.Lost, decoder: Decode) -> Entry[Any] | Gap:
    """An item as the application sees it. Raises UnexpectedData."""
    if isinstance(item, effects.Lost):
        return Gap(item.channel, item.epoch, item.after, item.to, item.reason)
    try:
        data = decoder(item.data)
    except (DecodeError, RecursionError) as error:
        what = f"entry {item.offset} of {item.channel!r} ({item.event!r})"
        raise unexpected(what, error) from None
    return Entry(item.channel, item.epoch, item.offset, item.event, data, item.data)


def unexpected(what: str, error: Exception) -> UnexpectedData:
    """The error for data that does not fit."""
    text = str(error)
    if "nvalid" in text and "value" in text:  # msgspec quotes the value then
        text = re.sub(_QUOTED, "…", text)
    return UnexpectedData(f"{what} does not fit the type asked for: {text[:200]}")


def _new_decoder(wanted: Any) -> Decode:
    try:
        return json.Decoder(wanted).decode
    except TypeError as error:
        raise TypeError(f"type: {error}") from None


_known_decoder = lru_cache(maxsize=512)(_new_decoder)
