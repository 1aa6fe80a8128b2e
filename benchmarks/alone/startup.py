"""A server starts on a file that holds much: the time until its port is open, its memory then, the first resumption.

The file is made by the broker itself and kept for later runs, until the broker's sources change. Before each start the
system is asked to forget what it has of the file, so that it comes from the disk.
"""

import argparse
import asyncio
import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections import deque
from pathlib import Path
from typing import Any

import uvloop
from websockets.sync.client import ClientConnection, connect

from benchmarks.alone.place import fresh_folder
from benchmarks.harness.build import BUILD
from benchmarks.harness.measure import python, serving
from benchmarks.harness.model import Peer
from heartline.brokers import sqlite
from heartline.brokers.sqlite import SqliteBroker
from heartline.core.ports import History, SessionRecord

HISTORY = History(10_000_000, None, 1 << 40)
CHANNELS = 100
IN_FLIGHT = 2000


def main() -> None:
    """Do the work, print the sample."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone.startup")
    parser.add_argument("file", choices=["full", "empty"], help="empty: but for the session that comes back")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=50_000)
    asked = parser.parse_args()
    entries, sessions = (asked.entries, asked.sessions) if asked.file == "full" else (CHANNELS, 1)
    if asked.file == "full":
        print(json.dumps(start(kept_file(entries, asked.size, sessions), sessions)))
        return
    with fresh_folder() as folder:
        uvloop.run(make(folder / "bench.db", entries, asked.size, sessions))
        print(json.dumps(start(folder / "bench.db", sessions)))


def start(file: Path, sessions: int) -> dict[str, float]:
    """Start a server on the file, bring a session back."""
    forget_cached(file)
    peer = Peer("heartline", "", python("benchmarks.peers.heartline_app", "--file", str(file)), "heartline.1")
    began = time.perf_counter()
    with serving(peer) as (port, pid):
        opened = time.perf_counter()
        memory = resident(pid)
        resumed = resume(port, sessions // 2)
        answered = time.perf_counter()
        grown = resident(pid)
    return {
        "start_s": opened - began,
        "resume_ms": resumed * 1000,
        "memory": memory,
        "memory_resumed": grown,
        "until_resumed_s": answered - began,
        "file": file.stat().st_size,
    }


def resume(port: int, number: int) -> float:
    """Seconds from the dial until a session is welcomed and has the last entry of its channel."""
    hello = {
        "instance": "bench",
        "floor": 1,
        "session": f"session-{number}",
        "key": f"key-{number}",
    }
    began = time.perf_counter()
    with connect(f"ws://127.0.0.1:{port}/", subprotocols=["heartline.1"]) as socket:  # type: ignore[list-item]
        socket.send(json.dumps(["hello", hello]))
        welcome = wait_for(socket, "welcome")
        if not welcome[1]["resumed"]:
            raise SystemExit(f"not resumed: {welcome}")
        channel = f"long/{number % CHANNELS}"
        socket.send(json.dumps(["sub", 1, channel]))
        head = wait_for(socket, "ok")[2]
        socket.send(json.dumps(["unsub", 1, channel]))
        socket.send(json.dumps(["sub", 2, channel, [head["epoch"], head["offset"] - 1]]))
        wait_for(socket, "msg")
        return time.perf_counter() - began


def wait_for(socket: ClientConnection, kind: str) -> list[Any]:
    """The next frame of a kind."""
    while True:
        frame: list[Any] = json.loads(socket.recv(timeout=20))
        if frame[0] == kind:
            return frame
        if frame[0] in {"refused", "no"}:
            raise SystemExit(f"{kind} expected, not {frame}")


def resident(pid: int) -> int:
    """Bytes of memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def kept_file(entries: int, size: int, sessions: int) -> Path:
    """A file of that size, made once."""
    package = Path(sqlite.__file__).parent
    seal = hashlib.sha256(b"\0".join(source.read_bytes() for source in sorted(package.glob("*.py"))))
    seal.update(Path(__file__).read_bytes())
    folder = BUILD / "files"
    made = folder / f"{entries}-{size}-{sessions}-{seal.hexdigest()[:12]}"
    if not made.exists():
        for older in folder.glob(f"{entries}-{size}-{sessions}-*"):
            shutil.rmtree(older)
        fresh = folder / "new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        uvloop.run(make(fresh / "bench.db", entries, size, sessions))
        fresh.rename(made)
    return made / "bench.db"


async def make(file: Path, entries: int, size: int, sessions: int) -> None:
    """Entries in channels, and detached sessions that have been told of two results."""
    broker = SqliteBroker(file, sync="normal", session_ttl=1e9)
    await broker.start("maker", lambda _channel, _entry: None, lambda _session: True)
    data = b'"' + b"x" * (size - 2) + b'"'
    under_way: deque[asyncio.Future[object]] = deque()

    async def wait(left: int) -> None:
        while len(under_way) > left:
            await under_way.popleft()

    for number in range(entries):
        under_way.append(broker.append(f"long/{number % CHANNELS}", "e", data, HISTORY))  # type: ignore[arg-type]
        await wait(IN_FLIGHT)
    results = {1: b'["reply",1,"one"]', 2: b'["reply",2,"two"]'}
    for number in range(sessions):
        record = SessionRecord(
            f"session-{number}", f"key-{number}", "", f"i-{number}", 1, "maker", 1, 2, 2, dict(results), [], "", 0.0
        )
        under_way.append(broker.swap(record, None))  # type: ignore[arg-type]
        await wait(IN_FLIGHT)
    await wait(0)
    await broker.stop()


def forget_cached(file: Path) -> None:
    """Have the next reader read from the disk."""
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    handle = os.open(file, os.O_RDWR)
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


if __name__ == "__main__":
    main()
