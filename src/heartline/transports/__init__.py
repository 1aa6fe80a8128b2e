"""WebSockets on picows: `listen` for servers, `dial` for clients, and the plain types both speak (`plain`, `api`).

`picows`, `aiofastnet` and `python_socks` are imported inside this package only. `plain`, `api`, `frames` and
`assembly` do not import them; everything is loaded when it is first asked for, so that a client loads no server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .postponed import postpone

if TYPE_CHECKING:
    from .api import Accept, Headers, LinkHandler, Listener, Request, Respond, Router, Socket
    from .client import dial
    from .frames import frame_text
    from .plain import DialError, SocketLimits
    from .server import listen

# Before any module of theirs. Of picows itself nothing is used here; of aiofastnet what TLS and listeners need, and by
# picows one name.
postpone("picows")
postpone("aiofastnet", Transport="transport")

_MODULES = {
    "api": "Accept Headers LinkHandler Listener Request Respond Router Socket",
    "client": "dial",
    "frames": "frame_text",
    "plain": "DialError SocketLimits",
    "server": "listen",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

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
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)
