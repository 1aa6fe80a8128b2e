"""Keeping a refused connection half open until the peer has had a chance to read why.

When picows' parser refuses a frame (too big, malformed) it closes the connection 10 ms after its close frame, with the
rest of the frame unread. The kernel then answers with a reset, which destroys the close frame at the peer: a client
that sent too much would see 1006, dial again, and send it again.

Invariants:
- The write side is shut, what arrives is thrown away, and after `LINGER` seconds or the peer's end it is over.
- What it holds is one socket and one timer, both released with the callback.
"""

import asyncio
from collections.abc import Callable
from socket import SHUT_WR, socket

__all__ = ["Linger"]

LINGER = 2.0


class Linger:
    """Drains a duplicate of the connection's socket; the original is closed by its transport."""

    __slots__ = ("_done", "_loop", "_sock", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket, done: Callable[[], None]) -> None:
        self._loop = loop
        self._sock = sock
        self._done = done
        self._timer = loop.call_later(LINGER, self._end)
        loop.add_reader(sock.fileno(), self._drain)

    @classmethod
    def begin(cls, loop: asyncio.AbstractEventLoop, transport: asyncio.BaseTransport, done: Callable[[], None]) -> bool:
        """Take over in the transport's `connection_lost`. False when the connection is gone; `done` is not called then."""
        original = transport.get_extra_info("socket")
        try:
            sock = original.dup()
        except OSError:
            return False
        try:
            sock.setblocking(False)
            sock.shutdown(SHUT_WR)
        except OSError:
            sock.close()
            return False
        cls(loop, sock, done)
        return True

    def _drain(self) -> None:
        try:
            if self._sock.recv(1 << 16):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._end()

    def _end(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        self._done()
