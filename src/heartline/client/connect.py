"""`connect`: from a URL to a `Connection`.

Invariant: nothing is dialled here, and nothing that can be seen to be wrong passes (test_connect_refuses_nonsense).
"""

import os
import ssl as ssl_module
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from heartline.core.policy import ClientPolicy, OutboxLimits
from heartline.transports.plain import SocketLimits

from .connection import Connection
from .options import Options, Source, dialect_of, path_of, policy_of

if TYPE_CHECKING:
    from heartline.core.ports import Trace
    from heartline.dialects.spec import Dialect

LARGEST = 16 << 20
"""Bytes of a message we take. Above what servers take by default, since an entry is longer than its publication."""


def connect(
    url: str,
    *,
    login: Source[object] = None,
    dialect: "Dialect | str | None" = None,
    params: Mapping[str, object] | None = None,
    keep: Mapping[str, object] | None = None,
    outbox: str | os.PathLike[str] | OutboxLimits | None = None,
    policy: ClientPolicy | None = None,
    on: Mapping[str, Callable[..., object]] | None = None,
    headers: Source[Mapping[str, str]] | None = None,
    ssl: ssl_module.SSLContext | None = None,
    proxy: str | None = None,
    limits: SocketLimits | None = None,
    name: str = "heartline-python",
    version: str | None = None,
    linger: float = 5.0,
    trace: "Trace | None" = None,
) -> Connection:
    """Make a connection to a server. Use it with `async with`, or call `start()`; nothing is dialled before.

    `url`: ws:// or wss://. `login`: any JSON value, or a function or coroutine function that gives one; it is called
    for every link and when credentials have to be renewed, and one that raises counts as a failed attempt.
    `policy`: heartbeat, back-off, times and limits. `on`: handlers by event, as `Connection.on`.

    `outbox`: the path of a file makes it durable: what is not settled, the session and the places in channels survive
    the process, however it ends. `OutboxLimits` instead are those of an outbox in memory; for a file they are in
    `policy`.

    `dialect`: the server is not heartline's; this is how it is spoken to, a `Dialect` or a preset's name
    (docs/dialects.md). `params` are what its `$param` stand for, `keep` what `Connection.kept` gave an earlier process.
    Without `policy` the dialect says when to dial again; the heartbeat of `policy` takes the place of its times.

    Of the network: `headers` of the upgrade request (a mapping, or a function as for `login`), `ssl` for wss://
    instead of the system's trust, `proxy` (http://, https://, socks4:// or socks5://), `limits` of a socket (by default
    messages of up to 16 MiB).

    `name` and `version` are told to the server. `linger`: seconds that leaving `async with` waits for messages that
    have no outcome. `trace(now, what, details)` is told what matters, never payload or secrets.

    Raises TypeError and ValueError, naming the argument.
    """
    spoken = dialect_of(dialect, policy)
    options = Options(
        url=url,
        policy=policy_of(policy, outbox, spoken),
        login=login,
        headers=headers,
        ssl=ssl,
        proxy=proxy,
        limits=limits if limits is not None else SocketLimits(max_message=LARGEST),
        about={"name": name, "version": _own_version() if version is None else version},
        trace=trace,
        linger=linger,
        outbox=path_of(outbox),
        dialect=spoken,
        params={} if params is None else params,
        keep={} if keep is None else keep,
    )
    connection = Connection(options)
    for event, handler in (on or {}).items():
        connection.on(event, handler)
    return connection


def _own_version() -> str:
    """As `heartline` tells it; importlib.metadata would take longer to load than everything else here."""
    return str(import_module("heartline").__version__)  # an import statement would be a cycle to type checkers
