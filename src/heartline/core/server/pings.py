"""The pings of a server, each made once: links of about the same age have the same."""

from typing import Final

from heartline.core.frames import Ping
from heartline.core.ports import ServerCodec

KEPT: Final = 256


class Pings:
    """Pings by their t, encoded."""

    __slots__ = ("_codec", "_made")

    def __init__(self, codec: ServerCodec) -> None:
        self._codec = codec
        self._made: dict[int, bytes] = {}

    def of(self, t: int) -> bytes:
        """The ping with this t."""
        ping = self._made.get(t)
        if ping is None:
            if len(self._made) >= KEPT:
                self._made.clear()
            ping = self._made[t] = self._codec.encode(Ping(t))
        return ping
