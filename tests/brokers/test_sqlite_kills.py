"""SIGKILL at random moments, over and over on one file: what was acknowledged is there, and nothing is there twice."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .sqlite_kit import DAY, Files, offsets, started

WRITER = """
import asyncio, sys
from pathlib import Path
from heartline.brokers.sqlite import SqliteBroker
from heartline.core.ports import History, SessionRecord

def record(session, n, generation):
    results = {m: b'["reply",%d,1]' % m for m in range(max(1, n - 9), n + 1)}
    return SessionRecord(session, "k", "", "i", generation, "node", max(1, n - 9), n, n, results, [])

async def publish(broker, i, begin):
    for k in range(begin, 1 << 40):
        _, entry = await broker.append(f"c{i % 3}", "e", b'"%d/%d"' % (i, k), History(1 << 40, bytes=1 << 40), key=(f"p{i}", k))
        print("a", i % 3, entry.offset, f"{i}/{k}", flush=True)

async def serve(broker, i):
    session = f"s{i}"
    known = await broker.load(session)
    n, generation = (known.done, known.generation) if known else (0, 0)
    assert await broker.swap(record(session, n, generation + 1), generation or None)
    while True:
        n += 1
        assert await broker.swap(record(session, n, generation + 1), generation + 1)
        print("s", i, n, generation + 1, flush=True)

async def main():
    broker = SqliteBroker(Path(sys.argv[1]))
    await broker.start("node", lambda c, e: None, lambda s: True)
    begin = int(sys.argv[2])
    async with asyncio.TaskGroup() as group:
        for i in range(20):
            group.create_task(publish(broker, i, begin))
        for i in range(5):
            group.create_task(serve(broker, i))

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_points(tmp_path: Path, seed: int) -> None:
    """`seed` chooses when; what a kill hits is the system's choice."""
    rng = random.Random(seed)
    path, program = tmp_path / "a.db", tmp_path / "writer.py"
    program.write_text(WRITER)
    told: dict[tuple[int, int], str] = {}
    sessions: dict[int, tuple[int, int]] = {}
    for life in range(6):
        process = subprocess.Popen([sys.executable, program, path, str(life * 1_000_000)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        lines = [process.stdout.readline()]  # it works: from here on it may die at any time
        time.sleep(rng.uniform(0.0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
        process.stdout.close()
        process.wait(30)
        for line in lines:
            kind, *rest = line.decode().split()
            if line.endswith(b"\n") and kind == "a":
                told[int(rest[0]), int(rest[1])] = rest[2]
            elif line.endswith(b"\n"):
                sessions[int(rest[0])] = (int(rest[1]), int(rest[2]))
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(told) > 500, "hardly anything happened"
    asyncio.run(check(path, told, sessions))


async def check(path: Path, told: dict[tuple[int, int], str], sessions: dict[int, tuple[int, int]]) -> None:
    files = Files(path.parent, session_ttl=1000 * DAY)
    broker = await started(files.over(path))
    for channel in range(3):
        name = f"c{channel}"
        entries = (await broker.read(name, 0, 1 << 30, 1 << 40)).entries
        assert [e.offset for e in entries] == list(range(1, len(entries) + 1))
        data = [e.data.decode().strip('"') for e in entries]
        assert len(set(data)) == len(data), "a message is there twice"
        for (number, offset), text in told.items():
            assert number != channel or data[offset - 1] == text, "acknowledged, and not there"
        for publisher in range(channel, 20, 3):  # of each life the first so many, in order
            mine = [int(text.split("/")[1]) for text in data if text.startswith(f"{publisher}/")]
            assert mine == sorted(mine)
            starts = {k - k % 1_000_000 for k in mine}
            assert all(set(range(s, max(k for k in mine if k - k % 1_000_000 == s) + 1)) <= set(mine) for s in starts)
        assert await offsets(broker, name, len(entries)) == []
    for number, (n, generation) in sessions.items():
        record = await broker.load(f"s{number}")
        assert record is not None
        assert (record.done, record.generation) >= (n, generation)
        assert set(record.results) == set(range(max(1, record.done - 9), record.done + 1)), "half a record"
    await broker.stop()
