"""The channels' tables: logs with offsets, their histories, their epochs.

The number of an entry's row is its channel's number and its offset side by side, so a log is one stretch of one
B-tree, written at its end. Trimming is lazy: what history does not hold is hidden at once and deleted in pieces.

Invariants:
- offsets of a log rise by one and are never given twice, whatever was trimmed (test_offsets_survive_trimming);
- of what history does not hold nothing can be read, and little is on the disk (test_history_bounds_the_file);
- nothing takes long: a large log is deleted in pieces (test_a_large_log_goes_in_pieces).
"""

import secrets
import sqlite3
from hashlib import blake2b
from itertools import accumulate
from typing import Final

from heartline.core.errors import BrokerError
from heartline.core.ports import History, LogEntry, Slice

from .statements import RECORD, UNIT, Batch

SHIFT: Final = 40
"""Bits of an offset; the 23 above them number the channel."""
MOST_CHANNELS: Final = 1 << (63 - SHIFT)
ENTRY_OVERHEAD: Final = 48
CACHED: Final = 100_000
SLACK: Final = 64
"""Entries that history does not hold and that wait to be deleted together."""
PIECE: Final = 1000
SWEPT: Final = 20_000

SCHEMA: Final = """
CREATE TABLE channels (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT, head INTEGER NOT NULL, trimmed INTEGER NOT NULL,
    bytes INTEGER NOT NULL, keep INTEGER NOT NULL, age REAL, due REAL
);
CREATE INDEX channels_by_due ON channels (due) WHERE due IS NOT NULL;
CREATE TABLE entries (id INTEGER PRIMARY KEY, event TEXT NOT NULL, data BLOB NOT NULL, at REAL NOT NULL);
CREATE TABLE garbage (id INTEGER PRIMARY KEY);
"""

_ROW = "SELECT id, name, epoch, head, trimmed, bytes, keep, age, due FROM channels WHERE name = ?"


class Row:
    """What the table says of one channel; `trimmed`: nothing up to there is on the disk."""

    __slots__ = ("age", "bytes", "due", "epoch", "head", "id", "keep", "name", "trimmed")

    def __init__(
        self, id_: int, name: str, epoch: str | None, head: int, trimmed: int, size: int, keep: int,
        age: float | None, due: float | None,
    ) -> None:  # fmt: skip
        self.id = id_
        self.name = name
        self.epoch = epoch
        self.head = head
        self.trimmed = trimmed
        self.bytes = size
        self.keep = keep
        self.age = age
        self.due = due

    @property
    def hidden(self) -> int:
        """The highest offset that history does not hold."""
        return max(self.trimmed, self.head - self.keep)


