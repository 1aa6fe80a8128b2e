"""One socket of a proxied link, and the few things done to sockets that asyncio has no word for.

Invariants, tested in ``tests/faults/test_proxy*.py``:

- refused_dials: `Side.reset` makes the peer see a reset (RST), not an orderly end.
- leaving_is_noticed: a peer that leaves while nothing is read from it is found by `hang_ups`.
"""

import asyncio
import contextlib
import select
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Final, cast

from heartline.faults.rules import Direction

if TYPE_CHECKING:
    from heartline.faults.link import ProxyLink

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: on, zero seconds
_WRITE_HIGH: Final = 64 * 1024  # bytes a socket may queue in the process before its pipe stops
_READ_SIZE: Final = 64 * 1024
_UNREAD_LIMIT: Final = 8 * 1024 * 1024  # bytes; above what systems buffer for a socket, so it ends a flood only


class SideState(Enum):
    """ABSENT: not connected yet. ENDED: it said it will send no more. LOST: its socket is gone."""

    ABSENT = "absent"
    OPEN = "open"
    ENDED = "ended"
    LOST = "lost"


_MOVES: Final[dict[SideState, frozenset[SideState]]] = {
    SideState.ABSENT: frozenset({SideState.OPEN, SideState.LOST}),
    SideState.OPEN: frozenset({SideState.ENDED, SideState.LOST}),
    SideState.ENDED: frozenset({SideState.LOST}),
    SideState.LOST: frozenset(),
}


class Side(asyncio.Protocol):
    """The client's or the server's end of a link. Tells everything to the link, decides nothing.

    ``direction`` is the way the bytes go that this side sends. ``writable`` is asyncio's back-pressure signal.
    ``left`` is set once it is known that the peer closed; ``gone`` when it can also receive nothing any more.
    """

    def __init__(self, link: "ProxyLink", direction: Direction) -> None:
        self.link = link
        self.direction = direction
        self.state: SideState = SideState.ABSENT
        self.writable: bool = False
        self.left = False
        self.gone = False
        self._transport: asyncio.Transport | None = None

    # --- what asyncio calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there. Nothing is read before the link says so (but uvloop may read once, see `ProxyLink`)."""
        self._transport = cast("asyncio.Transport", transport)
        self.writable = True
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH)
        self._transport.pause_reading()
        self._go(SideState.OPEN)
        self.link.connected(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of this side."""
        self.link.received(self, data)

    def eof_received(self) -> bool:
        """This side sends no more; it may still receive, so the socket stays."""
        self._go(SideState.ENDED)
        self.link.ended(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone: reset by its peer, or closed by us."""
        self._go(SideState.LOST)
        self.link.lost(self)

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self.writable = False

    def resume_writing(self) -> None:
        """The peer keeps up again."""
        self.writable = True
        self.link.writable_again(self)

    # --- what the link calls --------------------------------------------------------------------

    @property
    def deaf(self) -> bool:
        """Whether the socket is there but nothing is read from it, so that asyncio would not tell its end."""
        return self.state is SideState.OPEN and self._transport is not None and not self._transport.is_reading()

    def listen(self, wanted: bool) -> None:
        """Read from the socket, or leave its bytes to TCP's back-pressure."""
        if self.state is not SideState.OPEN or self._transport is None or self._transport.is_closing():
            return
        if wanted and not self._transport.is_reading():
            self._transport.resume_reading()
        elif not wanted and self._transport.is_reading():
            self._transport.pause_reading()

    def write(self, data: bytes) -> bool:
        """Pass bytes to the peer; False when the socket takes no more."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(data)
        return True

    def finish(self) -> None:
        """Tell the peer, behind everything written, that no more comes (FIN)."""
        if self._transport is None or self._transport.is_closing():
            return
        try:
            self._transport.write_eof()
        except OSError:  # the peer has reset it, and nothing was read since
            self._transport.abort()

    def close(self) -> None:
        """Close behind everything written."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> int:
        """Reset the connection (RST) and drop what was not sent. Returns how many bytes written here that loses."""
        if self._transport is None or self.state is SideState.LOST:
            return 0
        unsent = self._transport.get_write_buffer_size()
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # closed already: then there is nothing to reset
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()
        return unsent

    def unread(self) -> Iterator[bytes]:
        """What the kernel holds of this side and nobody has read yet, at most 8 MiB. Call before closing the socket."""
        if self.state is not SideState.OPEN or self._transport is None or self._transport.is_closing():
            return
        sock = self._transport.get_extra_info("socket")
        with sock.dup() as twin:  # asyncio's own object no longer offers recv()
            twin.setblocking(False)
            taken = 0
            while taken < _UNREAD_LIMIT and (data := _receive(twin)):
                taken += len(data)
                yield data

    def waiting(self) -> int:
        """How many bytes of this side the kernel holds that nobody has read; 0 where the system does not tell."""
        descriptor = self.fileno()
        if descriptor < 0 or sys.platform == "win32":
            return 0
        import fcntl
        import termios

        return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))[0])

    def fileno(self) -> int:
        """The socket's descriptor, -1 when there is none."""
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        return -1 if sock is None else int(sock.fileno())

    def _go(self, new: SideState) -> None:
        if new not in _MOVES[self.state]:
            raise RuntimeError(f"proxy socket: {self.state.name} to {new.name} is not a legal move")
        self.state = new


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(_READ_SIZE)
    except OSError:  # nothing there, or the peer reset: either way there is no more to read
        return b""


def hang_ups(sides: Iterable[Side]) -> list[tuple[Side, bool]]:
    """Those of ``sides`` whose peer has left, each with whether it can receive nothing either.

    Reads nothing. Where the system has no ``poll`` (Windows) the answer is empty: there a peer that left during a
    freeze is found at the thaw.
    """
    if not hasattr(select, "poll"):
        return []
    told = getattr(select, "POLLRDHUP", 0)  # Linux: the peer's FIN, although bytes before it are unread
    poll = select.poll()
    by_descriptor = {fd: side for side in sides if (fd := side.fileno()) >= 0}
    for fd in by_descriptor:
        poll.register(fd, told)  # POLLHUP and POLLERR are always reported
    return [
        (by_descriptor[fd], bool(seen & (select.POLLHUP | select.POLLERR | select.POLLNVAL)))
        for fd, seen in poll.poll(0)
    ]
