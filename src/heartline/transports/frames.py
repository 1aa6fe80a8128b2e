"""RFC 6455 frames as bytes: building them, and the rules for close codes. Pure; masking.py masks them.

Invariants:
- A frame built here has the shortest length form (§5.2).
- A close frame never carries a code that must not be on the wire (§7.4), nor more than 125 bytes, nor half a character.
"""

from enum import IntEnum
from struct import Struct
from typing import Final

__all__ = [
    "Opcode",
    "check_sendable_code",
    "clip_reason",
    "frame",
    "frame_header",
    "frame_text",
    "is_wire_code",
    "text_header",
]

MAX_CONTROL_PAYLOAD = 125
MAX_REASON = MAX_CONTROL_PAYLOAD - 2

_LEN16: Final = Struct("!BBH").pack
_LEN64: Final = Struct("!BBQ").pack
_FIN: Final = 0x80
# One lone message is the common case, so its two header bytes are ready made.
SHORT_TEXT: Final[tuple[bytes, ...]] = tuple(bytes((_FIN | 1, size)) for size in range(126))


class Opcode(IntEnum):
    """RFC 6455 §5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


def frame_header(opcode: int, size: int, mask_bit: int) -> bytes:
    """What stands before the key, or before the payload where there is none."""
    if size < 126:
        return bytes((_FIN | opcode, mask_bit | size))
    if size < 1 << 16:
        return _LEN16(_FIN | opcode, mask_bit | 126, size)
    return _LEN64(_FIN | opcode, mask_bit | 127, size)


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole unmasked frame, as a server sends it."""
    return frame_header(opcode, len(payload), 0) + payload


def frame_text(payload: bytes) -> bytes:
    """One whole unmasked text frame (RFC 6455 §5.2): frame a publication once, send it to many."""
    size = len(payload)
    if size < 126:
        return SHORT_TEXT[size] + payload
    return frame_header(1, size, 0) + payload


def text_header(size: int) -> bytes:
    """What stands before a whole unmasked text of so many bytes: to join many frames without building each."""
    return SHORT_TEXT[size] if size < 126 else frame_header(1, size, 0)


def is_wire_code(code: int) -> bool:
    """Whether a close frame may carry this code (RFC 6455 §7.4 and the IANA registry)."""
    return 3000 <= code <= 4999 or 1000 <= code <= 1003 or 1007 <= code <= 1014


def check_sendable_code(code: int) -> None:
    """Raise ValueError for a close code that must not be sent."""
    if not is_wire_code(code):
        raise ValueError(f"code: expected 1000-1003, 1007-1014 or 3000-4999, got {code}")


def clip_reason(reason: str) -> bytes:
    """The reason in UTF-8, cut to the 123 bytes a close frame has room for, never inside a character."""
    raw = reason.encode("utf-8", "replace")
    if len(raw) <= MAX_REASON:
        return raw
    return raw[:MAX_REASON].decode("utf-8", "ignore").encode()
