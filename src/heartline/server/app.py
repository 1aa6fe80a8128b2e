"""`Server`: what an application declares, and how it is served.

Invariants:
- stopping is graceful: no new links, clients asked to move, then closed (test_stopping_drains);
- applications on one port start and stop together, and share nothing but the port (test_mounted_applications);
- a second signal ends it at once (test_a_second_signal_stops_at_once);
- whatever fails while it starts or stops, every shutdown hook runs and the port is free
  (test_hooks_that_fail).
"""

import asyncio
import inspect
import logging
import signal
import ssl as ssl_module
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from heartline.brokers.urls import make_broker
from heartline.core.names import check_name, check_texts
from heartline.core.policy import Heartbeat, ServerLimits
from heartline.core.ports import Broker
from heartline.dialects.spec import Dialect
from heartline.transports.api import SocketLimits

from .channels import Channel, make_channel
from .handlers import make_handler
from .hub import Hub
from .logins import make_judge
from .options import Options, Trace
from .origins import Origins
from .port import Port, check_paths
from .serving import leave, maybe, run_all, run_loop
from .session import Session
from .spoken import make_spoken
from .stats import Address, Stats

logger: logging.Logger = logging.getLogger("heartline.server")
_F = TypeVar("_F", bound=Callable[..., Any])


