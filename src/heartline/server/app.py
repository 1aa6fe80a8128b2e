"""`Server`: what an application declares, and how it is served.

Invariants:
- a browser page of another origin gets 403 unless it was allowed (test_foreign_origins_are_refused);
- stopping is graceful: no new links, clients asked to move, then closed (test_stopping_drains).
"""

import asyncio
import contextlib
import logging
import signal
import ssl as ssl_module
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from heartline.brokers.memory import MemoryBroker
from heartline.core.codes import Code
from heartline.core.names import check_name
from heartline.core.policy import Heartbeat, ServerLimits
from heartline.core.ports import Broker
from heartline.dialects.native import SUBPROTOCOL
from heartline.transports.api import Accept, Listener, Request, Respond, SocketLimits

from .channels import Channel, make_channel
from .handlers import make_handler
from .hub import Hub
from .logins import make_judge
from .options import Options, Trace
from .session import Session
from .socket import HubSocket

logger = logging.getLogger("heartline.server")
_encode = msgspec.json.Encoder().encode
_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int
    secure: bool
    path: str

    @property
    def url(self) -> str:
        """For clients."""
        return f"{'wss' if self.secure else 'ws'}://{self._netloc}{self.path}"

    @property
    def http_url(self) -> str:
        """For browsers and health checks."""
        return f"{'https' if self.secure else 'http'}://{self._netloc}/"

    @property
    def _netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Stats:
    """A snapshot of a serving process."""

    links: int
    sessions: int
    detached: int
    channels_followed: int
    messages_started: int
    entries_published: int


