"""The states of a client connection and of a server's link, and the moves that are legal.

The diagrams in the documentation and the state × input test are made from these tables.

Invariants: a move that is not in its table raises AssertionError (test_illegal_moves_raise); CLOSED is final
(test_closed_is_final).
"""

from enum import Enum
from typing import Final, TypeVar

from .enums import State

_S = TypeVar("_S", bound=Enum)

# Naming a member of an enum costs as much as a call on Python 3.11.
GREETING: Final = State.GREETING
CLOSED: Final = State.CLOSED

MOVES: Final[dict[State, frozenset[State]]] = {
    State.IDLE: frozenset({State.DIALLING, State.CLOSED}),
    State.DIALLING: frozenset({State.GREETING, State.WAITING, State.GAVE_UP, State.REFUSED, State.CLOSED}),
    State.GREETING: frozenset({State.OPEN, State.WAITING, State.GAVE_UP, State.REFUSED, State.CLOSED}),
    State.OPEN: frozenset({State.MOVING, State.WAITING, State.GAVE_UP, State.REFUSED, State.CLOSED}),
    State.MOVING: frozenset({State.GREETING, State.OPEN, State.DIALLING, State.REFUSED, State.CLOSED}),
    State.WAITING: frozenset({State.DIALLING, State.CLOSED}),
    State.GAVE_UP: frozenset({State.DIALLING, State.CLOSED}),
    State.REFUSED: frozenset({State.DIALLING, State.CLOSED}),
    State.CLOSED: frozenset(),
}


class LinkState(Enum):
    """Where a server's link stands."""

    FRESH = "fresh"
    """nothing was said yet"""
    JUDGING = "judging"
    """the application judges the login"""
    RESUMING = "resuming"
    """the session record is looked up and taken over"""
    LIVE = "live"
    CLOSED = "closed"


LINK_MOVES: Final[dict[LinkState, frozenset[LinkState]]] = {
    LinkState.FRESH: frozenset({LinkState.JUDGING, LinkState.LIVE, LinkState.CLOSED}),
    LinkState.JUDGING: frozenset({LinkState.RESUMING, LinkState.CLOSED}),
    LinkState.RESUMING: frozenset({LinkState.LIVE, LinkState.CLOSED}),
    LinkState.LIVE: frozenset({LinkState.CLOSED}),
    LinkState.CLOSED: frozenset(),
}


def check_move(table: dict[_S, frozenset[_S]], old: _S, new: _S) -> None:
    """Raise AssertionError, naming the move, unless `table` allows it."""
    if new not in table[old]:
        raise AssertionError(f"illegal move: {old.value} → {new.value}")
