"""WebSocket sessions that outlive their sockets.

    import heartline

    app = heartline.Server()                                   # serve: handlers, channels, login
    conn = heartline.connect("ws://127.0.0.1:8000/")           # use it: request, send, subscribe

Names are loaded when first used: `import heartline` alone brings in no event loop and no socket.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heartline.client import (
        Connection,
        Cursor,
        Entry,
        Gap,
        Receipt,
        Restored,
        StateChange,
        StateWatch,
        Subscription,
        Volatile,
        connect,
    )
    from heartline.core.enums import Outcome, State
    from heartline.core.errors import (
        BadFrame,
        BrokerError,
        ConnectionClosed,
        Expired,
        GaveUp,
        HeartlineError,
        LoginRefused,
        NotDelivered,
        OutboxError,
        OutboxFull,
        OutcomeUnknown,
        Rejected,
        Replaced,
        RequestTimeout,
        SubscriptionRefused,
        UnexpectedData,
    )
    from heartline.core.policy import BackOff, ClientPolicy, Full, Heartbeat, OutboxLimits, ServerLimits
    from heartline.server import Address, Channel, Identity, Message, Refuse, Server, Session, Stats
    from heartline.transports.api import Request, Respond

__version__ = "0.1.0"

_ROOMS = {
    "heartline.client": "Connection Cursor Entry Gap Receipt Restored StateChange StateWatch Subscription Volatile connect",
    "heartline.core.errors": (
        "BadFrame BrokerError ConnectionClosed Expired GaveUp HeartlineError LoginRefused NotDelivered OutboxError OutboxFull "
        "OutcomeUnknown Rejected Replaced RequestTimeout SubscriptionRefused UnexpectedData"
    ),
    "heartline.core.enums": "Outcome State",
    "heartline.core.policy": "BackOff ClientPolicy Full Heartbeat OutboxLimits ServerLimits",
    "heartline.server": "Address Channel Identity Message Refuse Server Session Stats",
    "heartline.transports.api": "Request Respond",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "Address",
    "BackOff",
    "BadFrame",
    "BrokerError",
    "Channel",
    "ClientPolicy",
    "Connection",
    "ConnectionClosed",
    "Cursor",
    "Entry",
    "Expired",
    "Full",
    "Gap",
    "GaveUp",
    "Heartbeat",
    "HeartlineError",
    "Identity",
    "LoginRefused",
    "Message",
    "NotDelivered",
    "OutboxError",
    "OutboxFull",
    "OutboxLimits",
    "Outcome",
    "OutcomeUnknown",
    "Receipt",
    "Refuse",
    "Rejected",
    "Replaced",
    "Request",
    "RequestTimeout",
    "Respond",
    "Restored",
    "Server",
    "ServerLimits",
    "Session",
    "State",
    "StateChange",
    "StateWatch",
    "Stats",
    "Subscription",
    "SubscriptionRefused",
    "UnexpectedData",
    "Volatile",
    "connect",
]


if os.environ.get("HEARTLINE_PURE", "0") not in ("", "0"):
    from .variant import prefer_source

    prefer_source(list(__path__))


def __getattr__(name: str) -> Any:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module 'heartline' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(room), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
