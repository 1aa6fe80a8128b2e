"""One WebSocket on picows: the `Socket` that shells send on, and the listener that picows calls.

Compiled by Cython where the rest is by mypyc, because it extends a class of picows' own C; link.pxd says what its
attributes are.

Invariants:
- Order: the first frame of a loop turn is written at once if nothing is joined, the others leave in one write at the
  turn's end; whatever closes the link flushes first.
- A `PostponingHandler` is asked to catch up before anything that is no whole message: what came before it is answered
  before it.
- A link that is closing or failing is deaf: no message reaches its handler.
- `on_close` comes once, after everything else, with the peer's code, or ours when it sent none, or 1006.
- A link that was closed is gone after `CLOSE_WAIT` seconds at most, whatever the peer does.
- A handler that raises closes its own link with 1011.
- Unsent bytes stay below `write_limit` plus one message; at the limit the link is closed with 4004.
"""

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import picows.picows as picows  # not its names: link.pxd says the same to Cython
from multidict import CIMultiDict

from . import masking
from . import turn as turns
from .assembly import Assembler, WireFault, is_utf8, read_close
from .frames import (
    MAX_CONTROL_PAYLOAD,
    SHORT_TEXT,
    Opcode,
    check_sendable_code,
    clip_reason,
    frame,
    frame_text,
)
from .plain import SocketLimits, peer_name

if TYPE_CHECKING:
    from .api import LinkHandler, Request

__all__ = ["CLOSE_WAIT", "ClientLink", "Link", "LinkState", "ServerLink"]

logger = logging.getLogger("heartline.transports")

CLOSE_WAIT = 2.0  # seconds a closing link waits for the peer
JOIN_LIMIT = 1 << 16  # joined bytes that are written before the turn ends

_TEXT: Any = 1  # picows.WSMsgType.TEXT, and RFC 6455 §5.2
_NO_HEADERS: CIMultiDict[str] = CIMultiDict()
_ENDED = SimpleNamespace(done=lambda: True)  # stands for a future on which nobody waits

_NEVER = -1  # no turn


class LinkState(Enum):
    """Where a link is; `_MOVES` says where it may go."""

    OPENING = "opening"  # accepted, no WebSocket yet
    OPEN = "open"
    CLOSING = "closing"  # a close frame was sent, or the connection is being dropped
    LOST = "lost"


_MOVES: dict[LinkState, frozenset[LinkState]] = {
    LinkState.OPENING: frozenset({LinkState.OPEN, LinkState.LOST}),
    LinkState.OPEN: frozenset({LinkState.CLOSING, LinkState.LOST}),
    LinkState.CLOSING: frozenset({LinkState.LOST}),
    LinkState.LOST: frozenset(),
}


