"""Handlers with side effects while their server gets SIGKILL, over and over: what `on_crash` promises."""

import asyncio
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import heartline
from heartline import BackOff, ClientPolicy, Heartbeat

APP = """
import asyncio, os, random, sqlite3
import heartline
from heartline import Message

db = sqlite3.connect("effects.db", isolation_level=None, timeout=30)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA synchronous = OFF")
db.execute("CREATE TABLE IF NOT EXISTS starts (event TEXT, number INTEGER, message TEXT)")
db.execute("CREATE TABLE IF NOT EXISTS effects (message TEXT PRIMARY KEY, number INTEGER)")
app = heartline.Server("sqlite:///app.db")

async def work(event: str, message: Message, number: int) -> int:
    db.execute("INSERT INTO starts VALUES (?, ?, ?)", (event, number, message.id))
    await asyncio.sleep(random.uniform(0.0, 0.01))
    db.execute("INSERT OR IGNORE INTO effects VALUES (?, ?)", (message.id, number))
    await asyncio.sleep(random.uniform(0.0, 0.01))
    return number

@app.on("repeat")
async def repeat(message: Message, number: int) -> int:
    return await work("repeat", message, number)

@app.on("unknown", on_crash="unknown")
async def unknown(message: Message, number: int) -> int:
    return await work("unknown", message, number)
"""
POLICY = ClientPolicy(heartbeat=Heartbeat(1.0, 1.0), back_off=BackOff(0.05, 0.2, 5.0), connect_timeout=5.0)
MESSAGES = 150
CLIENTS = 4


class Life:
    """The server's process: begins again each time it was killed."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.kills = 0
        self._folder = folder
        self._rng = rng
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]

    def _begin(self) -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-m", "heartline", "serve", "app:app", "--port", str(self.port)]
        return subprocess.Popen(words, cwd=self._folder, stdout=subprocess.PIPE)

    async def go_on(self, done: asyncio.Event) -> None:
        """Start it, let it serve for a moment, kill it; until `done`."""
        while not done.is_set():
            process = self._begin()
            try:
                assert process.stdout is not None
                line = await asyncio.to_thread(process.stdout.readline)
                assert line.startswith(b"ws://"), "the server did not start"
                try:
                    await asyncio.wait_for(done.wait(), self._rng.uniform(0.2, 0.9))
                except TimeoutError:
                    self.kills += 1
            finally:
                os.kill(process.pid, signal.SIGKILL)
                process.wait(30)
                if process.stdout is not None:
                    process.stdout.close()


async def call(conn: heartline.Connection, event: str, number: int) -> str:
    try:
        assert await conn.request(event, number) == number
    except heartline.OutcomeUnknown:
        return "unknown"
    except heartline.Rejected as error:
        return error.code
    return "handled"


@pytest.mark.parametrize("seed", [1])
def test_effects_under_kills(tmp_path: Path, seed: int) -> None:
    """`repeat`: each message's effect is there once by its id, which never changes; `unknown`: never started twice."""
    (tmp_path / "app.py").write_text(APP)
    outcomes: dict[tuple[str, int], str] = {}
    life = Life(tmp_path, random.Random(seed))

    async def client(index: int) -> None:
        async with heartline.connect(f"ws://127.0.0.1:{life.port}/", policy=POLICY, linger=0) as conn:
            numbers = range(index * MESSAGES, (index + 1) * MESSAGES)
            keys = [(event, number) for number in numbers for event in ("repeat", "unknown")]
            results = await asyncio.gather(*[call(conn, *key) for key in keys])
            outcomes.update(zip(keys, results, strict=True))

    async def main() -> None:
        done = asyncio.Event()
        serving = asyncio.ensure_future(life.go_on(done))
        try:
            async with asyncio.timeout(100):
                await asyncio.gather(*[client(index) for index in range(CLIENTS)])
        finally:
            done.set()
            await serving

    asyncio.run(main())
    with sqlite3.connect(tmp_path / "effects.db") as db:
        starts = db.execute("SELECT event, number, message FROM starts").fetchall()
        effects = Counter(number for (number,) in db.execute("SELECT number FROM effects"))
    with sqlite3.connect(tmp_path / "app.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    ids: dict[tuple[str, int], set[str]] = defaultdict(set)
    for event, number, message in starts:
        ids[event, number].add(message)
    assert life.kills >= 3, "hardly anything happened"
    assert all(len(one) == 1 for one in ids.values()), "a message had two ids"
    times = Counter((event, number) for event, number, _ in starts)
    assert max(times.values()) > 1, "no kill hit a handler"
    for (event, number), outcome in outcomes.items():
        if event == "repeat":
            assert outcome == "handled"
        else:
            assert outcome in {"handled", "unknown"}
            assert times[event, number] <= 1, "started again after a crash"
            assert outcome == "unknown" or times[event, number] == 1
    for number in range(CLIENTS * MESSAGES):
        handled = outcomes["unknown", number] == "handled"
        assert effects[number] in ({2} if handled else {1, 2}), "an effect is there twice, or is missing"
    assert "unknown" in set(outcomes.values()), "no kill hit a handler that is never repeated"
