"""Databases for the tests of the examples: SQLite, and a real PostgreSQL of their own."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import pytest

BINARIES = [Path("/usr/lib/postgresql"), Path("/opt/homebrew/opt"), Path("/usr/local/opt")]


def binary(name: str) -> str:
    """A program of PostgreSQL's. A machine without it fails the tests that need it."""
    found = shutil.which(name) or next((str(p) for root in BINARIES for p in sorted(root.glob(f"*/bin/{name}"))), None)
    assert found, f"{name} is missing: install PostgreSQL (Debian: apt-get install postgresql)"
    return found


@dataclass
class PostgreSQL:
    """A PostgreSQL in a folder of its own, on loopback. It refuses to run as root, so it does not."""

    folder: Path
    port: int
    _numbers: Iterator[int] = field(default_factory=count)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def _user(self) -> str | None:
        return "postgres" if os.getuid() == 0 else None

    def create(self) -> None:
        if self._user:
            shutil.chown(self.folder, self._user, pwd.getpwnam(self._user).pw_gid)
        command = [binary("initdb"), "-D", self.folder / "data", "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(command, user=self._user, cwd=self.folder, check=True, capture_output=True, timeout=60)

    def start(self) -> None:
        command = [binary("postgres"), "-D", self.folder / "data", "-p", str(self.port), "-h", "127.0.0.1", "-F"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "-k", self.folder], user=self._user, cwd=self.folder, stdout=log, stderr=log
            )
        for _ in range(600):
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)  # at once: whoever is connected is cut off
            process.wait(30)

    def url(self, name: str) -> str:
        return f"postgresql://test@127.0.0.1:{self.port}/{name}"

    def new(self) -> str:
        """The URL of a database nobody used."""
        name = f"db{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = PostgreSQL(folder, port)
    try:
        server.create()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'example.db'}"
    url: str = request.getfixturevalue("postgresql").new()
    return url
