"""From JSON to what an application asked for. Pure; this is done for each message.

Invariants:
- an error about data names where it does not fit and never repeats the data (test_unexpected_data_names_the_place).
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from msgspec import DecodeError, Raw, json

from heartline.core import effects
from heartline.core.errors import UnexpectedData

from .items import Entry, Gap

Decode = Callable[[Raw | bytes], Any]
_QUOTED: Final = r"'[^']*'"
_Lost: Final = effects.Lost
_Entry: Final = Entry
plain: Final[Decode] = json.decode
"""JSON as plain values."""


def decoder_of(wanted: Any) -> Decode:
    """What makes `wanted` out of JSON; None: plain values. Raises TypeError for types that no JSON can be."""
    if wanted is None:
        return plain
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
    if isinstance(item, _Lost):
        return Gap(item.channel, item.epoch, item.after, item.to, item.reason)
    raw = item.data
    try:
        data = decoder(raw)
    except (DecodeError, RecursionError) as error:
        what = f"entry {item.offset} of {item.channel!r} ({item.event!r})"
        raise unexpected(what, error) from None
    return _Entry(item.channel, item.epoch, item.offset, item.event, data, raw)


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
