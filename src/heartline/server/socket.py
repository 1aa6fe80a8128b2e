"""One socket of the server: what the transport tells is passed on to the node, in its turn.

Invariant: a socket that closed says nothing more to the node (test_late_socket_events_are_ignored).
"""

from typing import TYPE_CHECKING, cast

from heartline.core.codes import Code
from heartline.core.server.link import ServerLink
from heartline.core.server.tail import Batch, Outlet
from heartline.transports.api import Request, Socket, frame_text, text_header
from heartline.transports.clock import now

if TYPE_CHECKING:
    from .hub import Hub


class Wires(Outlet):
    """Writes to sockets of the transport."""

    __slots__ = ()

    def tell(self, pipes: list[object], batch: Batch) -> None:
        """Write what many get."""
        wire = _wire(batch)
        for pipe in pipes:
            cast("Socket", pipe).send_framed(wire)


class HubSocket:
    """A `PostponingHandler` and a `CongestionHandler`. `request` is what the application's login may look at."""

    __slots__ = ("_hub", "_intake", "link", "request", "socket")

    def __init__(self, hub: "Hub", request: Request) -> None:
        self._hub = hub
        self._intake = hub.intake
        self.request: Request = request
        self.socket: Socket | None = None
        self.link: ServerLink | None = None

    def on_open(self, socket: Socket) -> None:
        """Begin a link."""
        self.socket = socket
        self.link = self._hub.node.open(self.request, now())
        self.link.socket = self
        self.link.pipe = socket
        self._hub.socket_opened(self)

    def on_message(self, data: bytes) -> None:
        """One frame: it is handled when the turn of the loop ends."""
        self._intake.take(self, data)

    def catch_up(self) -> None:
        """Something else is to be heard than a whole message."""
        self._hub.catch_up()

    def handle(self, data: bytes, at: float) -> None:
        """One frame, now."""
        link = self.link
        if link is not None:
            hub = self._hub
            message = link.received(data, at, hub.allowance.takes(at))
            if message is not None:
                hub.begin(message)

    def fail(self) -> None:
        """A message met a fault of ours: nobody else is to be disturbed by it."""
        if self.socket is not None:
            self.socket.close(Code.INTERNAL_ERROR, "internal error")

    def on_binary(self, data: bytes) -> None:
        """Nothing here speaks binary (PROTOCOL 1.2)."""
        del data
        if self.link is not None:
            self.link.close(Code.UNSUPPORTED_DATA, "text messages only")
            self._hub.turn()

    def on_activity(self) -> None:
        """A ping or pong of RFC 6455."""
        if self.link is not None:
            self._hub.node.alive(self.link, now())

    def on_close(self, code: int, reason: str) -> None:
        """The socket is gone."""
        del code, reason
        self._hub.catch_up()
        link, self.link = self.link, None
        self.socket = None
        if link is not None:
            self._hub.node.lost(link, now())
            self._hub.turn()
        self._hub.socket_closed(self)

    def on_congested(self) -> None:
        """The peer reads more slowly than it is written to."""
        if self.link is not None:
            self.link.congested = True

    def on_writable(self) -> None:
        """The write buffer has drained."""
        if self.link is not None:
            self.link.congested = False

    def write(self, out: list[bytes | Batch]) -> None:
        """Write what the link has to say."""
        socket = self.socket
        if socket is None or not out:
            return
        if len(out) > 1:
            parts: list[bytes] = []
            for item in out:
                if isinstance(item, bytes):
                    parts.append(text_header(len(item)))
                    parts.append(item)
                else:
                    parts.append(_wire(item))
            socket.send_framed(b"".join(parts))
        elif isinstance(out[0], bytes):
            socket.send(out[0])
        else:
            socket.send_framed(_wire(out[0]))

    def close(self, code: int, reason: str) -> None:
        """Close the socket, or drop it when its peer is not there any more."""
        socket, self.link = self.socket, None
        if socket is None:
            return
        socket.close(code, reason)
        if code == Code.PEER_SILENT:
            socket.abort()

    def abort(self) -> None:
        """Drop the socket without a word."""
        if self.socket is not None:
            self.socket.abort()


class SmallSocket(HubSocket):
    """For an application that takes smaller messages than others on its port."""

    __slots__ = ()

    def handle(self, data: bytes, at: float) -> None:
        """One frame, unless it is too large."""
        if self.link is not None and len(data) > self._hub.options.limits.message:
            self.link.close(Code.TOO_BIG, "message too big")
        super().handle(data, at)


def _wire(batch: Batch) -> bytes:
    """A batch as it goes to the sockets of all who follow."""
    if batch.wire is None:
        batch.wire = b"".join(map(frame_text, batch.payloads))
    return batch.wire