class Link(picows.WSListener):
    """What server and client links share. They differ in masking and in who ends the TCP connection."""

    __slots__ = (
        "_assembler", "_catch_up", "_close_timer", "_handler", "_joined", "_joined_bytes", "_limits", "_loop", "_plain",
        "_received", "_seen", "_sent", "_slow", "_state", "_subprotocol", "_transport", "_turn", "_ws", "congested", "peer", "request", "wants_linger",
    )  # fmt: skip

    _ws: picows.WSTransport
    _transport: Any  # aiofastnet.Transport; Any because write_nocheck is no part of asyncio's interface

    def __init__(
        self,
        handler: "LinkHandler",
        turn: turns.Turn,
        limits: SocketLimits,
        request: "Request | None" = None,
        subprotocol: str | None = None,
    ) -> None:
        self._handler = handler
        self._catch_up: Callable[[], None] | None = getattr(handler, "catch_up", None)  # of a PostponingHandler
        self._turn = turn
        self._limits = limits
        self._loop = turn.loop
        self.request: Request | None = request
        self._subprotocol = subprotocol
        self.peer: str = request.peer if request else ""
        self._state = LinkState.OPENING
        # Two shortcuts for the hot paths, derived: see _go, pause_writing and _data_frame.
        self._slow = True  # not open, or congested: send() takes the long way
        self._plain = False  # open, and between messages: a whole text frame is a message
        self.congested: bool = False
        self._seen = _NEVER  # the turn in which something was written last
        self._joined: list[bytes] | None = None
        self._joined_bytes = 0
        self._assembler: Assembler | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._sent: tuple[int, str] | None = None
        self._received: tuple[int, str] | None = None
        self.wants_linger: bool = False  # picows closes too fast for the peer to read why; see linger.py

    # --- what shells use ---

    @property
    def buffered(self) -> int:
        if self._state in (LinkState.OPENING, LinkState.LOST):
            return 0
        return self._joined_bytes + int(self._transport.get_write_buffer_size())

    @property
    def subprotocol(self) -> str | None:
        return self._subprotocol

    @property
    def state(self) -> LinkState:
        return self._state

    def close(self, code: int = 1000, reason: str = "") -> None:
        check_sendable_code(code)
        if self._state is LinkState.OPEN:
            self._transport.resume_reading()  # the peer's answer has to be read
            self._say_close(code, clip_reason(reason))

    def abort(self) -> None:
        if self._state is LinkState.OPEN:
            self._go(LinkState.CLOSING)
        if self._state is LinkState.CLOSING:
            self._joined = None
            self._joined_bytes = 0
            self._transport.abort()

    def pause_reading(self) -> None:
        if self._state is LinkState.OPEN:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._state is LinkState.OPEN:
            self._transport.resume_reading()

    def send(self, payload: bytes) -> None:
        raise NotImplementedError

    def send_framed(self, wire: bytes) -> None:
        raise NotImplementedError

    def send_binary(self, payload: bytes) -> None:
        self._send_frame(Opcode.BINARY, payload)

    def ping(self, payload: bytes = b"") -> None:
        if len(payload) > MAX_CONTROL_PAYLOAD:
            raise ValueError(f"payload: expected at most {MAX_CONTROL_PAYLOAD} bytes, got {len(payload)}")
        self._send_frame(Opcode.PING, payload)

    # --- sending ---

    def _push(self, wire: bytes) -> None:
        """Write or join one or more whole frames of an open link."""
        turn = self._turn
        if self._seen != turn.number:
            self._seen = turn.number
            if not turn.due:
                turn.arm()
            self._transport.write_nocheck(wire)
            return
        if self._joined is None:
            self._joined = [wire]
            turn.dirty.append(self)
            if not turn.due:
                turn.arm()
        else:
            self._joined.append(wire)
        self._joined_bytes += len(wire)
        if self._joined_bytes >= JOIN_LIMIT:
            self.flush()

    def flush(self) -> None:
        """Write what is joined."""
        joined = self._joined
        if joined is not None:
            self._joined = None
            self._joined_bytes = 0
            self._transport.write_nocheck(joined[0] if len(joined) == 1 else b"".join(joined))

    def _push_slow(self, wire: bytes) -> None:
        """The long way: the link is congested, closing or lost."""
        if self._state is not LinkState.OPEN:
            return
        self._push(wire)
        if self.buffered > self._limits.write_limit:
            logger.info("%s reads too slowly: closing", self.peer)
            self.close(4004, "stalled")

    def _say_close(self, code: int, reason: bytes) -> None:
        """Flush, send a close frame, and give the peer a limited time."""
        self.flush()
        self._go(LinkState.CLOSING)
        self._sent = (code, reason.decode())
        # By picows, and not as bytes of ours: it then knows of the close frame and never sends a second one.
        self._ws.send_close(code, reason)  # type: ignore[arg-type]  # takes any int
        self._limit_closing()

    def _limit_closing(self) -> None:
        if self._close_timer is None:
            self._close_timer = self._loop.call_later(CLOSE_WAIT, self._transport.abort)

    def _end_tcp(self) -> None:
        """Both close frames are said: end the connection as RFC 6455 §7.1.1 wants it."""
        raise NotImplementedError

    def _go(self, new: LinkState) -> None:
        if new not in _MOVES[self._state]:
            raise AssertionError(f"illegal move of a link: {self._state} to {new}")
        self._state = new
        self._slow = new is not LinkState.OPEN or self.congested
        self._plain = new is LinkState.OPEN and self._assembler is None

    # --- what picows calls ---

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._ws = transport
        self._transport = transport.underlying_transport
        self._transport.set_write_buffer_limits(self._limits.write_high, self._limits.write_low)
        if not self.peer:
            self.peer = peer_name(self._transport)
        self._go(LinkState.OPEN)
        try:
            self._handler.on_open(self)
        except Exception:  # noqa: BLE001  # logged there
            self._handler_raised("on_open")

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type != _TEXT or not frame.fin or not self._plain or frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._have_caught_up()  # what came before it is answered before it
            self._rare_frame(int(frame.msg_type), frame)  # type: ignore[call-overload]  # stubs
            return
        data = frame.get_payload_as_bytes()
        if not data.isascii() and not is_utf8(data):
            self._fail(1007, "text is not UTF-8")
            return
        if not frame.last_in_buffer:
            self._seen = self._turn.number  # more is coming in this turn: join the answers from the first on
        elif self._joined is None:
            self._seen = _NEVER
        try:
            self._handler.on_message(data)
        except Exception:  # noqa: BLE001  # logged there
            self._handler_raised("on_message")

    def _have_caught_up(self) -> None:
        """Have everything answered that was handed over."""
        try:
            if self._catch_up is not None:
                self._catch_up()
        except Exception:  # noqa: BLE001  # logged there
            self._handler_raised("catch_up")

    def _rare_frame(self, opcode: int, frame: picows.WSFrame) -> None:
        """Everything but a whole text message on an open link."""
        if self._state is LinkState.LOST or (self._state is LinkState.CLOSING and opcode != Opcode.CLOSE):
            return
        payload = frame.get_payload_as_bytes()
        rsv = bool(frame.rsv1 or frame.rsv2 or frame.rsv3)
        try:
            if opcode < Opcode.CLOSE:
                self._data_frame(opcode, bool(frame.fin), rsv, payload)
            elif rsv:
                raise WireFault(1002, "reserved bits set without an extension")
            elif opcode == Opcode.CLOSE:
                self._close_frame(payload)
            else:
                if opcode == Opcode.PING:
                    self._send_frame(Opcode.PONG, payload)
                elif (on_pong := getattr(self._handler, "on_pong", None)) is not None:  # of a PongHandler
                    on_pong(payload)
                self._handler.on_activity()
        except WireFault as fault:
            self._fail(fault.code, fault.reason)
        except Exception:  # noqa: BLE001  # logged there
            self._handler_raised("a callback")

    def _data_frame(self, opcode: int, fin: bool, rsv: bool, payload: bytes) -> None:
        assembler = self._assembler
        if assembler is None:
            assembler = self._assembler = Assembler(self._limits.max_message)
            self._plain = False
        message = assembler.feed(opcode, fin, rsv, payload)
        if message is None:
            return
        self._assembler = None  # links that never fragment never pay for one
        self._plain = True
        if message[0] == Opcode.TEXT:
            self._handler.on_message(message[1])
        else:
            self._handler.on_binary(message[1])

    def _close_frame(self, payload: bytes) -> None:
        if self._received is not None or self._state is LinkState.LOST:
            return
        try:
            received = read_close(payload)
        except WireFault as fault:  # it said goodbye, if badly: no answer is to be waited for
            self._fail(fault.code, fault.reason)
            self._end_tcp()
            return
        self._received = received
        self.wants_linger = False
        if self._state is LinkState.OPEN:
            # An empty close frame is answered with 1000: this side always says a code.
            self._say_close(received[0] if received[0] != 1005 else 1000, b"")
        self._end_tcp()

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        self._joined = None
        self._joined_bytes = 0
        self._assembler = None
        self.congested = False
        self._go(LinkState.LOST)
        try:
            self._handler.on_close(*self._verdict())
        except Exception:
            logger.exception("on_close of the link with %s raised", self.peer)

    def _verdict(self) -> tuple[int, str]:
        """What `on_close` is told."""
        sent, received = self._sent, self._received
        if received is None:
            return sent or (1006, "")
        if sent is not None and sent[0] == received[0]:
            return received[0], received[1] or sent[1]  # an answer repeats the code and rarely the reason
        return received

    def pause_writing(self) -> None:
        self.congested = True
        self._slow = True
        on_congested = getattr(self._handler, "on_congested", None)  # of a CongestionHandler
        if on_congested is not None:
            on_congested()

    def resume_writing(self) -> None:
        self.congested = False
        self._slow = self._state is not LinkState.OPEN
        if self._state is LinkState.OPEN:
            try:
                self._handler.on_writable()
            except Exception:  # noqa: BLE001  # logged there
                self._handler_raised("on_writable")

    # --- faults ---

    def _fail(self, code: int, reason: str) -> None:
        """The peer broke the rules: say so and end the link."""
        self._have_caught_up()
        logger.info("%s broke the WebSocket protocol: %d %s", self.peer, code, reason)
        self.close(code, reason)

    def _handler_raised(self, where: str) -> None:
        logger.exception("%s of the link with %s raised: closing it with 1011", where, self.peer)
        self.close(1011, "internal error")

    def parser_failed(self, code: int, reason: str) -> None:
        """picows' own parser refuses the peer and is about to send a close frame: send ours before it.

        That puts what is joined before the close frame, and keeps a clean close clean: picows reads one frame
        ahead, so the fault may lie behind a close frame that has not been delivered yet.
        """
        if self._state is not LinkState.OPEN:
            return
        handshake = self._ws.close_handshake
        if handshake is not None and handshake.recv is not None:  # type: ignore[redundant-expr]  # stubs
            self._have_caught_up()
            self._say_close(1000, b"")
        else:
            self.wants_linger = True
            self._fail(code, reason)

    def eof(self) -> None:
        """The peer sends no more. picows closes once everything is written, so that gets a limit."""
        if self._state is LinkState.OPEN:
            self._go(LinkState.CLOSING)
        if self._state is LinkState.CLOSING:
            self._limit_closing()

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        """Frame and send, as the side of this link frames."""
        raise NotImplementedError


