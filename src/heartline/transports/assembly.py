"""From frames to messages: the rules of RFC 6455 that picows leaves to its user. Pure: no sockets, no picows.

Invariants:
- A continuation follows an unfinished message and nothing else; a new message never begins inside another (§5.4).
- Reserved bits are refused, no extension having been negotiated (§5.2).
- A message is at most `max_message` bytes over all its fragments, and no more than that is ever held.
- Text is valid UTF-8 over the whole message, and the first frame that breaks it is refused at once (§8.1).
- A close frame is empty, or has a legal code and a reason in UTF-8 (§5.5.1, §7.4).
"""

import codecs

from .frames import Opcode, is_wire_code

__all__ = ["Assembler", "WireFault", "read_close"]

_UTF8 = codecs.getincrementaldecoder("utf-8")


class WireFault(Exception):
    """The peer broke RFC 6455 or a limit: close with `code` and `reason`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


def is_utf8(data: bytes) -> bool:
    """Whether data is valid UTF-8 (RFC 3629: no surrogates, no overlong forms)."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class Assembler:
    """Joins the data frames of one link. Feed each in order; a returned pair is one whole message."""

    __slots__ = ("_decoder", "_held", "_max_message", "_opcode")

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._opcode = 0  # of the message being assembled; 0: none
        self._held = bytearray()  # not a list of parts: endless one-byte fragments would cost fifty times their size
        self._decoder: codecs.IncrementalDecoder | None = None

    @property
    def idle(self) -> bool:
        """True between messages."""
        return self._opcode == 0

    @property
    def held(self) -> int:
        """Bytes of the unfinished message."""
        return len(self._held)

    def feed(self, opcode: int, fin: bool, rsv: bool, payload: bytes) -> tuple[int, bytes] | None:
        """Take one data frame. Returns (opcode, message) when it completes one. Raises WireFault."""
        if rsv:
            raise WireFault(1002, "reserved bits set without an extension")
        if opcode == Opcode.CONTINUATION:
            if not self._opcode:
                raise WireFault(1002, "continuation of nothing")
        elif opcode in (Opcode.TEXT, Opcode.BINARY):
            if self._opcode:
                raise WireFault(1002, "new message inside a fragmented one")
            self._opcode = int(opcode)
            self._decoder = _UTF8() if opcode == Opcode.TEXT else None
        else:
            raise WireFault(1002, f"unknown opcode {opcode}")
        if len(self._held) + len(payload) > self._max_message:
            self._reset()
            raise WireFault(1009, f"message above {self._max_message} bytes")
        if self._decoder is not None:
            try:
                self._decoder.decode(payload, fin)
            except UnicodeDecodeError:
                self._reset()
                raise WireFault(1007, "text is not UTF-8") from None
        self._held += payload
        if not fin:
            return None
        message = (self._opcode, bytes(self._held))
        self._reset()
        return message

    def _reset(self) -> None:
        self._opcode = 0
        self._held = bytearray()
        self._decoder = None


def read_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame's payload; 1005 when it is empty. Raises WireFault."""
    if not payload:
        return 1005, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not is_wire_code(code):
        raise WireFault(1002, "illegal close code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise WireFault(1007, "close reason is not UTF-8") from None
