"""Masking what a client sends (RFC 6455 §5.3). Pure.

Compiled by Cython, whose loop over bytes is C's; as Python that would be the slowest way, so the source has others.

Invariants:
- A masking key is used once and comes from the system's entropy (§5.3); picows takes its keys from C `rand()`,
  which a server can predict, so clients do not let it mask messages (test_a_masking_key_is_used_once).
- The source and what is compiled from it mask alike (test_a_masked_frame_is_the_rfc_s_formula, in both variants).
"""

from os import urandom

from .frames import frame_header

__all__ = ["KeyPool", "mask", "masked_frame"]

_COMPILED = not __file__.endswith(".py")
_MASKED = 0x80
_SHORT: list[bytes] = [bytes((_MASKED | 1, _MASKED | size)) for size in range(126)]  # before a short text
# From here on XOR by table (four passes) beats XOR as one large integer.
_TABLE_XOR_FROM = 8192
_KEYS_AT_ONCE = 1024


def masked_frame(opcode: int, payload: bytes, key: bytes) -> bytes:
    """One whole masked frame, as a client sends it. `key`: four unpredictable bytes, used for this frame only."""
    size = len(payload)
    head = (_SHORT[size] if opcode == 1 and size < 126 else frame_header(opcode, size, _MASKED)) + key
    if not _COMPILED:
        return head + mask(payload, key)
    # Masked where it stands: nobody else has these bytes yet. To Cython the two are pointers.
    wire = head + payload
    out, four = wire, key
    at = len(head)
    for i in range(size):
        out[at + i] ^= four[i & 3]  # type: ignore[index]  # bytes
    return wire


def mask(payload: bytes, key: bytes) -> bytes:
    """XOR with the repeated key (RFC 6455 §5.3); masking twice gives the payload back."""
    return _by_table(payload, key) if len(payload) >= _TABLE_XOR_FROM else _as_number(payload, key)


def _as_number(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    pad = (key * ((size + 3) >> 2))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(pad, "little")).to_bytes(size, "little")


def _by_table(payload: bytes, key: bytes) -> bytes:
    out = bytearray(len(payload))
    for i, byte in enumerate(key):
        out[i::4] = bytearray(payload[i::4]).translate(bytes(value ^ byte for value in range(256)))
    return bytes(out)


class KeyPool:
    """Masking keys from the system's entropy, fetched many at a time because a system call for each costs more."""

    __slots__ = ("_at", "_keys")

    def __init__(self) -> None:
        self._keys = b""
        self._at = 0

    def take(self) -> bytes:
        at = self._at
        if at >= len(self._keys):
            self._keys = urandom(4 * _KEYS_AT_ONCE)
            at = 0
        self._at = at + 4
        keys = self._keys  # to Cython a pointer
        return keys[at : at + 4]
