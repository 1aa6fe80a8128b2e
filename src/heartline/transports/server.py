"""A listening port: WebSockets and plain HTTP answers side by side.

Invariants:
- Every upgrade is checked (RFC 6455 §4.2.1) before the router sees it, so a router's `Accept` always becomes a link.
- `Connection` and `Upgrade` may be lists: Firefox sends `Connection: keep-alive, Upgrade`.
- A connection that does not finish its handshake, or does not take its answer, is dropped after `handshake_timeout`.
- At `max_links` an upgrade is answered 503; plain requests still are served.
- A router that raises is answered 500 without a word of why.
- Nothing of a request but its peer and its path's existence is ever logged.
- A connection that ends as it begins leaves no descriptor watched
  (test_a_connection_refused_as_it_begins_leaves_no_descriptor_watched).

HEAD and every other method but GET are answered 400 by picows' parser before they get here.
"""

import asyncio
import logging
import ssl as ssl_module
from base64 import b64decode
from binascii import Error as Base64Error
from http import HTTPStatus
from socket import socket
from typing import Any

import aiofastnet
from multidict import CIMultiDict

from .api import Accept, Headers, Request, Respond, Router, SocketLimits
from .linger import Linger
from .link import ServerLink
from .picows_names import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener
from .picows_protocol import HeartProtocol
from .plain import peer_name
from .tls import hush_hang_ups
from .turn import Turn

__all__ = ["PortListener", "listen"]

logger = logging.getLogger("heartline.transports")

# picows keeps a buffer per connection; it grows with the first larger message and never shrinks.
READ_BUFFER = 2048


async def listen(
    router: Router,
    host: str | None = None,
    port: int | None = None,
    *,
    ssl: ssl_module.SSLContext | None = None,
    limits: SocketLimits | None = None,
    reuse_port: bool = False,
    backlog: int = 4096,
    sock: socket | None = None,
) -> "PortListener":
    """Listen on host and port (0: any free one), or on `sock`, and give every request to the router.

    The router answers at once with `Accept` or `Respond`. `reuse_port` lets several processes share the port.
    `backlog` is how many connections the kernel holds until they are accepted; asyncio's 100 would turn a mass
    reconnect into minutes. Raises OSError when the port cannot be had.
    """
    if (sock is None) == (port is None):
        raise ValueError("port, sock: expected one of them")
    listener = PortListener(router, limits or SocketLimits())
    tls: dict[str, Any] = {}
    if ssl is not None:
        hush_hang_ups(listener.loop)
        tls = {"ssl": ssl, "ssl_handshake_timeout": listener.limits.handshake_timeout, "ssl_shutdown_timeout": 2.0}
    where: dict[str, Any] = (
        {"sock": sock} if sock is not None else {"host": host, "port": port, "reuse_port": reuse_port or None}
    )
    listener.serve(
        await aiofastnet.create_server(asyncio.get_running_loop(), listener.connection, backlog=backlog, **where, **tls)
    )
    return listener


class PortListener:
    """An open port; see `api.Listener`."""

    def __init__(self, router: Router, limits: SocketLimits) -> None:
        self.router = router
        self.limits = limits
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.turn: Turn = Turn(self.loop)
        self.open_links: int = 0
        self._server: asyncio.Server | None = None
        self._closing = False
        self._waiting: set[_ServerProtocol] = set()  # connections that are not links (yet)
        self._connections = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        sockets = self._server.sockets if self._server is not None else ()
        return [tuple(sock.getsockname()[:2]) for sock in sockets]

    @property
    def links(self) -> int:
        return self.open_links

    def serve(self, server: asyncio.Server) -> None:
        self._server = server

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._waiting):
            connection.drop()

    async def wait_closed(self) -> None:
        while not self._closing or self._connections:
            self._idle.clear()
            await self._idle.wait()

    # --- what connections tell ---

    def connection(self) -> "_ServerProtocol":
        return _ServerProtocol(self)

    def arrived(self, connection: "_ServerProtocol") -> bool:
        """Count a connection; False when it comes too late."""
        self._connections += 1
        self._waiting.add(connection)
        return not self._closing

    def became_link(self, connection: "_ServerProtocol") -> None:
        self._waiting.discard(connection)
        self.open_links += 1

    def gone(self, connection: "_ServerProtocol", was_link: bool) -> None:
        """The connection is lost; `released` follows when nothing is left of it."""
        self._waiting.discard(connection)
        self.open_links -= was_link

    def released(self) -> None:
        self._connections -= 1
        if not self._connections:
            self._idle.set()


