"""Dialling a WebSocket.

Invariants:
- A dial that fails, is cancelled or runs out of time leaves no socket, task or timer behind.
- What goes wrong on the way is a `DialError`; what is wrong with the arguments is a ValueError before anything is sent.
- No error text contains the URL, a header or a credential.
- Redirects are not followed: the login would go to somebody else.
- The server's choice of subprotocol is one that was offered, and it does choose when something is offered.
- The environment's proxy settings are not used.
"""

import asyncio
import os
import re
import socket
import ssl as ssl_module
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import aiofastnet

from .adopt import adopt
from .connect import open_tcp
from .link import ClientLink, LinkState
from .picows_names import WSHandshakeError, WSUpgradeRequest, WSUpgradeResponse
from .picows_protocol import HeartProtocol
from .plain import DialError, SocketLimits, check_headers
from .target import Target, target_of
from .turn import Turn

if TYPE_CHECKING:
    from .api import LinkHandler, Socket

__all__ = ["dial"]

READ_BUFFER = 16 * 1024

_OURS = frozenset(
    {
        "connection",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "content-length",
        "transfer-encoding",
    }
)
_STATUS_LINE = rb"HTTP/1\.[01] (\d{3})"
# A request may be repeated after these (RFC 9110 §15.5.9, RFC 8470, RFC 6585).
_RETRYABLE_4XX = frozenset({408, 425, 429})


