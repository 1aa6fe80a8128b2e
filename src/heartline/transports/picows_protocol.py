"""The one place that knows picows beyond its public names.

picows' `ws_create_server` and `ws_connect` hide the connection until the handshake is done. A server needs it before
(whose address is it, how many are waiting, drop them on close), a client too (a cancelled dial must close its
socket). Both are thin wrappers around `WSProtocol`, so that class is used directly, by keyword: another version of
picows fails at the first connection with a TypeError, and `test_picows_protocol` names what changed.

Invariants:
- picows writes nothing to any log: it would log each connection at INFO, each bad frame at ERROR, and with debugging
  on whole handshakes with their credentials.
- A fault that picows' parser finds reaches the link before picows acts on it.
"""

import contextlib
from asyncio import Transport
from typing import Any

from .link import Link
from .picows_names import WSAutoPingStrategy, WSProtocol, WSTransport

__all__ = ["HeartProtocol", "Quiet"]


class Quiet:
    """What picows takes for its logger. Nothing is written; errors are passed to the link they are about."""

    __slots__ = ("link",)

    def __init__(self) -> None:
        self.link: Link | None = None

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # the name of logging.Logger
        return False

    def info(self, message: str, *args: Any) -> None:
        pass

    debug = warning = info

    def log(self, level: int, message: str, *args: Any) -> None:
        pass

    def error(self, message: str, *args: Any) -> None:
        """From picows' frame parser, with (code, text), before it sends its close frame."""
        if self.link is None:
            return
        fault = args[0] if args and isinstance(args[0], tuple) and len(args[0]) == 2 else (1002, "")
        code = getattr(fault[0], "value", fault[0])
        text = "message too big" if code == 1009 else str(fault[1])
        self.link.parser_failed(code if isinstance(code, int) else 1002, text)

    def exception(self, message: str, *args: Any) -> None:
        self.error(message)


class HeartProtocol(WSProtocol):  # type: ignore[misc]  # no stubs
    """picows' protocol, set up as heartline needs it."""

    __slots__ = ("quiet",)

    transport: Any
    listener: Any

    def __init__(
        self,
        listener_factory: Any,
        *,
        max_message: int,
        read_buffer: int,
        host: str | None = None,
        path: str | None = None,
        headers: dict[str, str] | None = None,
        handshake_timeout: float | None = None,
    ) -> None:
        self.quiet: Quiet = Quiet()
        super().__init__(
            host_port=host,
            ws_path=path,
            is_client_side=host is not None,
            ws_listener_factory=listener_factory,
            logger=self.quiet,
            disconnect_on_exception=True,
            websocket_handshake_timeout=handshake_timeout,
            enable_auto_ping=False,
            auto_ping_idle_timeout=10,
            auto_ping_reply_timeout=10,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,  # the link answers, so that it knows of the sign of life
            max_frame_size=max_message,
            extra_headers=headers,
            read_buffer_init_size=read_buffer,
        )

    def connection_made(self, transport: Transport) -> None:
        try:
            super().connection_made(transport)
        except OSError:  # setsockopt on a connection that was reset already
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            if self.transport is not None:
                super().connection_lost(exc)
                if self.transport.is_client_side:
                    _take_outcome(self.transport)
        finally:
            self.quiet.link = None  # or link, transport and logger keep each other alive

    def eof_received(self) -> bool:
        if self.quiet.link is not None:
            self.quiet.link.eof()
        return False


def _take_outcome(transport: WSTransport) -> None:
    """Look at the exception picows keeps for `wait_disconnected`, or asyncio logs that nobody did.

    The future behind it is done, so the coroutine never waits and needs no task.
    """
    with contextlib.suppress(Exception, StopIteration):
        transport.wait_disconnected().send(None)
