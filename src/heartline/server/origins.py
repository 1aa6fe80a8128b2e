"""Which pages may connect.

Invariant: a browser page of another origin gets 403 unless it was allowed (test_foreign_origins_are_refused).
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from heartline.transports.api import Request

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Origins:
    """Which browser pages may connect. Raises ValueError for what is no origin."""

    def __init__(self, allowed: Iterable[str] | str = ()) -> None:
        names = [allowed] if isinstance(allowed, str) else list(allowed)
        self._all = "*" in names
        self._allowed = frozenset(_origin(name) for name in names if name != "*")

    def allow(self, request: Request) -> bool:
        """Whether a request may become a link. Programs that are no browsers send no origin and may.

        A page may always connect to the host that served it.
        """
        origin = request.headers.get("origin")
        if origin is None or self._all:
            return True
        try:
            scheme, host, port = _parts(origin)
        except ValueError:
            return False
        if f"{scheme}://{host}:{port}" in self._allowed:
            return True
        try:
            _, own_host, own_port = _parts(f"{scheme}://{request.headers.get('host', '')}")
        except ValueError:
            return False
        return (host, port) == (own_host, own_port)


def _origin(name: object) -> str:
    try:
        if isinstance(name, str):
            scheme, host, port = _parts(name)
            return f"{scheme}://{host}:{port}"
    except ValueError:
        pass
    raise ValueError(f"origins: expected such as 'https://example.com', or '*', not {name!r}")


def _parts(origin: str) -> tuple[str, str, int]:
    """Scheme, host and port of an origin (RFC 6454). Raises ValueError."""
    parsed = urlsplit(origin)
    host, port = parsed.hostname, parsed.port or _DEFAULT_PORTS.get(parsed.scheme)
    if not host or port is None or parsed.path.strip("/") or parsed.query or parsed.fragment or "@" in parsed.netloc:
        raise ValueError(origin)
    return parsed.scheme, host, port
