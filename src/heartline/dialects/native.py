"""heartline.1 as text: bytes to frames and back (PROTOCOL §1).

Invariants:
- rubbish of any kind ends in `BadFrame` with a short reason, never in another exception
  (test_rubbish_is_always_a_bad_frame);
- what is encoded decodes to the same frame (test_encoding_round_trips).
"""

import re
from typing import Final

import msgspec

from heartline.core.errors import BadFrame
from heartline.core.frames import DownFrame, UpFrame

SUBPROTOCOL: Final = "heartline.1"

_encoder = msgspec.json.Encoder()
_up = msgspec.json.Decoder(UpFrame)
_down = msgspec.json.Decoder(DownFrame)
_encode_text = msgspec.json.Encoder().encode
_QUOTED: Final = re.compile(r"'[^']*'")

_Bad = (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError)


def _bad(error: Exception) -> BadFrame:
    """Name what is wrong without repeating what was sent."""
    if isinstance(error, RecursionError):
        return BadFrame("nested too deeply")
    reason = _QUOTED.sub("…", str(error)) if "Invalid value" in str(error) else str(error)
    return BadFrame(reason[:120])


def decode_up(data: bytes) -> UpFrame:
    """Read one frame a client sent. `data` must not change afterwards: payloads refer to it.

    Raises `BadFrame`.
    """
    try:
        return _up.decode(data)
    except _Bad as error:
        raise _bad(error) from None


def decode_down(data: bytes) -> DownFrame:
    """Read one frame a server sent. Raises `BadFrame`."""
    try:
        return _down.decode(data)
    except _Bad as error:
        raise _bad(error) from None


encode = _encoder.encode
"""Write one frame as the payload of one text message."""


def encode_msg(channel: str, offset: int, event: str, data: bytes, prev: int) -> bytes:
    """Write one `msg` frame; `prev` is told only where it is not offset − 1 (PROTOCOL 4.4)."""
    if prev == offset - 1:
        return b'["msg",%b,%d,%b,%b]' % (_encode_text(channel), offset, _encode_text(event), data)
    return b'["msg",%b,%d,%b,%b,%d]' % (_encode_text(channel), offset, _encode_text(event), data, prev)


def encode_reply(n: int, data: bytes) -> bytes:
    """Write one `reply` frame around data that is JSON already."""
    return b'["reply",%d,%b]' % (n, data)


class NativeServer:
    """The server's side of heartline.1 (a `ServerCodec`)."""

    encode = staticmethod(encode)
    decode = staticmethod(decode_up)
    encode_msg = staticmethod(encode_msg)
    encode_reply = staticmethod(encode_reply)
    encode_value = staticmethod(encode)


class NativeClient:
    """The client's side of heartline.1 (a `ClientCodec`)."""

    encode = staticmethod(encode)
    decode = staticmethod(decode_down)
