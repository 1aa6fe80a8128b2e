"""Many rows in one statement.

The sqlite3 module lets go of the interpreter's lock for each step of a statement and has to get it back from a loop
that may be busy: milliseconds, every time. So what a group of jobs writes is put off and goes in a few steps, and what
is read comes as one row.

Invariant: rows arrive whole, each once, in the order in which they were added, however many there are
(test_batches_write_every_row_once).
"""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

MOST: Final = 256
"""Rows of a statement at most."""
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, MOST)
"""Few sizes, so that each is compiled once. What is left of one is filled with NULL, and rows of NULL do nothing."""

UNIT, RECORD = "\x1f", "\x1e"  # JSON text has no such characters, and neither have names (RFC 8259, 7)


def in_pieces(rows: Sequence[Sequence[Any]], width: int) -> Iterator[tuple[int, list[Any]]]:
    """As few statements as can be: (rows of the statement, its values)."""
    for begin in range(0, len(rows), MOST):
        piece = rows[begin : begin + MOST]
        size = 1 << (len(piece) - 1).bit_length()
        values = list(chain.from_iterable(piece))
        values += [None] * (size * width - len(values))
        yield size, values


def _marks(size: int, width: int) -> str:
    return ",".join([f"({','.join('?' * width)})"] * size)


class Batch:
    """Rows for one table, written together: `head` VALUES (…),(…) `tail`. Their first column is never NULL."""

    def __init__(self, db: sqlite3.Connection, head: str, width: int, tail: str = "") -> None:
        self._db = db
        self._width = width
        self._sql = {
            size: f"{head} SELECT * FROM (VALUES {_marks(size, width)}) WHERE column1 IS NOT NULL {tail}"
            for size in SIZES
        }
        self.rows: list[Sequence[Any]] = []

    def flush(self) -> None:
        """Write what was added."""
        rows, self.rows = self.rows, []
        for size, values in in_pieces(rows, self._width):
            self._db.execute(self._sql[size], values)


class Prune:
    """Deletes, for many sessions at once, the rows of a table up to a number of each session.

    `table` has the columns session and n, its primary key.
    """

    def __init__(self, db: sqlite3.Connection, table: str) -> None:
        self._db = db
        self._sql = {
            size: f"WITH gone(session, n) AS (VALUES {_marks(size, 2)}) DELETE FROM {table} "
            f"WHERE (session, n) IN (SELECT t.session, t.n FROM gone g JOIN {table} t "
            "ON t.session = g.session AND t.n < g.n)"
            for size in SIZES
        }
        self.below: dict[str, int] = {}
        """for each session the number below which nothing is needed any more"""

    def flush(self) -> None:
        """Delete it."""
        below, self.below = self.below, {}
        for size, values in in_pieces(list(below.items()), 2):
            self._db.execute(self._sql[size], values)
