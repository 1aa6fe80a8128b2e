"""Small things that links and dials need besides a socket: limits, checked headers, a dial's error, a peer's name.

Invariant: a client's first connection loads this and not `api`, whose requests and answers only servers have
(test_a_first_connection_loads_no_more_than_it_needs).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from asyncio import BaseTransport

__all__ = ["DialError", "SocketLimits", "check_headers", "peer_name"]

_FORBIDDEN_IN_HEADER = frozenset("\r\n\0")


class SocketLimits(Struct, frozen=True):
    """Limits of one socket (bytes and seconds) and of one listener (`max_links`, None: as many as the system allows).

    `max_message`: a longer message is refused with 1009, over all its fragments.
    `write_high`, `write_low`: a socket is congested above the first until it falls to the second.
    `write_limit`: unsent bytes at which a peer counts as stalled and is closed with 4004.
    """

    max_message: int = 1 << 20
    handshake_timeout: float = 10.0
    write_high: int = 1 << 20
    write_low: int = 1 << 18
    write_limit: int = 8 << 20
    max_links: int | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name == "handshake_timeout":
                if not isinstance(value, int | float):
                    raise TypeError(f"{name}: expected seconds, got {value!r}")
            elif not isinstance(value, int) and not (name == "max_links" and value is None):
                raise TypeError(f"{name}: expected a whole number, got {value!r}")
        if self.max_message < 1:
            raise ValueError(f"max_message: expected at least 1 byte, got {self.max_message}")
        if self.handshake_timeout <= 0:
            raise ValueError(f"handshake_timeout: expected seconds above 0, got {self.handshake_timeout}")
        if not 0 <= self.write_low <= self.write_high <= self.write_limit:
            raise ValueError("write_low, write_high, write_limit: expected 0 <= write_low <= write_high <= write_limit")
        if self.max_links is not None and self.max_links < 0:
            raise ValueError(f"max_links: expected None or at least 0, got {self.max_links}")


class DialError(Exception):
    """A dial that did not become a link.

    `reason` is safe to show (no URL, header or credential in it); `status` is the HTTP status where one was given;
    `retryable` is False when dialling again in the same way cannot help.
    """

    def __init__(self, reason: str, status: int | None = None, retryable: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retryable = retryable


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise TypeError for what are no headers, ValueError for one that could break out of its line."""
    given: object = headers
    if not isinstance(given, Mapping) or not all(isinstance(text, str) for line in given.items() for text in line):
        raise TypeError("headers: expected a mapping of names to texts")
    for name, value in headers.items():
        if not name or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"headers: {name!r} is not a header name")
        if not _FORBIDDEN_IN_HEADER.isdisjoint(value):
            raise ValueError(f"headers: the value of {name!r} has a line break or a NUL in it")


def peer_name(transport: "BaseTransport") -> str:
    """The other end as "host:port"; the path of a Unix socket; "unknown" when it is gone already."""
    peer = transport.get_extra_info("peername")
    if isinstance(peer, tuple):
        host, port = str(peer[0]), peer[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(peer) if peer else "unknown"
