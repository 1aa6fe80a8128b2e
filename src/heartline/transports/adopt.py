"""From a connected socket to a transport, with one owner at any time.

aiofastnet schedules `add_reader` when it makes a transport and does not take it back when the connection ends before
that, as it does where the peer has reset it; and its transports know their descriptor by number. So a socket closed
beside its transport leaves the loop watching a number that is nobody's, or the next socket's. libuv, which hands its
registrations to the kernel at the end of a turn, ends the process over one that is closed by then.

Invariants:
- The caller's socket object is empty from the call on: nobody but the transport closes the connection, or `adopt`
  where there is none (test_a_socket_that_no_transport_is_made_of_is_closed).
- What closes is not watched any more (test_a_dial_given_up_in_any_turn_leaves_no_descriptor_watched).
"""

import asyncio
import socket
import ssl as ssl_module
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiofastnet

__all__ = ["adopt"]


async def adopt(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    factory: Callable[[], Any],
    *,
    ssl: ssl_module.SSLContext | None = None,
    server_hostname: str | None = None,
) -> tuple[Any, Any]:
    """Make a transport of a connected socket, which is closed when that fails. Returns transport and protocol.

    Cancelled, it leaves the transport closing: who wants it gone sooner aborts it in the protocol. Raises OSError.
    """
    owned = _Owned(sock.family, sock.type, sock.proto, sock.detach())
    owned.loop = loop
    ours = [owned]
    # The transport is made, or fails to be, before the first wait. From that wait on it closes the socket.
    loop.call_soon(ours.clear)
    try:
        if ssl is None and not _is_proactor(loop):
            return await _adopt_plain(loop, owned, factory)
        made: tuple[Any, Any] = await aiofastnet.create_connection(
            loop, factory, sock=owned, ssl=ssl, server_hostname=server_hostname
        )
    except BaseException:
        for unused in ours:
            unused.close()
        raise
    return made


def _is_proactor(loop: asyncio.AbstractEventLoop) -> bool:
    """Windows' own loop, around whose transports aiofastnet puts its own."""
    proactor = getattr(asyncio, "ProactorEventLoop", None)
    return proactor is not None and isinstance(loop, proactor)


async def _adopt_plain(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, factory: Callable[[], Any]
) -> tuple[Any, Any]:
    """What `aiofastnet.create_connection` does without TLS, and without loading what TLS needs.

    That takes a tenth of the time from the start of a process to its first connection.
    """
    from aiofastnet.selector_transport import SelectorSocketTransport  # type: ignore[import-not-found]

    sock.setblocking(False)
    protocol = factory()
    made: asyncio.Future[None] = loop.create_future()
    transport = SelectorSocketTransport(loop, sock, protocol, waiter=made)
    try:
        await made
    except BaseException:
        transport.close()
        raise
    return transport, protocol


class _Owned(socket.socket):
    """A transport's socket: the loop forgets it before its number is free for another."""

    loop: asyncio.AbstractEventLoop | None = None  # None: a duplicate, which nobody watches

    def close(self) -> None:
        number = self.fileno()
        if self.loop is not None and number >= 0 and not self.loop.is_closed():
            with suppress(NotImplementedError):  # Windows' proactor watches no descriptors
                self.loop.remove_reader(number)
                self.loop.remove_writer(number)
        super().close()
