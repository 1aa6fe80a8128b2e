"""Many rows in one statement.

The sqlite3 module lets go of the interpreter's lock for each step of a statement and has to get it back from a loop
that may be busy: milliseconds, every time. So what a group of jobs writes is put off and goes in a few steps, and what
is read comes as one row.

Invariant: rows arrive whole, each once, in the order in which they were added, however many there are
(test_batches_write_every_row_once).
"""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

SIZES: Final = (256, 32, 4, 1)
"""Rows of a statement: few sizes, so that each is compiled once."""

UNIT, RECORD = "\x1f", "\x1e"  # JSON text has no such characters, and neither have names (RFC 8259, 7)


def in_pieces(rows: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Split rows into pieces of the sizes above."""
    begin = 0
    for size in SIZES:
        while len(rows) - begin >= size:
            yield rows[begin : begin + size]
            begin += size


class Batch:
    """Rows for one table, written together: `head` VALUES (…),(…) `tail`."""

    def __init__(self, db: sqlite3.Connection, head: str, width: int, tail: str = "") -> None:
        self._db = db
        marks = f"({','.join('?' * width)})"
        self._sql = {size: f"{head} VALUES {','.join([marks] * size)} {tail}" for size in SIZES}
        self.rows: list[Sequence[Any]] = []

    def flush(self) -> None:
        """Write what was added."""
        rows, self.rows = self.rows, []
        for piece in in_pieces(rows):
            self._db.execute(self._sql[len(piece)], list(chain.from_iterable(piece)))


class Prune:
    """Deletes, for many sessions at once, the rows of a table up to a number of each session.

    `table` has the columns session and n, its primary key.
    """

    def __init__(self, db: sqlite3.Connection, table: str) -> None:
        self._db = db
        self._sql = {
            size: f"WITH gone(session, n) AS (VALUES {','.join(['(?,?)'] * size)}) DELETE FROM {table} "
            f"WHERE (session, n) IN (SELECT t.session, t.n FROM gone g JOIN {table} t "
            "ON t.session = g.session AND t.n < g.n)"
            for size in SIZES
        }
        self.below: dict[str, int] = {}
        """for each session the number below which nothing is needed any more"""

    def flush(self) -> None:
        """Delete it."""
        below, self.below = self.below, {}
        for piece in in_pieces(list(below.items())):
            self._db.execute(self._sql[len(piece)], list(chain.from_iterable(piece)))