class Server:
    """An application: declare handlers and channels, then `run` it or use `serving`.

    `broker`: "memory://" (default), "sqlite:///app.db" for what has to survive a restart, or a `Broker` of your own. `origins`: which browser pages may connect besides those
    of the server's own host: origins such as "https://example.com", or "*" for all. `path`: where WebSockets are
    accepted. `anonymous`: whether clients that never say hello are served; by default only without a login hook.
    `presence_grace`: seconds for which a member who lost the link still counts as present. `trace(now, what, details)`
    is told what matters, never payload or secrets. Raises ValueError.
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
        _check_path(path)
        limits = limits or ServerLimits()
        self._anonymous = anonymous
        self._options = Options(
            limits,
            heartbeat or Heartbeat(),
            path,
            Origins(origins),
            anonymous=True if anonymous is None else anonymous,
            presence_grace=presence_grace,
            trace=trace,
        )
        self._broker = make_broker(broker, limits.time_to_resume(durable=True)) if isinstance(broker, str) else broker
        self._hub: Hub | None = None
        self._mounted: list[Server] = []

    # declaring

    def on(self, event: str, *, concurrent: bool = False, on_crash: str = "repeat") -> Callable[[_F], _F]:
        """Decorate the handler of an event, a function or coroutine function of session, message, payload or none.

        The payload has to fit its annotation (any type msgspec knows), and what is returned, the reply to a call, that
        of the return value; otherwise the client is told `invalid`, naming the field, or `failed`. A parameter without
        annotation is the session or the message if it is called so. Raise `Refuse` to say no.

        Handlers of one session run one after another; `concurrent` lets this one overlap with them, and then only
        starts are ordered. `on_crash`, with a durable broker: "repeat" starts a message again after a crash of the
        server, "unknown" never does. A `def` handler blocks the loop while it runs, and shares its context variables.

        Raises TypeError for a function that cannot be a handler, ValueError for an event that has one.
        """
        check_name(event, "event")

        def register(function: _F) -> _F:
            if event in self._options.handlers:
                raise ValueError(f"event {event!r} has a handler already")
            self._options.handlers[event] = make_handler(event, function, concurrent=concurrent, on_crash=on_crash)
            if concurrent:
                self._options.overlapping.add(event)
            return function

        return register

    def login(self, function: _F) -> _F:
        """Decorate the login: `(payload)` or `(payload, request)`, for every link and every renewal.

        It returns an `Identity` or its name, or raises `Refuse` (for good, or with `retry=` seconds for now). It has
        `ServerLimits.hello_timeout` seconds. Raises TypeError for another function, ValueError if there is one.
        """
        if self._options.judged:
            raise ValueError("there is a login already")
        self._options.judge = make_judge(function)
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
        """Declare channels: "trades/{trader}"; `{rest:path}` takes slashes too. The first that matches counts.

        `history` entries of at most `history_bytes` and `ttl` seconds are kept for those who come back; 0 keeps none,
        and who misses some is told so. `presence`: who follows can be followed itself. `publish`: clients may publish.
        Used as a decorator the function judges subscriptions; see `Channel`. Raises TypeError and ValueError.
        """
        if any(rule.pattern == pattern for rule in self._options.channels):
            raise ValueError(f"channel {pattern!r} is declared already")
        rule = make_channel(
            pattern, history=history, ttl=ttl, history_bytes=history_bytes, presence=presence, publish=publish
        )
        self._options.channels.append(rule)
        return rule

    def speak(self, path: str, dialect: Dialect | str, *, channel: Callable[[Any], str | None] | None = None) -> None:
        """Serve clients of another dialect on `path`, with the same handlers, login, channels and limits.

        `dialect` is a `Dialect` or the name of a preset: "heart", "card", "echo", "trades", "community", "okx",
        "phoenix", "plain". `channel` gets what a subscription asks for (`$args`) and returns the channel it means, or
        None if it is no subscription but an ordinary message; it is needed where the dialect does not name channels.
        Sessions of such clients end with their links. Raises TypeError and ValueError.
        """
        _check_path(path)
        if path in self._options.paths:
            raise ValueError(f"path {path!r} is served already")
        self._options.spoken[path] = make_spoken(path, dialect, channel)

    def mount(self, other: "Server") -> None:
        """Serve another application, its paths and pages, on the port of this one.

        It keeps its own handlers, login, broker, channels and limits, and starts and stops with this one; `/health`
        tells of both. Raises TypeError, and ValueError where both want the same path.
        """
        if not isinstance(other, Server):
            raise TypeError(f"other must be a Server, not {type(other).__name__}")
        everybody = [*self._everybody(), *other._everybody()]
        if len(set(map(id, everybody))) < len(everybody):
            raise ValueError("other is served on this port already")
        check_paths([one._options for one in everybody])
        self._mounted.append(other)

    def page(self, path: str) -> Callable[[_F], _F]:
        """Decorate a function of a `Request` that answers GET `path` with `Respond`, str (HTML) or bytes, at once."""
        _check_path(path)
        if path in self._options.pages:
            raise ValueError(f"page {path!r} is there already")

        def register(function: _F) -> _F:
            if inspect.iscoroutinefunction(function):
                raise TypeError(f"the page {path!r} must be an ordinary function: it answers at once")
            self._options.pages[path] = function
            return function

        return register

    def startup(self, function: _F) -> _F:
        """Decorate a function to be called, or awaited, before the port opens."""
        self._options.startup.append(function)
        return function

    def shutdown(self, function: _F) -> _F:
        """Decorate a function to be called, or awaited, after the last link is closed, also if starting failed."""
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

        The same `key` again within a while adds nothing. Raises ValueError for a channel no pattern matches and for
        data larger than `ServerLimits.message`, TypeError for data that is no JSON, BrokerError when the broker cannot
        take it.
        """
        if type(channel) is not str or type(event) is not str:
            check_texts(channel=channel, event=event)
        if key is not None:
            check_texts(key=key)
        return await self._running().entries.publish(channel, event, data, key)

    def publish_now(self, channel: str, event: str, data: Any = None) -> None:
        """Tell those who follow a channel something that may be dropped; it has no offset and is not kept.

        Raises as `publish` does, but for the broker, which is not asked.
        """
        if type(channel) is not str or type(event) is not str:
            check_texts(channel=channel, event=event)
        self._running().entries.volatile(channel, event, data)

    def sessions(self, identity: str | None = None) -> list[Session]:
        """The sessions of this process, of one identity or all, connected or not."""
        if identity is not None:
            check_texts(identity=identity)
        hub = self._running()
        cores = hub.node.sessions.values() if identity is None else hub.node.by_identity.get(identity, ())
        return [hub.facade(core) for core in cores]

    def presence(self, channel: str) -> list[str]:
        """Who follows a channel declared with `presence=True`."""
        check_texts(channel=channel)
        return self._running().node.presence.members(channel)

    def stats(self) -> Stats:
        """Counts of this process, now."""
        return Stats.of(self._running())

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
        """Serve while the block runs.

        At its end no new links are taken, and for `drain` seconds clients are asked to move away and what runs may
        end. Then links are closed and what still runs is cancelled. Raises OSError when the port cannot be had, and
        what a hook or the broker raised.
        """
        from heartline.transports import listen

        everybody = self._everybody()
        check_paths([one._options for one in everybody])
        all_limits = [one._options.limits for one in everybody]
        limits = SocketLimits(
            max_message=max(one.message for one in all_limits),
            handshake_timeout=max(one.hello_timeout for one in all_limits),
        )
        async with AsyncExitStack() as stack:
            hubs = [await stack.enter_async_context(one._started()) for one in everybody]
            listener = await listen(Port(hubs).route, host, port, ssl=ssl, limits=limits, reuse_port=reuse_port)
            try:
                where = listener.addresses[0]
                yield Address(str(where[0]), int(where[1]), ssl is not None, self._options.path)
            finally:
                await leave(hubs, listener, drain)

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[Hub]:
        """The application without a port: its broker and hooks."""
        if self._hub is not None:
            raise RuntimeError("this Server is serving already")
        options = self._options
        options.anonymous = not options.judged if self._anonymous is None else self._anonymous
        hub = self._hub = Hub(options, self._broker)
        try:
            await hub.start()
            for hook in options.startup:
                await maybe(hook())
            yield hub
        finally:
            try:
                await hub.stop()
            finally:
                self._hub = None
                await run_all(options.shutdown)

    def _everybody(self) -> "list[Server]":
        """This application and those mounted on it."""
        return [self, *(one for other in self._mounted for one in other._everybody())]

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
                try:
                    loop.add_signal_handler(name, asked)
                except NotImplementedError:  # Windows: ctrl-C ends it as it ends every program
                    break
            async with self.serving(host, port, ssl=ssl, drain=drain) as address:
                (ready or (lambda address: logger.info("serving on %s", address.url)))(address)
                await stop.wait()

        try:
            run_loop(main())
        except asyncio.CancelledError:
            logger.warning("stopped without draining")

    def _running(self) -> Hub:
        if self._hub is None:
            raise RuntimeError("this Server is not serving: use it inside `async with app.serving(…)` or a handler")
        return self._hub


def _check_path(path: object) -> None:
    check_texts(path=path)
    if not str(path).startswith("/"):
        raise ValueError(f"path must begin with '/', not {path!r}")