class Channels:
    """Channels over one connection. `file_epoch` is that of every channel that was never dropped."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.file_epoch: str = ""
        self._rows: dict[str, Row] = {}
        self._changed: dict[str, Row] = {}
        self._entries = Batch(db, "INSERT INTO entries", 4)
        self._channels = Batch(
            db, "INSERT INTO channels", 9,
            "ON CONFLICT (id) DO UPDATE SET head = excluded.head, trimmed = excluded.trimmed, bytes = excluded.bytes, "
            "keep = excluded.keep, age = excluded.age, due = excluded.due",
        )  # fmt: skip
        self._next_id = 0

    # writing

    def append(self, row: Row, event: str, data: bytes, history: History, now: float) -> LogEntry:
        """Add an entry to a channel that `open` gave."""
        offset = row.head + 1
        row.head = offset
        row.keep = history.entries
        row.age = history.age
        self._changed[row.name] = row
        if history.entries:
            row.bytes += len(data) + ENTRY_OVERHEAD
            self._entries.rows.append((row.id << SHIFT | offset, event, data, now))
            if row.due is None and row.age is not None:
                row.due = now + row.age
        elif row.trimmed == offset - 1:
            row.trimmed = offset
        if row.bytes > history.bytes or row.hidden - row.trimmed > SLACK:
            self._trim(row, history.bytes)
        return LogEntry(offset, offset - 1, event, data, now, self.epoch_of(row))

    def open(self, name: str) -> Row:
        """The channel to append to."""
        row = self._find(name)
        if row is None:
            row = Row(self._new_id(), name, None, 0, 0, 0, 0, None, None)
            self._keep(row)
        return row

    def drop(self, name: str) -> None:
        """Forget a log; an inbox is named after its session, which never comes again: nothing is kept of it."""
        row = self._find(name)
        if row is None:
            return
        self.flush()
        if row.head > row.trimmed:
            self._db.execute("INSERT INTO garbage VALUES (?)", (row.id,))
        self._db.execute("DELETE FROM channels WHERE id = ?", (row.id,))
        del self._rows[name]
        if not _is_inbox(name):
            fresh = Row(self._new_id(), name, secrets.token_hex(8), 0, 0, 0, 0, None, None)
            self._keep(fresh)
            self._changed[name] = fresh

    def _trim(self, row: Row, most_bytes: int) -> None:
        """Delete a piece of what history does not hold: by count, and then by bytes, a little more than must be."""
        self._entries.flush()
        base = row.id << SHIFT
        if row.hidden > row.trimmed:
            self._delete(row, min(row.hidden, row.trimmed + PIECE))
        if row.bytes > most_bytes:
            most_bytes -= most_bytes // 16
            ends, freed = row.trimmed, 0
            for offset, size in self._db.execute(
                "SELECT id, length(data) FROM entries WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
                (base + row.trimmed, base + row.head, PIECE),
            ):
                ends = offset - base
                freed += size + ENTRY_OVERHEAD
                if row.bytes - freed <= most_bytes:
                    break
            self._delete(row, ends)

    def _delete(self, row: Row, up_to: int) -> None:
        base = row.id << SHIFT
        count, size = self._db.execute(
            "SELECT count(*), total(length(data)) FROM entries WHERE id > ? AND id <= ?",
            (base + row.trimmed, base + up_to),
        ).fetchone()
        self._db.execute("DELETE FROM entries WHERE id > ? AND id <= ?", (base + row.trimmed, base + up_to))
        row.bytes -= int(size) + count * ENTRY_OVERHEAD
        row.trimmed = up_to
        self._changed[row.name] = row

    # reading

    def head(self, name: str) -> tuple[str, int]:
        """(epoch, last offset)."""
        row = self.look(name)
        return (self._unused_epoch(name), 0) if row is None else (self.epoch_of(row), row.head)

    def read(self, name: str, after: int, limit: int, max_bytes: int, now: float) -> Slice:
        """A piece of a log behind `after`."""
        row = self.look(name)
        if row is None:
            return Slice(self._unused_epoch(name), (), 0, 0)
        hidden = self._hidden(row, now)
        entries = self._read(row, max(after, hidden), limit, max_bytes)
        return Slice(self.epoch_of(row), entries, hidden, row.head, row.keep > 0)

    def entry(self, row: Row, offset: int) -> LogEntry | None:
        """One entry, if it is still there."""
        self.flush()
        return next(iter(self._read(row, offset - 1, 1, 1 << 40)), None) if offset > row.hidden else None

    def look(self, name: str) -> Row | None:
        """The channel as the file has it, for reading only."""
        found = self._db.execute(_ROW, (name,)).fetchone()
        return None if found is None else Row(*found)

    def _hidden(self, row: Row, now: float) -> int:
        hidden = row.hidden
        if row.age is None or hidden >= row.head:
            return hidden
        base = row.id << SHIFT
        found = self._db.execute(
            "SELECT id FROM entries WHERE id > ? AND id <= ? AND at >= ? ORDER BY id LIMIT 1",
            (base + hidden, base + row.head, now - row.age),
        ).fetchone()
        return row.head if found is None else int(found[0]) - base - 1

    def _read(self, row: Row, after: int, limit: int, max_bytes: int) -> list[LogEntry]:
        if after >= row.head or limit < 1:
            return []
        base = row.id << SHIFT
        sizes = self._db.execute(
            "SELECT group_concat(length(data)) FROM "
            "(SELECT data FROM entries WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)",
            (base + after, base + row.head, limit),
        ).fetchone()[0]
        if sizes is None:
            return []
        count = max(1, sum(size <= max_bytes for size in accumulate(map(int, sizes.split(",")))))
        packed: bytes = self._db.execute(
            "SELECT CAST(group_concat((id & ?) || ? || printf('%!.17g', at) || ? || event || ? || CAST(data AS TEXT), ?) AS BLOB) FROM "
            "(SELECT id, at, event, data FROM entries WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)",
            ((1 << SHIFT) - 1, UNIT, UNIT, UNIT, RECORD, base + after, base + row.head, count),
        ).fetchone()[0]
        epoch = self.epoch_of(row)
        unit = UNIT.encode()
        entries = []
        for record in packed.split(RECORD.encode()):
            offset, at, event, data = record.split(unit)
            number = int(offset)
            entries.append(LogEntry(number, number - 1, event.decode(), data, float(at), epoch))
        return entries

    # epochs

    def epoch_of(self, row: Row) -> str:
        """A channel's epoch."""
        return row.epoch if row.epoch is not None else self._unused_epoch(row.name)

    def _unused_epoch(self, name: str) -> str:
        if not _is_inbox(name):
            return self.file_epoch
        own = name[1:]
        return f"{self.file_epoch}.{own if len(own) <= 40 else blake2b(own.encode(), digest_size=16).hexdigest()}"

    # the group's end, and the sweep

    def flush(self) -> None:
        """Write what was put off."""
        if self._entries.rows:
            self._entries.flush()
        if self._changed:
            changed, self._changed = self._changed, {}
            self._channels.rows += [
                (r.id, r.name, r.epoch, r.head, r.trimmed, r.bytes, r.keep, r.age, r.due) for r in changed.values()
            ]
            self._channels.flush()

    def rolled_back(self) -> None:
        """Nothing that was put off counts, and the file is the truth."""
        self._entries.rows.clear()
        self._channels.rows.clear()
        self._changed.clear()
        self._rows.clear()
        self._next_id = 0

    def sweep(self, now: float) -> None:
        """Delete a piece of what is too old, and of dropped logs."""
        self.flush()
        due = self._db.execute("SELECT name FROM channels WHERE due < ? ORDER BY due LIMIT 200", (now,)).fetchall()
        for (name,) in due:
            row = self._find(name)
            if row is not None:
                self._age(row, now)
        self.flush()
        dropped = self._db.execute("SELECT id FROM garbage LIMIT 200").fetchall()
        for (id_,) in dropped:
            gone = self._db.execute(
                "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE id > ? AND id < ? LIMIT ?)",
                (id_ << SHIFT, (id_ + 1) << SHIFT, SWEPT),
            ).rowcount
            if gone == SWEPT:
                return
            self._db.execute("DELETE FROM garbage WHERE id = ?", (id_,))

    def _age(self, row: Row, now: float) -> None:
        hidden = self._hidden(row, now)
        if hidden > row.trimmed:
            self._delete(row, min(hidden, row.trimmed + SWEPT))
        oldest = self._db.execute(
            "SELECT at FROM entries WHERE id > ? AND id <= ? ORDER BY id LIMIT 1",
            ((row.id << SHIFT) + row.trimmed, (row.id << SHIFT) + row.head),
        ).fetchone()
        row.due = None if oldest is None or row.age is None else oldest[0] + row.age
        self._changed[row.name] = row

    def _find(self, name: str) -> Row | None:
        """The channel for writing: what is changed in it is written with the group."""
        row = self._rows.get(name)
        if row is None:
            row = self.look(name)
            if row is not None:
                self._keep(row)
        return row

    def _keep(self, row: Row) -> None:
        self._rows[row.name] = row
        if len(self._rows) > CACHED:
            self.flush()
            self._rows.clear()
            self._rows[row.name] = row

    def _new_id(self) -> int:
        """A number no channel has, nor a log that is still being deleted."""
        if not self._next_id:
            self._next_id = (
                1
                + self._db.execute(
                    "SELECT max(coalesce((SELECT max(id) FROM channels), 0), coalesce((SELECT max(id) FROM garbage), 0))"
                ).fetchone()[0]
            )
        if self._next_id < MOST_CHANNELS:
            self._next_id += 1
            return self._next_id - 1
        self.flush()
        found = self._db.execute(
            "SELECT id + 1 FROM channels c WHERE id + 1 < ? AND NOT EXISTS (SELECT 1 FROM channels WHERE id = c.id + 1) "
            "AND NOT EXISTS (SELECT 1 FROM garbage WHERE id = c.id + 1) LIMIT 1",
            (MOST_CHANNELS,),
        ).fetchone()
        if found is None:
            raise BrokerError(f"more than {MOST_CHANNELS:,} channels")
        return int(found[0])


def _is_inbox(name: str) -> bool:
    return name.startswith("@") and "/" not in name
