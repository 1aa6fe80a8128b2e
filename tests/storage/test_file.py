"""Opening an SQLite file: who may, and what is said when it cannot be."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from heartline.core.errors import BrokerError
from heartline.storage.file import connect, create_tables, explain, lock

SCHEMA = "CREATE TABLE t (n INTEGER);"
HOLD = "import sys; from pathlib import Path; from heartline.storage.file import lock; lock(Path(sys.argv[1])); print(1, flush=True); sys.stdin.read()"


def prepared(path: Path, application: int = 7, version: int = 1) -> bool:
    connection = connect(path, sync="full")
    try:
        return create_tables(path, connection, SCHEMA, application=application, version=version)
    finally:
        connection.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BrokerError, match=r"a\.db is in use by another process"):
            lock(path)
        other.kill()
        other.wait(20)
        os.close(lock(path))


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    assert prepared(path, version=3)
    before = path.read_bytes()
    with pytest.raises(BrokerError, match="newer heartline"):
        prepared(path, version=2)
    assert path.read_bytes() == before
    assert not prepared(path, version=3)


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (n)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(BrokerError, match="another kind"):
        prepared(path)
    assert path.read_bytes() == before
    path.write_bytes(b"this is a letter to my aunt" * 50)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        prepared(path)
    assert "is not an SQLite file" in str(explain(path, caught.value))
    assert path.read_bytes().startswith(b"this is a letter")


def test_new_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    before = os.umask(0o000)
    try:
        handle = lock(path)
    finally:
        os.umask(before)
    prepared(path)
    os.close(handle)
    assert path.stat().st_mode & 0o077 == 0
    for each in tmp_path.iterdir():
        assert each.stat().st_mode & 0o077 == 0, each


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"none/a\.db cannot be used: No such file"):
        lock(tmp_path / "none" / "a.db")
    with pytest.raises(BrokerError, match="cannot be used: Is a directory"):
        lock(tmp_path)
