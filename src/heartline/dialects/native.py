"""heartline.1 as text: bytes to frames and back (PROTOCOL §1).

Invariants:
- rubbish of any kind ends in `BadFrame` with a short reason, never in another exception
  (test_rubbish_is_always_a_bad_frame);
- the reason names frame and element and repeats nothing that was sent (test_reasons_repeat_nothing);
- what is encoded decodes to the same frame (test_encoding_round_trips);
- half a character in a payload harms nobody: it counts as U+FFFD (test_halves_of_characters_in_payloads).
"""

import re
from typing import Any, Final, get_args

import msgspec

from heartline.core.errors import BadFrame
from heartline.core.frames import DownFrame, Fail, Failure, UpFrame

SUBPROTOCOL: Final = "heartline.1"

_encode: Final = msgspec.json.Encoder().encode
_up: Final = msgspec.json.Decoder(UpFrame)
_down: Final = msgspec.json.Decoder(DownFrame)
_failure: Final = msgspec.json.Decoder(Failure)

# Compiled by `re` when something is wrong, and kept there: most processes never meet that.
_ESCAPE: Final = (
    rb"(?s)\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
_KIND: Final = rb'[ \t\r\n]*\[[ \t\r\n]*"([a-z]{2,8})"'
_UNKNOWN_KIND: Final = "Invalid value"
_KINDS: Final = {kind.__struct_config__.tag for kind in get_args(UpFrame | DownFrame)}
_Bad = (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError)


def _bad(data: bytes, error: Exception) -> BadFrame:
    """Name what is wrong without repeating what was sent."""
    match = re.match(_KIND, data)
    kind = match[1].decode() if match is not None else ""
    reason = str(error)
    if isinstance(error, RecursionError):
        reason = "nested too deeply"
    elif isinstance(error, UnicodeDecodeError):
        reason = "not UTF-8"
    elif reason.startswith(_UNKNOWN_KIND):
        return BadFrame("no kind that is known in this direction")
    return BadFrame(f"{kind}: {reason}"[:120] if kind in _KINDS else reason[:120])


def with_halves_as(data: bytes, mark: bytes) -> bytes:
    """JSON with another escape in the place of each half of a surrogate pair, which JavaScript may write."""
    return re.sub(_ESCAPE, lambda escape: escape[0] if escape[1] is None else mark, data)


def _mended(data: bytes, decoder: "msgspec.json.Decoder[Any]") -> Any:
    """What a frame says whose payload has halves of surrogate pairs, as JavaScript may write them; else None.

    PROTOCOL 1.5: in a name they make a bad frame. So a mark takes their place first, and is looked for in the names.
    """
    marked = with_halves_as(data, rb"\uffff")
    if marked == data:
        return None
    try:
        frame = decoder.decode(marked)
        if any("\uffff" in getattr(frame, name, "") for name in ("channel", "event")):
            return None
        return decoder.decode(with_halves_as(data, rb"\ufffd"))
    except _Bad:
        return None


def decode_up(data: bytes) -> UpFrame:
    """Read one frame a client sent. `data` must not change afterwards: payloads refer to it.

    Raises `BadFrame`.
    """
    try:
        frame: UpFrame = _up.decode(data)
    except _Bad as error:
        mended = _mended(data, _up)
        if mended is None:
            raise _bad(data, error) from None
        frame = mended
    return frame


def decode_down(data: bytes) -> DownFrame:
    """Read one frame a server sent. Raises `BadFrame`."""
    try:
        frame: DownFrame = _down.decode(data)
        if type(frame) is Fail:
            _failure.decode(frame.body)
    except _Bad as error:
        mended = _mended(data, _down)
        if mended is None or type(mended) is Fail:
            raise _bad(data, error) from None
        frame = mended
    return frame


def encode(frame: object) -> bytes:
    """Write one frame as the payload of one text message, or any other value as JSON."""
    return _encode(frame)


def encode_msg(channel: str, offset: int, event: str, data: bytes, prev: int) -> bytes:
    """Write one `msg` frame; `prev` is told only where it is not offset − 1 (PROTOCOL 4.4)."""
    if prev == offset - 1:
        return b'["msg",%b,%d,%b,%b]' % (_encode(channel), offset, _encode(event), data)
    return b'["msg",%b,%d,%b,%b,%d]' % (_encode(channel), offset, _encode(event), data, prev)


def encode_reply(n: int, data: bytes) -> bytes:
    """Write one `reply` frame around data that is JSON already."""
    return b'["reply",%d,%b]' % (n, data)


class NativeServer:
    """The server's side of heartline.1 (a `ServerCodec`)."""

    @staticmethod
    def encode(frame: msgspec.Struct, /) -> bytes:
        """Write one frame."""
        return _encode(frame)

    @staticmethod
    def decode(data: bytes, /) -> UpFrame:
        """Read one frame of a client."""
        return decode_up(data)

    @staticmethod
    def encode_msg(channel: str, offset: int, event: str, data: bytes, prev: int, /) -> bytes:
        """Write one `msg` frame."""
        return encode_msg(channel, offset, event, data, prev)

    @staticmethod
    def encode_reply(n: int, data: bytes, /) -> bytes:
        """Write one `reply` frame."""
        return encode_reply(n, data)

    @staticmethod
    def encode_value(value: object, /) -> bytes:
        """Write any value."""
        return _encode(value)


class NativeClient:
    """The client's side of heartline.1 (a `ClientCodec`)."""

    @staticmethod
    def encode(frame: msgspec.Struct, /) -> bytes:
        """Write one frame."""
        return _encode(frame)

    @staticmethod
    def decode(data: bytes, /) -> DownFrame:
        """Read one frame of a server."""
        return decode_down(data)
