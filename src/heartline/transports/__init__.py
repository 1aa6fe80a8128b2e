"""WebSockets on picows: `listen` for servers, `dial` for clients, and the plain types both speak (`api`).

`picows`, `aiofastnet` and `python_socks` are imported inside this package only. `api`, `frames` and `assembly` do not
import them; `listen` and `dial` are loaded when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

from .api import (
    Accept,
    DialError,
    Headers,
    LinkHandler,
    Listener,
    Request,
    Respond,
    Router,
    Socket,
    SocketLimits,
    frame_text,
)

if TYPE_CHECKING:
    from .client import dial
    from .server import listen

__all__ = [
    "Accept",
    "DialError",
    "Headers",
    "LinkHandler",
    "Listener",
    "Request",
    "Respond",
    "Router",
    "Socket",
    "SocketLimits",
    "dial",
    "frame_text",
    "listen",
]


def __getattr__(name: str) -> Any:
    if name == "dial":
        from .client import dial

        return dial
    if name == "listen":
        from .server import listen

        return listen
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
