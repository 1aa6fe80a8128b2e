"""Enums of the core that applications see too.

Interpreted where the rest of the core is compiled: a compiled enum has lost its docstring and its source.

Invariant: they look the same either way (test_public_names_look_the_same).
"""

from enum import Enum


class State(Enum):
    """Where a client's connection stands."""

    IDLE = "idle"
    DIALLING = "dialling"
    GREETING = "greeting"
    """the socket is open, hello is out"""
    OPEN = "open"
    MOVING = "moving"
    """open, and dialling the next link because the server asked"""
    WAITING = "waiting"
    """for the next dial"""
    GAVE_UP = "gave up"
    REFUSED = "refused"
    """for good; `retry_now()` with other credentials is the way back"""
    CLOSED = "closed"


class Outcome(Enum):
    """How a message ended (PROTOCOL 3.3; the promise)."""

    HANDLED = "handled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
