"""What the port answers to a request: a link, a page, how it is, or why not.

Invariants:
- a browser page of another origin gets 403 unless it was allowed (test_foreign_origins_are_refused);
- a client that offers subprotocols gets heartline.1 or 400, one that offers none is taken as it is
  (test_subprotocols);
- health is 503 while the broker cannot write (test_a_full_disk_holds_answers_back).
"""

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from heartline.dialects.native import SUBPROTOCOL
from heartline.transports.api import Accept, Request, Respond

from .socket import HubSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from .hub import Hub
    from .stats import Stats

logger: logging.Logger = logging.getLogger("heartline.server")
_encode = msgspec.json.Encoder().encode
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Origins:
    """Which browser pages may connect. Raises ValueError for what is no origin."""

    def __init__(self, allowed: Iterable[str] | str) -> None:
        names = [allowed] if isinstance(allowed, str) else list(allowed)
        self._all = "*" in names
        self._allowed = frozenset(_origin(name) for name in names if name != "*")

    def allow(self, request: Request) -> bool:
        """Whether a request may become a link. Programs that are no browsers send no origin and may.

        A page may always connect to the host that served it.
        """
        origin = request.headers.get("origin")
        if origin is None or self._all:
            return True
        try:
            scheme, host, port = _parts(origin)
        except ValueError:
            return False
        if f"{scheme}://{host}:{port}" in self._allowed:
            return True
        try:
            _, own_host, own_port = _parts(f"{scheme}://{request.headers.get('host', '')}")
        except ValueError:
            return False
        return (host, port) == (own_host, own_port)


def _origin(name: object) -> str:
    try:
        if isinstance(name, str):
            scheme, host, port = _parts(name)
            return f"{scheme}://{host}:{port}"
    except ValueError:
        pass
    raise ValueError(f"origins: expected such as 'https://example.com', or '*', not {name!r}")


def _parts(origin: str) -> tuple[str, str, int]:
    """Scheme, host and port of an origin (RFC 6454). Raises ValueError."""
    parsed = urlsplit(origin)
    host, port = parsed.hostname, parsed.port or _DEFAULT_PORTS.get(parsed.scheme)
    if not host or port is None or parsed.path.strip("/") or parsed.query or parsed.fragment or "@" in parsed.netloc:
        raise ValueError(origin)
    return parsed.scheme, host, port


class Port:
    """The router of one serving process."""

    def __init__(self, hub: "Hub", path: str, origins: Origins, stats: "Callable[[], Stats]") -> None:
        self._hub = hub
        self._path = path
        self._origins = origins
        self._stats = stats

    def route(self, request: Request) -> Accept | Respond:
        """Answer one request."""
        if request.is_upgrade and request.path == self._path:
            return self._link(request)
        page = self._hub.options.pages.get(request.path)
        if page is not None:
            return _respond(page(request))
        if request.path == "/health":
            return self._health()
        if request.path == self._path:
            return Respond(426, b"this is a WebSocket address (heartline.1)\n", headers={"Upgrade": "websocket"})
        return Respond(404, b"nothing here\n")

    def _health(self) -> Respond:
        """200 while all is well; 503 while the broker cannot write, so that a balancer sends new clients elsewhere.

        Anybody may ask: what exactly is wrong is in the log.
        """
        failing = self._hub.broker.trouble != ""
        state = {"status": "failing", "reason": "the broker cannot write"} if failing else {"status": "ok"}
        return Respond(503 if failing else 200, _encode({**state, **dict(_fields(self._stats()))}), "application/json")

    def _link(self, request: Request) -> Accept | Respond:
        if not self._origins.allow(request):
            logger.info("%s: a page of another origin was refused", request.peer)
            return Respond(403, b"pages of this origin may not connect\n")
        if SUBPROTOCOL in request.subprotocols:
            return Accept(HubSocket(self._hub, request), SUBPROTOCOL)
        if request.subprotocols:
            return Respond(400, f"offer the subprotocol {SUBPROTOCOL}, or none\n".encode())
        return Accept(HubSocket(self._hub, request))


def _respond(answer: Any) -> Respond:
    if isinstance(answer, Respond):
        return answer
    if isinstance(answer, str):
        return Respond(200, answer.encode(), "text/html; charset=utf-8")
    if isinstance(answer, (bytes, bytearray)):
        return Respond(200, bytes(answer), "application/octet-stream")
    raise TypeError(f"a page must return Respond, str or bytes, not {type(answer).__name__}")


def _fields(stats: "Stats") -> Iterator[tuple[str, int]]:
    return ((name, getattr(stats, name)) for name in type(stats).__slots__)
