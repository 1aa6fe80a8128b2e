"""A table of named deadlines; the owner's next one and those that are due.

Invariants: reading never changes the table (test_next_deadline_is_pure); those due at one moment come in the order
of time, then of the enum (test_due_in_order_of_time_then_name).
"""

from enum import IntEnum
from typing import Final


class Due(IntEnum):
    """Every timer heartline has, on either side."""

    CONNECT = 1
    HELLO = 2
    RETRY = 3
    LIFE = 4
    """the heartbeat's next act: a ping, or the verdict"""
    STABLE = 5
    ACK = 6
    EXPIRE = 7
    MOVE = 8
    LOGIN = 9
    FLOOR = 10


# Naming a member of an enum costs as much as a call on Python 3.11.
ACK: Final = Due.ACK
FLOOR: Final = Due.FLOOR


class Deadlines:
    """At most one moment for each name."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[Due, float] = {}

    def set(self, name: Due, at: float) -> None:
        """Make `name` due at `at`, replacing an earlier choice."""
        self._at[name] = at

    def set_default(self, name: Due, at: float) -> None:
        """Make `name` due at `at` unless it has a moment already."""
        if name not in self._at:
            self._at[name] = at

    def clear(self, *names: Due) -> None:
        """Forget these."""
        for name in names:
            self._at.pop(name, None)

    def clear_all(self) -> None:
        """Forget all."""
        self._at.clear()

    def __contains__(self, name: Due) -> bool:
        return name in self._at

    def next(self) -> float | None:
        """The earliest moment, None when nothing is awaited."""
        return min(self._at.values()) if self._at else None

    def pop_due(self, now: float) -> list[Due]:
        """Take out what is due at `now`."""
        due = sorted((at, name) for name, at in self._at.items() if at <= now)
        for _, name in due:
            del self._at[name]
        return [name for _, name in due]
