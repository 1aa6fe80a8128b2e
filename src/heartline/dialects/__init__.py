"""How it is spelt on a wire: heartline.1 itself (`native`), and dialects for everything else (docs/dialects.md)."""

from .spec import Beat, Delivery, Dialect, Event, Login, Reconnect, Request, Send, Subscribe

__all__ = ["Beat", "Delivery", "Dialect", "Event", "Login", "Reconnect", "Request", "Send", "Subscribe"]
