"""What a WebSocket transport is to the rest of heartline: plain types, no sockets.

The shells in `client/` and `server/` implement `LinkHandler` and are given a `Socket`; `picows` is named nowhere
outside this package.

Invariants the implementations keep:
- `on_open` comes first and once, `on_close` last and once; a handler that was never opened is never closed.
- After `close()`, `abort()` or a fault nothing is handed to `on_message` or `on_binary` any more.
- A handler that raises closes its own link with 1011 and harms no other.
- What is sent in order is written in order, joined or not.
- Nothing in a `Request` shows headers or the query when it is printed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import Protocol

from .frames import frame_text, text_header
from .plain import DialError, SocketLimits, check_headers

__all__ = [
    "Accept",
    "DialError",
    "Headers",
    "LinkHandler",
    "Listener",
    "Request",
    "Respond",
    "Router",
    "Socket",
    "SocketLimits",
    "check_headers",
    "frame_text",
    "text_header",
]


class Headers(Mapping[str, str]):
    """HTTP headers: names in lower case, look-ups in any case. Repeated lines are joined as RFC 9110 §5.3 says.

    Kept as one text of `name:value` lines, because a server holds those of every link: a dict takes several times the
    room. Raises ValueError for what is no line: a colon in a name, a line break anywhere.
    """

    __slots__ = ("_text",)

    def __init__(self, lines: Mapping[str, str] | Sequence[tuple[str, str]] = ()) -> None:
        values: dict[str, str] = {}
        for name, value in lines.items() if isinstance(lines, Mapping) else lines:
            name = name.lower()
            joint = "; " if name == "cookie" else ", "
            known = values.get(name)
            values[name] = value if known is None else f"{known}{joint}{value}"
        self._text = "".join(["\n", *(f"{name}:{value}\n" for name, value in values.items())])
        if len(self) != len(values) or any(":" in name for name in values):
            raise ValueError("lines: expected header names without colons, and no line breaks")

    def __getitem__(self, name: str) -> str:
        mark = f"\n{name.lower()}:"
        at = self._text.find(mark)
        if at < 0 or ":" in name:
            raise KeyError(name)
        start = at + len(mark)
        return self._text[start : self._text.index("\n", start)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        return (line.partition(":")[0] for line in self._text.split("\n")[1:-1])

    def __len__(self) -> int:
        return self._text.count("\n") - 1

    def tokens(self, name: str) -> tuple[str, ...]:
        """The comma-separated elements of a header, without blanks and without empty ones."""
        return _elements(self.get(name, ""))

    def __repr__(self) -> str:  # values may be credentials
        return f"Headers({', '.join(self)})"


@lru_cache(maxsize=64)
def _elements(value: str) -> tuple[str, ...]:
    """Those of a header's value: the same object for all who say the same, as most clients do."""
    return tuple(part for raw in value.split(",") if (part := raw.strip()))


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request that reached the port, as the `Router` sees it.

    `path` and `query` are as sent (not percent-decoded), `query` without its question mark. `peer` is
    "host:port". `subprotocols` are those offered, in the client's order of preference.
    """

    path: str
    query: str = field(default="", repr=False)
    headers: Headers = field(default_factory=Headers, repr=False)
    peer: str = ""
    is_upgrade: bool = False
    subprotocols: tuple[str, ...] = ()


class Socket(Protocol):
    """One open WebSocket. All methods are called in the event loop's thread and none of them waits.

    Sending on a socket that is closing or lost does nothing: `on_close` has come or will come.
    """

    def send(self, payload: bytes) -> None:
        """Send one text message; `payload` is UTF-8.

        The first message of a loop turn is written at once, the others of that turn leave together at its end.
        Beyond `SocketLimits.write_limit` unsent bytes the link is closed with 4004.
        """

    def send_framed(self, wire: bytes) -> None:
        """Send bytes that are whole unmasked frames already (see `frame_text`). Servers only: TypeError on a client."""

    def send_binary(self, payload: bytes) -> None:
        """Send one binary message, in order with the others."""

    def ping(self, payload: bytes = b"") -> None:
        """Send a WebSocket ping of at most 125 bytes (ValueError above); the pong shows as `on_activity`."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye: flush, close frame, then TCP after the peer's answer or 2 seconds. A repeat does nothing.

        `code` is one that RFC 6455 §7.4 lets an endpoint send (ValueError otherwise: 1005, 1006 and 1015 are never
        sent); `reason` is cut to 123 bytes on a character boundary. What the peer still sends is not delivered.
        """

    def abort(self) -> None:
        """Drop the connection at once, without a word and without flushing. `on_close` still comes."""

    def pause_reading(self) -> None:
        """Take nothing more from the kernel; messages of what was read already may still arrive."""

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""

    @property
    def buffered(self) -> int:
        """Bytes sent here and not yet taken by the kernel."""
        ...

    @property
    def congested(self) -> bool:
        """True from `write_high` bytes in the write buffer until it falls to `write_low`; then `on_writable` comes."""
        ...

    @property
    def peer(self) -> str:
        """The other end, "host:port"."""
        ...

    @property
    def subprotocol(self) -> str | None:
        """What was negotiated."""
        ...

    @property
    def request(self) -> Request | None:
        """The upgrade request on a server; None on a client."""
        ...


class LinkHandler(Protocol):
    """Receives what happens on one socket, in the event loop. Methods return soon and should not raise."""

    def on_open(self, socket: Socket) -> None:
        """The handshake is done; sending is allowed. On a client this comes before `dial` returns."""

    def on_message(self, data: bytes) -> None:
        """One whole text message, valid UTF-8, a copy of its own."""

    def on_binary(self, data: bytes) -> None:
        """One whole binary message."""

    def on_activity(self) -> None:
        """A ping or pong came: a sign of life. Pings have been answered already."""

    def on_close(self, code: int, reason: str) -> None:
        """The link is gone.

        `code` is the peer's close code (1005 when it gave none); without a close frame from the peer it is the code
        this side closed with; 1006 when there was neither.
        """

    def on_writable(self) -> None:
        """The write buffer fell to `write_low` after the socket was congested."""


class PongHandler(LinkHandler, Protocol):
    """A `LinkHandler` that wants to know which of its pings was answered."""

    def on_pong(self, payload: bytes) -> None:
        """A pong with this payload came; `on_activity` comes after it."""


class CongestionHandler(LinkHandler, Protocol):
    """A `LinkHandler` that is told when its socket is congested, instead of looking after each message."""

    def on_congested(self) -> None:
        """`Socket.congested` is true from here on, until `on_writable` comes."""


class PostponingHandler(LinkHandler, Protocol):
    """A `LinkHandler` that puts messages off, to handle those of many links together."""

    def catch_up(self) -> None:
        """Handle what was put off: next comes something else than a whole message, or a close frame goes out."""


@dataclass(frozen=True)
class Accept:
    """A router's yes to an upgrade. `subprotocol` must be one the request offers."""

    handler: LinkHandler
    subprotocol: str | None = None


@dataclass(frozen=True)
class Respond:
    """A router's plain HTTP answer; the connection is closed after it.

    `status` is any status of RFC 9110 but the 1xx ones. Content-Length and Connection are set by the transport.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599 or self.status not in HTTPStatus._value2member_map_:
            raise ValueError(f"status: expected a known HTTP status from 200 to 599, got {self.status}")
        check_headers({**self.headers, "content-type": self.content_type})


Router = Callable[[Request], Accept | Respond]


class Listener(Protocol):
    """A listening port."""

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens, (host, port); empty after `close`."""
        ...

    @property
    def links(self) -> int:
        """How many links are open."""
        ...

    def close(self) -> None:
        """Stop accepting and drop connections that have not finished their handshake; open links stay."""

    async def wait_closed(self) -> None:
        """Wait until the port is closed and the last connection it accepted is gone."""
