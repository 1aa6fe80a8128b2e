"""What `connect` was told, checked at once.

Invariants:
- an argument that can never work raises TypeError or ValueError naming it, before anything is dialled
  (test_connect_refuses_nonsense);
- neither URL, headers nor login show when options are printed (test_options_hide_secrets).
"""

import os
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from msgspec import Raw, Struct, field, json

from heartline.core.names import check_texts
from heartline.core.policy import BackOff, ClientPolicy, OutboxLimits
from heartline.dialects.native import SUBPROTOCOL
from heartline.transports.plain import SocketLimits, check_headers

if TYPE_CHECKING:
    from heartline.core.ports import Trace
    from heartline.dialects.spec import Dialect

_T = TypeVar("_T")
Source: TypeAlias = _T | Callable[[], _T] | Callable[[], Awaitable[_T]]
"""A value, or a function or coroutine function that gives one each time it is needed."""

_WEB_SOCKET = ("ws", "wss")
_PROXY = ("http", "https", "socks4", "socks5")


class Options(Struct, frozen=True):
    """Everything about one connection. `policy` holds times and limits."""

    url: str
    policy: ClientPolicy
    login: Any = None
    headers: Source[Mapping[str, str]] | None = None
    ssl: ssl_module.SSLContext | None = None
    proxy: str | None = None
    limits: SocketLimits = field(default_factory=SocketLimits)
    about: Mapping[str, str] = {}
    trace: "Trace | None" = None
    linger: float = 5.0
    outbox: str | None = None
    """the absolute path of a file"""
    dialect: "Dialect | None" = None
    params: Mapping[str, Any] = {}
    keep: Mapping[str, Any] = {}

    def __repr__(self) -> str:  # the rest may tell secrets
        return f"<Options, policy={self.policy}, limits={self.limits}, outbox={self.outbox}>"

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """What is asked for in the upgrade request."""
        if self.dialect is None:
            return (SUBPROTOCOL,)
        return () if self.dialect.subprotocol is None else (self.dialect.subprotocol,)

    def __post_init__(self) -> None:
        parsed = _check_url("url", self.url, _WEB_SOCKET)
        if parsed.username is not None or parsed.password is not None:
            raise ValueError("url: credentials are not taken from the URL, use login= or headers=")
        if parsed.fragment:
            raise ValueError("url: a fragment (#…) is never sent, leave it out")
        if self.proxy is not None:
            _check_url("proxy", self.proxy, _PROXY)
        if self.ssl is not None and not isinstance(self.ssl, ssl_module.SSLContext):
            raise TypeError(f"ssl: expected an ssl.SSLContext or None, got {type(self.ssl).__name__}")
        if self.ssl is not None and parsed.scheme != "wss":
            raise ValueError("ssl: expected None for a ws:// URL")
        if self.headers is not None and not callable(self.headers):
            check_headers(self.headers)
        if not callable(self.login):
            encode("login", self.login)
        for name in ("params", "keep"):
            given = getattr(self, name)
            if not isinstance(given, Mapping):
                raise TypeError(f"{name}: expected a mapping, got {type(given).__name__}")
            if given and self.dialect is None:
                raise ValueError(f"{name}: only a dialect has them, connect(…, dialect=…)")
            encode(name, dict(given))
        self._check_kinds()
        if not self.linger >= 0:
            raise ValueError(f"linger: expected seconds, 0 or more, got {self.linger!r}")

    def _check_kinds(self) -> None:
        check_texts(**self.about)
        if self.trace is not None and not callable(self.trace):
            raise TypeError(f"trace: expected a function, got {type(self.trace).__name__}")
        limits: object = self.limits
        if not isinstance(limits, SocketLimits):
            raise TypeError(f"limits: expected SocketLimits or None, got {type(limits).__name__}")
        linger: object = self.linger
        if not isinstance(linger, int | float):
            raise TypeError(f"linger: expected seconds, got {linger!r}")


def dialect_of(dialect: "Dialect | str | None", policy: ClientPolicy | None = None) -> "Dialect | None":
    """`dialect=`: a value, or a preset's name, with the heartbeat of `policy=` where that has one."""
    if dialect is None:
        return None
    from msgspec import structs

    from heartline.dialects import presets
    from heartline.dialects.spec import Beat, Dialect

    if isinstance(dialect, str):
        dialect = presets.load(dialect)
    if not isinstance(dialect, Dialect):
        raise TypeError(f"dialect: expected a Dialect, a preset's name or None, got {type(dialect).__name__}")
    heartbeat = policy.heartbeat if isinstance(policy, ClientPolicy) else None
    if heartbeat is None:
        return dialect
    beat = structs.replace(dialect.beat or Beat(), interval=heartbeat.interval, timeout=heartbeat.timeout)
    return structs.replace(dialect, beat=beat)


def _policy_of_dialect(dialect: "Dialect | None") -> ClientPolicy:
    if dialect is None:
        return ClientPolicy()
    wish = dialect.reconnect
    back_off = BackOff(base=wish.delay, cap=wish.cap, stable=wish.stable, least=0.5)
    return ClientPolicy(back_off=back_off, max_attempts=wish.attempts)


def policy_of(policy: ClientPolicy | None, outbox: object, dialect: "Dialect | None" = None) -> ClientPolicy:
    """One policy out of `policy=`, `outbox=` and `dialect=`."""
    if policy is None:
        policy = _policy_of_dialect(dialect)
    elif not isinstance(policy, ClientPolicy):
        raise TypeError(f"policy: expected a ClientPolicy or None, got {type(policy).__name__}")
    if outbox is None:
        return policy
    if isinstance(outbox, OutboxLimits):
        return ClientPolicy(
            heartbeat=policy.heartbeat,
            back_off=policy.back_off,
            outbox=outbox,
            connect_timeout=policy.connect_timeout,
            hello_timeout=policy.hello_timeout,
            max_attempts=policy.max_attempts,
        )
    if isinstance(outbox, str | os.PathLike):
        return policy
    raise TypeError(f"outbox: expected a file's path, OutboxLimits or None, got {type(outbox).__name__}")


def path_of(outbox: object) -> str | None:
    """The absolute path of the file of a durable outbox, None for one in memory."""
    if not isinstance(outbox, str | os.PathLike):
        return None
    path = os.fspath(outbox)
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"outbox: expected the path of a file, got {path!r}")
    return os.path.join(os.getcwd(), path)  # pathlib would be loaded for this alone


def encode(argument: str, value: object) -> bytes:
    """A value as JSON. Raises TypeError or ValueError naming the argument."""
    try:
        return json.encode(value)
    except TypeError as error:
        raise TypeError(f"{argument}: cannot be written as JSON: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{argument}: cannot be written as JSON: {error}") from None


async def ask(source: Any) -> Any:
    """The value of a `Source`, now."""
    value = source() if callable(source) else source
    return await value if isawaitable(value) else value


async def login_payload(source: Source[object]) -> Raw:
    """What to say in hello, or for a renewal."""
    return Raw(encode("login", await ask(source)))


def _check_url(name: str, url: object, schemes: tuple[str, ...]) -> Any:
    if not isinstance(url, str):
        raise TypeError(f"{name}: expected a string, got {type(url).__name__}")
    wanted = f"{name}: expected a URL that begins with {' or '.join(f'{s}://' for s in schemes)} and names a host"
    try:
        parsed = urlsplit(url)
        _ = parsed.port  # raises for what is no port
    except ValueError:
        raise ValueError(wanted) from None
    if parsed.scheme not in schemes or not parsed.hostname:
        raise ValueError(wanted)
    return parsed
