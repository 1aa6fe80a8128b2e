"""The asyncio client: a thin shell around `heartline.core.client`. Begin with `connect`."""

from heartline.core.enums import Outcome, State

from .connect import connect
from .connection import Connection
from .items import Cursor, Entry, Gap, Volatile
from .receipt import Receipt, Restored
from .states import StateChange, StateWatch
from .subscription import Subscription

__all__ = [
    "Connection",
    "Cursor",
    "Entry",
    "Gap",
    "Outcome",
    "Receipt",
    "Restored",
    "State",
    "StateChange",
    "StateWatch",
    "Subscription",
    "Volatile",
    "connect",
]
