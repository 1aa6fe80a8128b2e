"""Opening a TCP connection to a name, whatever of its addresses answers (RFC 8305, "Happy Eyeballs").

Invariants:
- An address that swallows packets delays the next one by `STAGGER`, not by its own time-out: a network with broken
  IPv6 would otherwise use up every dial.
- What is an address already needs no look-up, no thread and nothing they load
  (test_an_address_is_not_looked_up).
- One socket comes out or none, also when the caller is cancelled; attempts that lost are gone a loop turn later.
"""

import asyncio
import socket
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any

__all__ = ["STAGGER", "open_tcp"]

STAGGER = 0.25  # seconds until the next address is tried beside those before

_Address = tuple[int, int, int, str, Any]


async def open_tcp(host: str, port: int) -> socket.socket:
    """Connect to host and port. Returns a connected, non-blocking socket that the caller owns. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = _numeric(host, port) or await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    waiting = interleave(found)
    attempts: set[asyncio.Task[socket.socket]] = set()
    error: OSError = OSError(f"{host} has no address")
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(loop.create_task(_attempt(loop, waiting.pop(0))))
            done, _ = await asyncio.wait(
                attempts, timeout=STAGGER if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                failure = attempt.exception()
                if failure is None:
                    attempts.discard(attempt)
                    return attempt.result()
                attempts.discard(attempt)
                if not isinstance(failure, OSError):
                    raise failure
                error = failure
        raise error
    finally:
        for attempt in attempts:
            _abandon(attempt)


def _numeric(host: str, port: int) -> list[Any]:
    """What `getaddrinfo` says of a host that is an address; nothing of a name. Never waits."""
    try:
        # as bytes: text would load the IDNA codec and its tables, for a name's sake
        return socket.getaddrinfo(
            host.encode("ascii"),
            port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
    except (socket.gaierror, UnicodeEncodeError):
        return []


def interleave(found: Iterable[Any]) -> list[_Address]:
    """Addresses in the resolver's order, its first family and the others alternating (RFC 8305 §4)."""
    families: dict[object, list[_Address]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    return [address for address in chain.from_iterable(zip_longest(*families.values())) if address is not None]


async def _attempt(loop: asyncio.AbstractEventLoop, address: _Address) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _abandon(attempt: asyncio.Task[socket.socket]) -> None:
    """End an attempt that lost, without waiting: the caller may be being cancelled itself."""
    attempt.cancel()
    attempt.add_done_callback(_discard)


def _discard(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()  # it connected in the same moment as the one that won
