"""Which publications of clients are in the log already: the idempotency keys (session, n).

A server that dies between an append and the session's record gets the message again and must not append it again,
whenever its client comes back. What the record says is done needs no key any more, so at most a window of them is kept
for each session. Those of an application's own (`publish(key=…)`) are remembered for a time instead.

Invariants:
- a message is in the log once, also when its record was not written and its client stayed away for long
  (test_a_message_is_published_once);
- keys are bounded (test_keys_are_bounded).
"""

import sqlite3
from typing import Final

from heartline.core.ports import Key

from .statements import Batch, Prune

KEPT: Final = 3600.0
"""Seconds for which a key of the application's own is remembered."""
SWEPT: Final = 20_000

SCHEMA: Final = """
CREATE TABLE published (
    session TEXT NOT NULL, n INTEGER NOT NULL, channel INTEGER NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY (session, n)
) WITHOUT ROWID;
CREATE TABLE keys (
    channel INTEGER NOT NULL, key TEXT NOT NULL, offset INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (channel, key)
) WITHOUT ROWID;
CREATE INDEX keys_by_age ON keys (at);
"""

Place = tuple[int, int]
"""(channel's id, offset)"""


class Published:
    """Keys of both kinds, for the writing connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._new = Batch(db, "INSERT OR REPLACE INTO published", 4)
        self._new_keys = Batch(db, "INSERT OR REPLACE INTO keys", 4)
        self._prune = Prune(db, "published")
        self._of: dict[str, dict[int, Place]] = {}
        self._pending: dict[tuple[int, str], int] = {}

    def find(self, channel: int, key: Key) -> int | None:
        """The offset of the entry with this key, None when there is none in this channel."""
        if isinstance(key, tuple):
            place = self._of_session(key[0]).get(key[1])
            return place[1] if place is not None and place[0] == channel else None
        offset = self._pending.get((channel, key))
        if offset is not None:
            return offset
        row = self._db.execute("SELECT offset FROM keys WHERE channel = ? AND key = ?", (channel, key)).fetchone()
        return None if row is None else int(row[0])

    def add(self, channel: int, key: Key, offset: int, now: float) -> None:
        """Remember a key with its entry."""
        if isinstance(key, tuple):
            session, n = key
            known = self._of_session(session)
            known[n] = (channel, offset)
            self._new.rows.append((session, n, channel, offset))
        else:
            self._pending[channel, key] = offset
            self._new_keys.rows.append((channel, key, offset, now))

    def done(self, session: str, n: int) -> None:
        """The record of a session says that everything up to n has ended."""
        known = self._of.get(session)
        gone = [number for number in known if number <= n] if known else ()
        if gone:
            assert known is not None
            for number in gone:
                del known[number]
            self._prune.below[session] = n + 1

    def forget(self, session: str) -> None:
        """The session is over."""
        self._of.pop(session, None)
        self._prune.below[session] = 1 << 53

    def flush(self) -> None:
        """Write what was put off."""
        self._pending.clear()
        if self._new.rows:
            self._new.flush()
        if self._new_keys.rows:
            self._new_keys.flush()
        if self._prune.below:
            self._prune.flush()

    def rolled_back(self) -> None:
        """Nothing that was put off counts, and the file is the truth."""
        self._new.rows.clear()
        self._new_keys.rows.clear()
        self._prune.below.clear()
        self._pending.clear()
        self._of.clear()

    def sweep(self, now: float) -> None:
        """Forget old keys of the application's own."""
        self._db.execute(
            "DELETE FROM keys WHERE (channel, key) IN (SELECT channel, key FROM keys WHERE at < ? LIMIT ?)",
            (now - KEPT, SWEPT),
        )

    def _of_session(self, session: str) -> dict[int, Place]:
        known = self._of.get(session)
        if known is None:
            self.flush()
            rows = self._db.execute("SELECT n, channel, offset FROM published WHERE session = ?", (session,))
            known = self._of[session] = {n: (channel, offset) for n, channel, offset in rows}
        return known