class Server:
    """An application: declare handlers and channels, then `run` it or use `serving`.

    `broker`: "memory://" (default) or a `Broker` of your own. `origins`: which browser pages may connect besides the
    server's own: a list of origins such as "https://example.com", or "*". `path`: where WebSockets are accepted.
    `anonymous`: whether clients that never say hello are served; by default only without a login hook.
    """

    def __init__(
        self,
        broker: str | Broker = "memory://",
        *,
        limits: ServerLimits | None = None,
        heartbeat: Heartbeat | None = None,
        origins: Iterable[str] | str = (),
        path: str = "/",
        anonymous: bool | None = None,
        presence_grace: float = 15.0,
        trace: Trace | None = None,
    ) -> None:
        if not path.startswith("/"):
            raise ValueError(f"path must begin with '/', not {path!r}")
        self._broker = _make_broker(broker)
        self._origins = "*" if origins == "*" else frozenset([origins] if isinstance(origins, str) else origins)
        self._path = path
        self._anonymous = anonymous
        self._options = Options(
            limits or ServerLimits(), heartbeat or Heartbeat(), presence_grace=presence_grace, trace=trace
        )
        self._hub: Hub | None = None
        self._judged = False

    # declaring

    def on(self, event: str, *, concurrent: bool = False, on_crash: str = "repeat") -> Callable[[_F], _F]:
        """Decorate the handler of an event: `(session, payload)`, `(payload)` or any of session, message, payload.

        What it returns is the reply to a call. `concurrent` lets it overlap with others of the same session.
        `on_crash`, with a durable broker: "repeat" starts it again after a crash, "unknown" never does.
        Raises TypeError for a function that cannot be a handler, ValueError for an event that has one.
        """
        check_name(event, "event")

        def register(function: _F) -> _F:
            if event in self._options.handlers:
                raise ValueError(f"event {event!r} has a handler already")
            self._options.handlers[event] = make_handler(event, function, concurrent=concurrent, on_crash=on_crash)
            return function

        return register

    def login(self, function: _F) -> _F:
        """Decorate the login: `(payload)` or `(payload, request)`, for every link and every renewal.

        It returns an `Identity` or its name, or raises `Refuse` (for good, or with `retry=` seconds for now).
        """
        self._options.judge = make_judge(function)
        self._judged = True
        return function

    def channel(
        self,
        pattern: str,
        *,
        history: int = 1000,
        ttl: float | None = None,
        history_bytes: int = 16 << 20,
        presence: bool = False,
        publish: bool = False,
    ) -> Channel:
        """Declare channels: "trades/{trader}"; `{rest:path}` takes slashes too.

        `history` entries of at most `history_bytes` and `ttl` seconds are kept for those who come back; 0 keeps none,
        and who misses some is told so. Used as a decorator the function judges subscriptions; see `Channel`.
        """
        rule = make_channel(
            pattern, history=history, ttl=ttl, history_bytes=history_bytes, presence=presence, publish=publish
        )
        self._options.channels.append(rule)
        return rule

    def page(self, path: str) -> Callable[[_F], _F]:
        """Decorate a function of a `Request` that answers GET `path` with `Respond`, str (HTML) or bytes."""

        def register(function: _F) -> _F:
            self._options.pages[path] = function
            return function

        return register

    def startup(self, function: _F) -> _F:
        """Decorate a function to be called, or awaited, before the port opens."""
        self._options.startup.append(function)
        return function

    def shutdown(self, function: _F) -> _F:
        """Decorate a function to be called, or awaited, after the last link is closed."""
        self._options.shutdown.append(function)
        return function

    def opened(self, function: _F) -> _F:
        """Decorate a function of (session, resumed), called whenever a session has a new link."""
        self._options.opened.append(function)
        return function

    def detached(self, function: _F) -> _F:
        """Decorate a function of (session), called when it has lost its link; it may come back."""
        self._options.detached.append(function)
        return function

    def ended(self, function: _F) -> _F:
        """Decorate a function of (session), called when a session is over."""
        self._options.ended.append(function)
        return function

    # acting

    async def publish(self, channel: str, event: str, data: Any = None, *, key: str | None = None) -> int:
        """Append an entry to a channel and return its offset; who follows gets it once and in order.

        The same `key` again within a while adds nothing. Raises ValueError for a channel no pattern matches,
        BrokerError when the broker cannot take it.
        """
        return await self._running().publish(check_name(channel, "channel"), event, _encode(data), key)

    def publish_now(self, channel: str, event: str, data: Any = None) -> None:
        """Tell those who follow a channel something that may be dropped; it has no offset and is not kept."""
        self._running().volatile(check_name(channel, "channel"), event, _encode(data))

    def sessions(self, identity: str | None = None) -> list[Session]:
        """The sessions of this process, of one identity or all, connected or not."""
        hub = self._running()
        cores = hub.node.sessions.values() if identity is None else hub.node.by_identity.get(identity, ())
        return [hub.facade(core) for core in cores]

    def presence(self, channel: str) -> list[str]:
        """Who follows a channel declared with `presence=True`."""
        return self._running().node.presence.members(channel)

    def stats(self) -> Stats:
        """Counts of this process, now."""
        hub = self._running()
        node = hub.node
        return Stats(
            len(node.links),
            len(node.sessions),
            len(node.detached),
            len(node.tails),
            hub.calls.started,
            hub.published,
        )

    # serving

    @asynccontextmanager
    async def serving(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ssl: ssl_module.SSLContext | None = None,
        drain: float = 0.0,
        reuse_port: bool = False,
    ) -> AsyncIterator[Address]:
        """Serve while the block runs. `drain`: seconds over which clients are asked to move away at the end."""
        from heartline.transports import listen

        if self._hub is not None:
            raise RuntimeError("this Server is serving already")
        options = self._options
        options.anonymous = not self._judged if self._anonymous is None else self._anonymous
        hub = self._hub = Hub(options, self._broker)
        try:
            await hub.start()
            for hook in options.startup:
                await _maybe(hook())
            limits = SocketLimits(max_message=options.limits.message, handshake_timeout=options.limits.hello_timeout)
            listener = await listen(self._route, host, port, ssl=ssl, limits=limits, reuse_port=reuse_port)
            try:
                where = listener.addresses[0]
                yield Address(str(where[0]), int(where[1]), ssl is not None, self._path)
            finally:
                await self._leave(hub, listener, drain)
        finally:
            self._hub = None
            await hub.stop()
            for hook in options.shutdown:
                await _maybe(hook())

    def run(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        *,
        ssl: ssl_module.SSLContext | None = None,
        drain: float = 5.0,
        ready: Callable[[Address], None] | None = None,
    ) -> None:
        """Serve until SIGINT or SIGTERM, then drain; a second signal stops at once. `ready` hears the address."""

        async def main() -> None:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            task = asyncio.current_task()

            def asked() -> None:
                if stop.is_set() and task is not None:
                    task.cancel()
                stop.set()

            for name in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(name, asked)
            async with self.serving(host, port, ssl=ssl, drain=drain) as address:
                (ready or (lambda address: logger.info("serving on %s", address.url)))(address)
                await stop.wait()

        try:
            _run(main())
        except asyncio.CancelledError:
            logger.warning("stopped without draining")

    async def _leave(self, hub: Hub, listener: Listener, drain: float) -> None:
        """Accept nothing more, ask clients to move, close what is left."""
        listener.close()
        if drain > 0 and hub.node.links:
            hub.node.drain_links(0.0, drain)
            hub.turn()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hub.idle.wait(), drain + 0.5)
        hub.node.close_links(Code.MOVED if drain > 0 else Code.GOING_AWAY, "the server stops")
        hub.turn()
        await listener.wait_closed()

    def _route(self, request: Request) -> Accept | Respond:
        """What the port answers to one request."""
        options = self._options
        if request.is_upgrade and request.path == self._path:
            if not self._origin_allowed(request):
                return Respond(403, b"this origin may not connect\n")
            assert self._hub is not None
            if SUBPROTOCOL in request.subprotocols:
                return Accept(HubSocket(self._hub, request), SUBPROTOCOL)
            if request.subprotocols:
                return Respond(400, f"offer the subprotocol {SUBPROTOCOL}, or none\n".encode())
            return Accept(HubSocket(self._hub, request))
        page = options.pages.get(request.path)
        if page is not None:
            return _respond(page(request))
        if request.path == "/health":
            return Respond(200, _encode({"status": "ok", **_as_dict(self.stats())}), "application/json")
        if request.path == self._path:
            return Respond(426, b"this is a WebSocket address (heartline.1)\n", headers={"Upgrade": "websocket"})
        return Respond(404, b"nothing here\n")

    def _origin_allowed(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        if origin is None or self._origins == "*" or origin in self._origins:
            return True
        return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower() != ""

    def _running(self) -> Hub:
        if self._hub is None:
            raise RuntimeError("this Server is not serving: use it inside `async with app.serving(…)` or a handler")
        return self._hub


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


def _make_broker(broker: "str | Broker") -> Broker:
    if not isinstance(broker, str):
        return broker
    if broker in {"memory://", "memory:"}:
        return MemoryBroker()
    raise ValueError(f"broker must be 'memory://' or a Broker, not {broker!r}")


def _respond(answer: Any) -> Respond:
    if isinstance(answer, Respond):
        return answer
    if isinstance(answer, str):
        return Respond(200, answer.encode(), "text/html; charset=utf-8")
    return Respond(200, answer, "application/octet-stream")


def _as_dict(stats: Stats) -> dict[str, int]:
    return {name: getattr(stats, name) for name in Stats.__slots__}


async def _maybe(value: Any) -> None:
    if hasattr(value, "__await__"):
        await value
