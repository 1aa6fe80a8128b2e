"""The sessions' tables: records by compare-and-set, their results beside them.

A record is written whole by its owner and often, while its results change little: only those that are new are written.

Invariants:
- a record is written only over the generation expected (test_a_lost_swap_changes_nothing);
- a result is there from its first write until the floor passes it (test_results_are_kept_until_the_floor);
- a session that no process holds is deleted after its time, one that is held never (test_unclaimed_sessions_expire).
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from heartline.core.ports import SessionRecord, Started

from .statements import RECORD, UNIT, Batch

CACHED: Final = 20_000

SCHEMA: Final = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, generation INTEGER NOT NULL, record BLOB NOT NULL, held_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_age ON sessions (held_at);
CREATE TABLE results (
    session TEXT NOT NULL, n INTEGER NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (session, n)
) WITHOUT ROWID;
"""


class _Stored(msgspec.Struct, array_like=True):
    """A record without its results."""

    key: str
    identity: str
    instance: str
    owner: str
    floor: int
    received: int
    done: int
    started: list[Started]
    inbox_epoch: str
    seen_at: float


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


class _Known:
    """What the file has of a session, as far as a write has to know."""

    __slots__ = ("generation", "results")

    def __init__(self, generation: int, results: dict[int, bytes]) -> None:
        self.generation = generation
        self.results = results


class Sessions:
    """Session records over one connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[str, _Known] = {}
        self._written: dict[str, Sequence[Any]] = {}
        self._records = Batch(
            db, "INSERT INTO sessions", 4,
            "ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, record = excluded.record",
        )  # fmt: skip
        self._results = Batch(db, "INSERT OR REPLACE INTO results", 3)
        self._gone = Batch(db, "DELETE FROM results WHERE (session, n) IN (", 2, ")")

    def load(self, session: str) -> SessionRecord | None:
        """A record with its results."""
        self.flush()
        row = self._db.execute("SELECT generation, record FROM sessions WHERE id = ?", (session,)).fetchone()
        if row is None:
            return None
        kept = _decode(row[1])
        return SessionRecord(
            session, kept.key, kept.identity, kept.instance, row[0], kept.owner, kept.floor, kept.received, kept.done,
            self._load_results(session), kept.started, kept.inbox_epoch, kept.seen_at,
        )  # fmt: skip

    def _load_results(self, session: str) -> dict[int, bytes]:
        packed: bytes | None = self._db.execute(
            "SELECT CAST(group_concat(n || ? || CAST(payload AS TEXT), ?) AS BLOB) FROM "
            "(SELECT n, payload FROM results WHERE session = ? ORDER BY n)",
            (UNIT, RECORD, session),
        ).fetchone()[0]
        if packed is None:
            return {}
        pairs = (record.split(UNIT.encode()) for record in packed.split(RECORD.encode()))
        return {int(n): payload for n, payload in pairs}

    def swap(self, record: SessionRecord, expected: int | None, at: float) -> bool:
        """Compare-and-set by generation."""
        session = record.session
        known = self._known.get(session) or self._look(session)
        if (None if known is None else known.generation) != expected:
            return False
        kept = _Stored(
            record.key, record.identity, record.instance, record.owner, record.floor, record.received, record.done,
            record.started, record.inbox_epoch, record.seen_at,
        )  # fmt: skip
        self._written[session] = (session, record.generation, _encode(kept), at)
        before = {} if known is None else known.results
        results = record.results
        for n in reversed(results):  # the new ones come last
            payload = results[n]
            if before.get(n) is payload:
                break
            self._results.rows.append((session, n, payload))
        if before:
            self._gone.rows += [(session, n) for n in before.keys() - results.keys()]
        if known is None:
            self._known[session] = _Known(record.generation, results)
            if len(self._known) > CACHED:
                self._forget_oldest()
        else:
            known.generation, known.results = record.generation, results
        return True

    def forget(self, session: str, generation: int | None) -> bool:
        """Delete a record if its generation is still this one."""
        known = self._known.get(session) or self._look(session)
        if known is None or generation not in (None, known.generation):
            return False
        self.flush()
        self._known.pop(session, None)
        self._db.execute("DELETE FROM sessions WHERE id = ?", (session,))
        self._db.execute("DELETE FROM results WHERE session = ?", (session,))
        return True

    def hold(self, sessions: Sequence[str], at: float) -> None:
        """A process holds these: their time begins anew."""
        self.flush()
        self._db.execute(
            "UPDATE sessions SET held_at = ? WHERE id IN (SELECT value FROM json_each(?))",
            (at, msgspec.json.encode(sessions).decode()),
        )

    def expired(self, before: float, most: int) -> list[str]:
        """Sessions nobody has held since."""
        self.flush()
        found = self._db.execute("SELECT id FROM sessions WHERE held_at < ? ORDER BY held_at LIMIT ?", (before, most))
        return [session for (session,) in found]

    def flush(self) -> None:
        """Write what was put off."""
        if self._written:
            self._records.rows += self._written.values()
            self._written.clear()
            self._records.flush()
        if self._gone.rows:
            self._gone.flush()
        if self._results.rows:
            self._results.flush()

    def rolled_back(self) -> None:
        """Nothing that was put off counts, and the file is the truth."""
        self._known.clear()
        self._written.clear()
        self._records.rows.clear()
        self._results.rows.clear()
        self._gone.rows.clear()

    def _look(self, session: str) -> _Known | None:
        self.flush()
        row = self._db.execute("SELECT generation FROM sessions WHERE id = ?", (session,)).fetchone()
        if row is None:
            return None
        known = self._known[session] = _Known(row[0], self._load_results(session))
        return known

    def _forget_oldest(self) -> None:
        self.flush()
        for session in list(self._known)[: CACHED // 10]:
            del self._known[session]
