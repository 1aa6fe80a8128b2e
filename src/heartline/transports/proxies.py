"""The way through an HTTP CONNECT or SOCKS proxy. Loaded by a dial that has one: python-socks takes its time.

Invariant: a proxy's own failures are a `DialError`; everything else is raised as it came.
"""

import asyncio
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Callable
from typing import Any

from picows.proxy import ConnectedTransport, connect_through_optional_proxy
from picows.url import parse_url
from python_socks import ProxyError

from .plain import DialError
from .target import Target

__all__ = ["connect_through"]


async def connect_through(
    proxy: Target,
    target: Target,
    ssl: ssl_module.SSLContext | None,
    create: Callable[..., Awaitable[Any]],
) -> socket.socket | asyncio.Transport:
    """Connect to `target` by way of `proxy`: a SOCKS proxy's socket, or a transport over an HTTP proxy's tunnel."""
    loop = asyncio.get_running_loop()
    try:
        found = await connect_through_optional_proxy(
            loop, parse_url(target.url), parse_url(proxy.url, False), None, ssl, None, {}, create
        )
    except ProxyError as error:
        raise DialError(f"the proxy failed: {error}") from error
    if isinstance(found, ConnectedTransport):
        return found.transport
    assert found.sock is not None
    return found.sock