class _ServerProtocol(HeartProtocol):
    """One accepted connection, from its first byte to its last."""

    __slots__ = ("_is_link", "_listener", "_peer", "_reaper", "_underlying")

    def __init__(self, listener: PortListener) -> None:
        self._listener = listener
        self._is_link = False
        self._peer = ""
        self._reaper: asyncio.TimerHandle | None = None
        self._underlying: asyncio.Transport | None = None
        super().__init__(
            self._answer,
            max_message=listener.limits.max_message,
            read_buffer=READ_BUFFER,
            handshake_timeout=listener.limits.handshake_timeout,
        )

    def connection_made(self, transport: asyncio.Transport) -> None:
        # aiofastnet has scheduled its add_reader already, and does not take it back when what follows ends the
        # connection (see adopt): this comes between the two, and before the socket closes.
        self._listener.loop.call_soon(_unwatch_if_closing, self._listener.loop, transport)
        self._underlying = transport
        self._peer = peer_name(transport)
        in_time = self._listener.arrived(self)
        super().connection_made(transport)
        if not in_time:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reaper is not None:
            self._reaper.cancel()
        link, transport = self.quiet.link, self._underlying
        self._underlying = None
        try:
            super().connection_lost(exc)
        finally:
            self._listener.gone(self, self._is_link)
            lingers = (
                link is not None
                and link.wants_linger
                and transport is not None
                and Linger.begin(self._listener.loop, transport, self._listener.released)
            )
            if not lingers:
                self._listener.released()

    def drop(self) -> None:
        if self._underlying is not None:
            self._underlying.abort()

    # --- the handshake ---

    def _answer(self, raw: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """picows' listener factory: called once, with the parsed head of the request."""
        try:
            return self._route(raw)
        except _Refusal as refusal:
            return self._refuse(refusal.response)
        except Exception:
            logger.exception("the router raised on a request from %s", self._peer)
            return self._refuse(Respond(500, b"internal error\n"))

    def _route(self, raw: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        listener = self._listener
        request = read_request(raw, self._peer)
        if request.is_upgrade:
            check_upgrade(request)
            if listener.limits.max_links is not None and listener.open_links >= listener.limits.max_links:
                raise _Refusal(Respond(503, b"too many connections\n", headers={"Retry-After": "1"}))
        answer = listener.router(request)
        if isinstance(answer, Respond):
            return self._refuse(answer)
        if not isinstance(answer, Accept):
            raise TypeError(f"router: expected Accept or Respond, got {type(answer).__name__}")
        if not request.is_upgrade:
            raise _Refusal(Respond(426, b"this is a WebSocket endpoint\n", headers={"Upgrade": "websocket"}))
        if answer.subprotocol is not None and answer.subprotocol not in request.subprotocols:
            raise ValueError(f"Accept.subprotocol: {answer.subprotocol!r} is not among those the request offers")
        link = ServerLink(answer.handler, listener.turn, listener.limits, request, answer.subprotocol)
        self.quiet.link = link
        self._is_link = True
        listener.became_link(self)
        # picows compares these two as a whole; what they say has been checked.
        raw.headers["Connection"] = "Upgrade"
        raw.headers["Upgrade"] = "websocket"
        chosen = {} if answer.subprotocol is None else {"Sec-WebSocket-Protocol": answer.subprotocol}
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(chosen), link)

    def _refuse(self, answer: Respond) -> WSUpgradeResponseWithListener:
        """A plain HTTP answer. A peer that does not read it is dropped in the end."""
        self._reaper = self._listener.loop.call_later(self._listener.limits.handshake_timeout, self.drop)
        response = WSUpgradeResponse()
        response.version = b"HTTP/1.1"
        response.status = HTTPStatus(answer.status)
        response.headers = CIMultiDict(answer.headers)
        response.body = answer.body
        if answer.body:
            response.headers["Content-Type"] = answer.content_type
        elif answer.status not in (204, 304):
            response.headers["Content-Length"] = "0"
        return WSUpgradeResponseWithListener(response, None)


class _Refusal(Exception):
    """The request is answered without, or in spite of, the router."""

    def __init__(self, response: Respond) -> None:
        super().__init__(response.status)
        self.response = response


def read_request(raw: WSUpgradeRequest, peer: str) -> Request:
    """Turn picows' request into ours. Raises _Refusal for a target that is no path."""
    target = raw.path.decode("latin-1")
    if target[:7].lower() == "http://" or target[:8].lower() == "https://":  # absolute form, RFC 9112 §3.2.2
        slash = target.find("/", 8)
        target = target[slash:] if slash >= 0 else "/"
    if not target.startswith("/"):
        raise _Refusal(Respond(400, b"not a path\n"))
    path, _, query = target.partition("?")
    headers = Headers(list(raw.headers.items()))
    is_upgrade = "websocket" in (token.lower() for token in headers.tokens("upgrade")) and "upgrade" in (
        token.lower() for token in headers.tokens("connection")
    )
    return Request(path, query, headers, peer, is_upgrade, headers.tokens("sec-websocket-protocol"))


def check_upgrade(request: Request) -> None:
    """RFC 6455 §4.2.1. Raises _Refusal."""
    headers = request.headers
    if headers.get("sec-websocket-version") != "13":
        raise _Refusal(Respond(426, b"WebSocket version 13 only\n", headers={"Sec-WebSocket-Version": "13"}))
    if "host" not in headers:
        raise _Refusal(Respond(400, b"no Host header\n"))
    try:
        key = b64decode(headers.get("sec-websocket-key", ""), validate=True)
    except (Base64Error, ValueError):
        key = b""
    if len(key) != 16:
        raise _Refusal(Respond(400, b"bad Sec-WebSocket-Key\n"))


def _unwatch_if_closing(loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    if transport.is_closing() and sock is not None and sock.fileno() >= 0:
        loop.remove_reader(sock.fileno())
