"""What the port answers to a request: a link, a page, how it is, or why not.

Invariants:
- a client that offers subprotocols gets that of the path or 400, one that offers none is taken as it is
  (test_subprotocols, test_subprotocols_of_dialects);
- of several applications on one port each has its own paths, and nobody else's (test_paths_must_not_clash);
- health is 503 while a broker cannot write (test_a_full_disk_holds_answers_back).
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from heartline.dialects.native import SUBPROTOCOL
from heartline.transports.api import Accept, Request, Respond

from .foreign import ForeignSocket
from .socket import HubSocket, SmallSocket
from .stats import Stats

if TYPE_CHECKING:
    from .hub import Hub
    from .options import Options

logger: logging.Logger = logging.getLogger("heartline.server")
_encode = msgspec.json.Encoder().encode
HEALTH: Final = "/health"


def check_paths(applications: "Sequence[Options]") -> None:
    """Raise ValueError where two applications that share a port want the same path."""
    for what in ("paths", "pages"):
        counted = Counter(path for options in applications for path in getattr(options, what))
        twice = [path for path, times in counted.items() if times > 1]
        if twice:
            raise ValueError(f"{what}: {', '.join(twice)} is served already; give each application its own")


class Port:
    """The router of one port, for one application or several."""

    def __init__(self, hubs: "Sequence[Hub]") -> None:
        self._hubs = hubs
        self._largest = max(hub.options.limits.message for hub in hubs)

    def route(self, request: Request) -> Accept | Respond:
        """Answer one request."""
        path = request.path
        hub = next((hub for hub in self._hubs if path in hub.options.paths), None)
        if request.is_upgrade and hub is not None:
            return self._link(hub, request)
        for one in self._hubs:
            page = one.options.pages.get(path)
            if page is not None:
                return _respond(page(request))
        if path == HEALTH:
            return self._health()
        if hub is not None:
            return Respond(426, b"this is a WebSocket address\n", headers={"Upgrade": "websocket"})
        return Respond(404, b"nothing here\n")

    def _health(self) -> Respond:
        """200 while all is well; 503 while a broker cannot write, so that a balancer sends new clients elsewhere.

        Anybody may ask: what exactly is wrong is in the log. Counts are those of all applications together.
        """
        failing = any(hub.broker.trouble != "" for hub in self._hubs)
        state = {"status": "failing", "reason": "the broker cannot write"} if failing else {"status": "ok"}
        counts: Counter[str] = Counter()
        for hub in self._hubs:
            counts.update(dict(_fields(Stats.of(hub))))
        return Respond(503 if failing else 200, _encode({**state, **counts}), "application/json")

    def _link(self, hub: "Hub", request: Request) -> Accept | Respond:
        options = hub.options
        if not options.origins.allow(request):
            logger.info("%s: a page of another origin was refused", request.peer)
            return Respond(403, b"pages of this origin may not connect\n")
        spoken = options.spoken.get(request.path)
        wanted = SUBPROTOCOL if spoken is None else spoken.dialect.subprotocol
        if request.subprotocols and wanted not in request.subprotocols:
            return Respond(
                400, (f"offer the subprotocol {wanted}, or none" if wanted else "offer no subprotocol").encode() + b"\n"
            )
        if spoken is not None:
            handler: HubSocket = ForeignSocket(hub, request, spoken)
        elif options.limits.message < self._largest:
            handler = SmallSocket(hub, request)
        else:
            handler = HubSocket(hub, request)
        return Accept(handler, wanted if request.subprotocols else None)


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
