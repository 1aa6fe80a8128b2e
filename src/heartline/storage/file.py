"""Opening an SQLite file: the lock, pragmas, versions, and words for what can be wrong.

Invariants:
- one process at a time uses a file, and the system lets go of it however the process dies
  (test_a_second_process_is_refused);
- a file of a newer version, or of another program, is left as it is (test_a_newer_file_is_left_alone,
  test_a_file_of_another_program_is_left_alone);
- a new file can be read by its owner only: it holds session keys (test_new_files_are_private).
"""

import os
import sqlite3
import sys
from pathlib import Path
from typing import Final

from heartline.core.errors import BrokerError

BUSY: Final = 5.0
"""Seconds to wait for another program, such as a back-up, that has locked the file."""

_CAUSES: Final = (
    ("locked", "is locked by another program"),
    ("readonly", "cannot be written: it is read-only"),
    ("full", "cannot be written: the disk is full"),
    ("unable to open", "cannot be opened: do its folder and the right to write there exist?"),
    ("not a database", "is not an SQLite file"),
    ("malformed", "is damaged (database disk image is malformed): restore a copy"),
    ("disk I/O", "cannot be read or written: the disk fails"),
)


def connect(path: Path, *, sync: str) -> sqlite3.Connection:
    """Open the file, and change nothing in it yet. Raises sqlite3.Error; `explain` has words for it."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY, cached_statements=256)
    try:
        connection.execute(f"PRAGMA synchronous = {sync.upper()}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA cache_size = -32768")
    except BaseException:
        connection.close()
        raise
    return connection


def explain(path: Path, error: BaseException) -> BrokerError:
    """What is wrong with the file, in words for a person."""
    text = str(error)
    for sign, cause in _CAUSES:
        if sign in text:
            return BrokerError(f"{path} {cause}")
    return BrokerError(f"{path}: {text}")


def create_tables(path: Path, connection: sqlite3.Connection, schema: str, *, application: int, version: int) -> bool:
    """Create the tables in an empty file, or check that the file is ours; whether they were created.

    `application` tells kinds of files apart (PRAGMA application_id), `version` their formats (PRAGMA user_version).
    Raises BrokerError.
    """
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            f"BEGIN; {schema} PRAGMA user_version = {version}; PRAGMA application_id = {application}; COMMIT;"
        )
        return True
    if connection.execute("PRAGMA application_id").fetchone()[0] != application:
        raise BrokerError(f"{path} is an SQLite file of another kind: it is left as it is, choose another name")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > version:
        raise BrokerError(f"{path} was made by a newer heartline (format {found}, this one knows up to {version})")
    return False


def lock(path: Path) -> int:
    """Hold `path` for this process by the file `path`-lock; close the handle to let go. Raises BrokerError."""
    try:
        handle = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise BrokerError(f"{path} cannot be used: {error.strerror}") from None
    try:
        _lock(handle)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would let everybody read it
    except BlockingIOError:
        os.close(handle)
        raise BrokerError(f"{path} is in use by another process") from None
    except OSError as error:
        os.close(handle)
        raise BrokerError(f"{path} cannot be used: {error.strerror}") from None
    return handle


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError from error

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
