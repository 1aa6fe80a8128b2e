"""Where a dial goes: a URL as host, port and request target.

Invariants:
- what is percent-encoded stays as it is, what may not stand in a request line is encoded, and nothing of path and query
  is lost (test_paths_go_out_as_they_are_written);
- no error text contains the URL (test_arguments_that_can_never_work_are_value_errors).
"""

from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from msgspec import Struct

__all__ = ["Target", "target_of"]

_KEPT = ":/?#[]@!$&'()*+,;=%"
_SECURE = frozenset({"wss", "https"})


class Target(Struct, frozen=True):
    """A server or a proxy. `resource`: path and query as they stand in a request line."""

    url: str
    host: str
    port: int
    resource: str
    is_secure: bool
    has_credentials: bool

    @property
    def host_header(self) -> str:
        """RFC 9110 §7.2: with the port unless that is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _port_of(self.is_secure) else f"{host}:{self.port}"


def target_of(name: str, url: str, schemes: tuple[str, ...]) -> Target:
    """Take a URL apart. Raises ValueError naming the argument for one that is none of these schemes."""
    try:
        parts = _ascii(urlsplit(url))
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in schemes or host is None or parts.fragment:
        raise ValueError(f"{name}: expected a URL that begins with {', '.join(f'{s}://' for s in schemes)}")
    is_secure = parts.scheme in _SECURE
    return Target(
        url=urlunsplit(parts),
        host=host,
        port=port or _port_of(is_secure),
        resource=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        is_secure=is_secure,
        has_credentials=parts.username is not None or parts.password is not None,
    )


def _port_of(is_secure: bool) -> int:
    return 443 if is_secure else 80


def _ascii(parts: SplitResult) -> SplitResult:
    """The URL as it may stand in a request line. What is percent-encoded already is left alone."""
    netloc = parts.netloc if parts.netloc.isascii() else _ascii_netloc(parts)
    return parts._replace(netloc=netloc, path=quote(parts.path, _KEPT), query=quote(parts.query, _KEPT))


def _ascii_netloc(parts: SplitResult) -> str:
    before, at, _ = parts.netloc.rpartition("@")
    host = (parts.hostname or "").encode("idna").decode()
    return quote(before, _KEPT) + at + host + (f":{parts.port}" if parts.port is not None else "")