async def dial(
    url: str,
    handler: "LinkHandler",
    *,
    subprotocols: Sequence[str] = ("heartline.1",),
    headers: Mapping[str, str] | None = None,
    ssl: ssl_module.SSLContext | None = None,
    proxy: str | None = None,
    timeout: float = 10.0,  # covers what callers cannot see: names, TLS, the proxy
    limits: SocketLimits | None = None,
) -> "Socket":
    """Open a WebSocket and return its socket; `handler.on_open` has been called then.

    `url`: ws:// or wss://, without user and password. `ssl`: for wss, instead of the system's trust. `proxy`:
    http://, https://, socks4:// or socks5://, with user and password where it wants them. `timeout`: seconds for
    everything together, from looking up the name to the end of the handshake.
    Raises DialError, ValueError for arguments that can never work, CancelledError.
    """
    target = target_of("url", url, ("ws", "wss"))
    through = None if proxy is None else target_of("proxy", proxy, ("http", "https", "socks4", "socks5"))
    if target.has_credentials:
        raise ValueError("url: credentials are not taken from the URL, use headers= or a login payload")
    if ssl is not None and not target.is_secure:
        raise ValueError("ssl: expected None for a ws:// URL")
    sent = dict(headers or {})
    check_headers(sent)
    if ours := _OURS.intersection(name.lower() for name in sent):
        raise ValueError(f"headers: {', '.join(sorted(ours))} are set by the transport")
    if subprotocols:
        sent["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
    attempt = _Dial(target, through, handler, tuple(subprotocols), sent, ssl, limits or SocketLimits())
    try:
        async with asyncio.timeout(timeout):
            return await attempt.run()
    except TimeoutError:
        raise DialError(f"no connection within {timeout:g} s") from None


class _Dial:
    """One attempt, and what it holds until it has become a link."""

    def __init__(
        self,
        target: Target,
        proxy: Target | None,
        handler: "LinkHandler",
        subprotocols: tuple[str, ...],
        headers: dict[str, str],
        ssl: ssl_module.SSLContext | None,
        limits: SocketLimits,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.target = target
        self.proxy = proxy
        self.subprotocols = subprotocols
        self.ssl = (ssl or ssl_module.create_default_context()) if target.is_secure else None
        if self.ssl is not None:
            from .tls import hush_hang_ups

            hush_hang_ups(self.loop)
        self.link = ClientLink(handler, Turn(self.loop), limits)
        self.protocol = HeartProtocol(
            self._answered,
            max_message=limits.max_message,
            read_buffer=READ_BUFFER,
            host=target.host_header,
            path=target.resource,
            headers=headers,
        )
        self._holds: list[asyncio.Transport] = []  # what has to be closed when this fails, in the order it came

    async def run(self) -> "Socket":
        try:
            await self._connect()
            await self.protocol.wait_until_handshake_complete()
            if self.link.state is LinkState.OPENING:
                raise DialError("the connection was closed before the handshake was done")
        except BaseException as error:
            self._drop()
            if isinstance(error, DialError) or not isinstance(error, Exception):
                raise
            raise _explain(error) from error
        return self.link

    async def _connect(self) -> None:
        host = self.target.host
        if self.proxy is None:
            sock = await open_tcp(host, self.target.port)
        else:
            from .proxies import connect_through

            found = await connect_through(self.proxy, self.target, self.ssl, self._open_proxy)
            if not isinstance(found, socket.socket):
                await self._take_over(found)
                return
            sock = found
        name = host if self.ssl is not None else None
        transport, _ = await adopt(self.loop, sock, self._protocol, ssl=self.ssl, server_hostname=name)
        self._holds = [transport]

    async def _open_proxy(
        self,
        factory: Callable[[], Any],
        host: str,
        port: int,
        *,
        ssl: ssl_module.SSLContext | None,
        server_hostname: str | None,
        sock: None,
    ) -> tuple[Any, Any]:
        """Connect to an HTTP proxy, for picows, which gives its arguments as to `create_connection`."""
        return await adopt(self.loop, await open_tcp(host, port), factory, ssl=ssl, server_hostname=server_hostname)

    async def _take_over(self, transport: asyncio.Transport) -> None:
        """Speak WebSocket over a connection that leads through a proxy."""
        self._holds = [transport]
        if self.ssl is not None:
            transport = await aiofastnet.start_tls(
                self.loop, transport, transport.get_protocol(), self.ssl, server_hostname=self.target.host
            )
            self._holds.append(transport)
        transport.set_protocol(self.protocol)
        self.protocol.connection_made(transport)

    def _protocol(self) -> HeartProtocol:
        return self.protocol

    def _answered(self, request: WSUpgradeRequest, response: WSUpgradeResponse) -> ClientLink:
        """picows' listener factory: the server said 101, and picows has checked its key."""
        chosen = response.headers.get("Sec-WebSocket-Protocol")
        if "Sec-WebSocket-Extensions" in response.headers:
            raise DialError("the server uses a WebSocket extension that was not offered", 101, retryable=False)
        if chosen is None and self.subprotocols:
            raise DialError("the server chose none of the subprotocols offered", 101, retryable=False)
        if chosen is not None and chosen not in self.subprotocols:
            raise DialError("the server chose a subprotocol that was not offered", 101, retryable=False)
        self.link.negotiated(chosen)
        self.protocol.quiet.link = self.link
        return self.link

    def _drop(self) -> None:
        if self.protocol.transport is not None:  # made, though the call that makes it was cancelled
            self.protocol.transport.disconnect(graceful=False)
        for held in reversed(self._holds):
            held.abort()


def _explain(error: Exception) -> DialError:
    """Say in our own words what went wrong: other libraries' texts may quote URLs and headers."""
    if isinstance(error, WSHandshakeError):
        return _explain_answer(error)
    if isinstance(error, ssl_module.SSLCertVerificationError):
        return DialError(f"the server's certificate is not trusted: {error.verify_message}")
    if isinstance(error, ssl_module.SSLError):
        return DialError(f"TLS failed: {error.reason or type(error).__name__}")
    if isinstance(error, socket.gaierror):
        return DialError("the server's name could not be looked up")
    if isinstance(error, ConnectionRefusedError):
        return DialError("connection refused")
    if isinstance(error, OSError):
        # not strerror: asyncio puts the address into it
        return DialError(f"connection failed: {os.strerror(error.errno) if error.errno else type(error).__name__}")
    return DialError(f"the dial failed: {type(error).__name__}")


def _explain_answer(error: WSHandshakeError) -> DialError:
    match = re.match(_STATUS_LINE, error.raw_header or b"")
    status = int(match[1]) if match else None
    if status is None:
        return DialError("the answer is no HTTP")
    if status == 101:
        return DialError("the server's handshake is wrong", 101, retryable=False)
    # 2xx and 3xx come from captive portals and maintenance pages, 5xx from proxies without a server: all may pass.
    retryable = not 400 <= status < 500 or status in _RETRYABLE_4XX
    return DialError(f"the server answered HTTP {status}", status, retryable)
