"""A bad network on purpose: one seeded fault model for the simulator and for a real TCP proxy.

`FaultProxy` and its reports are imported only when asked for, so that the pure model stays free of asyncio.
"""

from typing import TYPE_CHECKING, Any

from heartline.faults.model import (
    DialVerdict,
    FaultModel,
    LinkEvent,
    LinkEventKind,
    LinkFaults,
    LinkState,
)
from heartline.faults.rules import Direction, FaultRules, rule_fields

if TYPE_CHECKING:
    from heartline.faults.groups import Group
    from heartline.faults.proxy import FaultProxy
    from heartline.faults.report import ProxyEvent, ProxyEventKind, ProxyStats

__all__ = [
    "DialVerdict",
    "Direction",
    "FaultModel",
    "FaultProxy",
    "FaultRules",
    "Group",
    "LinkEvent",
    "LinkEventKind",
    "LinkFaults",
    "LinkState",
    "ProxyEvent",
    "ProxyEventKind",
    "ProxyStats",
    "rule_fields",
]

_LAZY = {
    "FaultProxy": "heartline.faults.proxy",
    "Group": "heartline.faults.groups",
    "ProxyEvent": "heartline.faults.report",
    "ProxyEventKind": "heartline.faults.report",
    "ProxyStats": "heartline.faults.report",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