class ServerLink(Link):
    """The server's end: unmasked frames; the server ends the TCP connection."""

    __slots__ = ()

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        _let_rest(transport)
        Link.on_ws_connected(self, transport)  # not super(): Cython gives no such method of a class of C

    def send(self, payload: bytes) -> None:
        size = len(payload)
        wire = SHORT_TEXT[size] + payload if size < 126 else frame_text(payload)
        if self._slow:
            self._push_slow(wire)
        else:
            self._push(wire)

    def send_framed(self, wire: bytes) -> None:
        if self._slow:
            self._push_slow(wire)
        else:
            self._push(wire)

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        self.send_framed(frame(opcode, payload))

    def _end_tcp(self) -> None:
        self._transport.close()


class ClientLink(Link):
    """The client's end: masked frames; it lets the server end the TCP connection first (RFC 6455 §7.1.1)."""

    __slots__ = ("_keys",)

    def __init__(self, handler: "LinkHandler", turn: turns.Turn, limits: SocketLimits) -> None:
        super().__init__(handler, turn, limits)
        self._keys = masking.KeyPool()

    def negotiated(self, subprotocol: str | None) -> None:
        self._subprotocol = subprotocol

    def send(self, payload: bytes) -> None:
        wire = masking.masked_frame(1, payload, self._keys.take())
        if self._slow:
            self._push_slow(wire)
        else:
            self._push(wire)

    def send_framed(self, wire: bytes) -> None:
        raise TypeError("send_framed: frames of a client are masked, use send()")

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        wire = masking.masked_frame(opcode, payload, self._keys.take())
        if self._slow:
            self._push_slow(wire)
        else:
            self._push(wire)

    def _end_tcp(self) -> None:
        """Nothing: the server closes, and the timer set with the close frame is the limit."""


def _let_rest(transport: picows.WSTransport) -> None:
    """Let go of what picows keeps of a handshake, 3 kB that it never looks at again, and of the room for its own frames.

    They are a few of control, for which it makes room again. Only compiled code may put something else in their places.
    """
    try:
        transport._write_buffer = picows.MemoryBuffer(0)  # type: ignore[attr-defined]  # both are not in its stubs
        transport.request = transport.response = None  # type: ignore[assignment, misc]
        transport.listener_proxy = None  # type: ignore[attr-defined]  # it measures round trips, which we do not
        transport.disconnected_future = _ENDED  # type: ignore[attr-defined]
    except AttributeError:
        for head in (transport.request, transport.response):
            head.headers = _NO_HEADERS  # pyright: ignore[reportOptionalMemberAccess]
