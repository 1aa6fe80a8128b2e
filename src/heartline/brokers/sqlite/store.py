"""The file as one thread sees it: what the broker's writer and its reader ask of it.

Beside the file stands its mark: how many groups were committed, written after each commit. A file whose own count is
lower was set back to an earlier day (a copy restored): it gets a new epoch and no session goes on in it, so that every
client hears of the loss instead of missing entries without knowing.

Invariants:
- what a group wrote is there whole or not at all, whatever kills the process (test_killed_at_random_points);
- a file that was set back is noticed (test_a_file_that_was_set_back_begins_anew).
"""

import contextlib
import logging
import os
import secrets
import sqlite3
from pathlib import Path
from typing import Final

from heartline.core.ports import History, Key, LogEntry, SessionRecord, Slice
from heartline.storage.file import create_tables

from . import channels, published, sessions

APPLICATION: Final = 0x68656172  # "hear": a broker's file
VERSION: Final = 1
EXPIRED: Final = 200
FREE_PAGES: Final = 1000
"""Pages that stay free for what comes next; more are given back."""
GIVEN_BACK: Final = 4096

SCHEMA: Final = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
{channels.SCHEMA} {published.SCHEMA} {sessions.SCHEMA}
"""

_logger = logging.getLogger("heartline.brokers")


class Store:
    """Everything that reads or writes the file. `mark`: an open file for the count of commits; None for a reader."""

    def __init__(self, path: Path, db: sqlite3.Connection, mark: int | None) -> None:
        self._path = path
        self._db = db
        self._mark = mark
        self._commits = 0
        self._uptime = 0.0
        self._changed = False
        self._to_give_back = 0
        self._channels = channels.Channels(db)
        self._published = published.Published(db)
        self._sessions = sessions.Sessions(db)

    def prepare(self) -> None:
        """Create the tables, or check that they are ours and as new as they were. Raises BrokerError."""
        first = f"INSERT INTO meta VALUES ('epoch', '{secrets.token_hex(8)}'), ('commits', 1), ('uptime', 0.0);"
        if create_tables(self._path, self._db, SCHEMA + first, application=APPLICATION, version=VERSION):
            self._write_mark(1)
        meta = dict(self._db.execute("SELECT name, value FROM meta").fetchall())
        self._channels.file_epoch = meta["epoch"]
        self._commits = meta["commits"]
        self._uptime = meta["uptime"]
        if self._mark is not None and self._commits < self._read_mark():
            self._begin_anew()

    def _begin_anew(self) -> None:
        _logger.warning(
            "%s is older than when it was last used, or came without its %s-lock: sessions in it are not resumed, and "
            "its channels have a new epoch", self._path, self._path.name,
        )  # fmt: skip
        epoch = secrets.token_hex(8)
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
        self._db.execute("UPDATE channels SET epoch = ? || '.' || id WHERE epoch IS NOT NULL", (epoch,))
        for table in ("sessions", "results", "published"):
            self._db.execute(f"DELETE FROM {table}")
        self._db.execute("COMMIT")
        self._channels.file_epoch = epoch
        self._write_mark(self._commits)

    # channels

    def append(
        self, channel: str, event: str, data: bytes, history: History, key: Key | None, now: float
    ) -> tuple[LogEntry, bool]:
        """Add an entry; (the entry, whether it is new)."""
        row = self._channels.open(channel)
        if key is not None:
            offset = self._published.find(row.id, key)
            if offset is not None:
                return self._channels.entry(row, offset) or LogEntry(
                    offset, offset - 1, event, data, now, self._channels.epoch_of(row)
                ), False
            self._published.add(row.id, key, row.head + 1, now)
        self._changed = True
        return self._channels.append(row, event, data, history, now), True

    def head(self, channel: str) -> tuple[str, int]:
        """(epoch, last offset)."""
        self._channels.flush()
        return self._channels.head(channel)

    def read(self, channel: str, after: int, limit: int, max_bytes: int, now: float) -> Slice:
        """A piece of a log behind `after`."""
        self._channels.flush()
        return self._channels.read(channel, after, limit, max_bytes, now)

    def drop(self, channel: str) -> None:
        """Forget a log."""
        self._changed = True
        self._channels.drop(channel)

    # sessions

    def load(self, session: str) -> SessionRecord | None:
        """A session's record."""
        return self._sessions.load(session)

    def swap(self, record: SessionRecord, expected: int | None, up: float) -> bool:
        """Compare-and-set by generation; what is done needs no key any more. `up`: seconds since the start."""
        if not self._sessions.swap(record, expected, self._uptime + up):
            return False
        self._changed = True
        self._published.done(record.session, record.done)
        return True

    def forget(self, session: str, generation: int | None) -> bool:
        """Delete a record if its generation is still this one."""
        if not self._sessions.forget(session, generation):
            return False
        self._changed = True
        self._published.forget(session)
        return True

    def hold(self, held: list[str], up: float) -> None:
        """These sessions are held by a process."""
        self._changed = True
        self._sessions.hold(held, self._uptime + up)

    # the group's end, and the sweep

    def before_commit(self) -> None:
        """Write what was put off."""
        if self._changed:
            self._channels.flush()
            self._published.flush()
            self._sessions.flush()
            self._db.execute("UPDATE meta SET value = ? WHERE name = 'commits'", (self._commits + 1,))

    def committed(self) -> None:
        """Note in the mark that it was."""
        if self._changed:
            self._changed = False
            self._commits += 1
            self._write_mark(self._commits)
        if self._to_give_back:
            pages, self._to_give_back = self._to_give_back, 0
            with contextlib.suppress(sqlite3.Error):  # later, then
                self._db.executescript(f"PRAGMA incremental_vacuum({pages})")  # execute() would do one page

    def rolled_back(self) -> None:
        """Nothing that was put off counts, and the file is the truth."""
        self._changed = False
        self._channels.rolled_back()
        self._published.rolled_back()
        self._sessions.rolled_back()

    def sweep(self, now: float, up: float, session_ttl: float) -> None:
        """Delete a piece of what nobody will ask for again, and give space back.

        A session's time passes only while a server runs that its client could reach: it counts in seconds of that.
        """
        self._changed = True
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'uptime'", (self._uptime + up,))
        self._channels.sweep(now)
        self._published.sweep(now)
        for session in self._sessions.expired(self._uptime + up - session_ttl, EXPIRED):
            self.forget(session, None)
            self.drop(f"@{session}")
        free = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        self._to_give_back = min(max(0, free - FREE_PAGES), GIVEN_BACK)

    # the mark

    def _read_mark(self) -> int:
        assert self._mark is not None
        os.lseek(self._mark, 0, os.SEEK_SET)
        text = os.read(self._mark, 32).strip()
        return int(text) if text.isdigit() else 1 << 62  # without it nobody knows

    def _write_mark(self, commits: int) -> None:
        if self._mark is not None:
            _write_at_start(self._mark, b"%020d\n" % commits)


if hasattr(os, "pwrite"):

    def _write_at_start(handle: int, data: bytes) -> None:
        os.pwrite(handle, data, 0)

else:

    def _write_at_start(handle: int, data: bytes) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, data)
