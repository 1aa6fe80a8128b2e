"""How it is spelt on a wire: heartline.1 itself (`native`), and dialects for everything else (docs/dialects.md).

The names here are those of `spec`, loaded when first used: who speaks heartline.1 alone does without.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .spec import Beat, Delivery, Dialect, Event, Login, Reconnect, Request, Send, Subscribe

__all__ = ["Beat", "Delivery", "Dialect", "Event", "Login", "Reconnect", "Request", "Send", "Subscribe"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import spec

    return getattr(spec, name)
