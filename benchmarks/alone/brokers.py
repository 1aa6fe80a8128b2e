"""A broker without a server: appends that are acknowledged, entries read back.

`plain` is the same work by the sqlite3 module alone: one insert and one commit after another, synchronous=FULL; a
SELECT of 256 rows at a time.
"""

import argparse
import asyncio
import json
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import uvloop

from benchmarks.alone.place import fresh_folder
from heartline.brokers.memory import MemoryBroker
from heartline.brokers.sqlite import SqliteBroker
from heartline.core.ports import Broker, History
from heartline.server.questions import settled

HISTORY = History(10_000_000, None, 1 << 40)
CHANNELS = 10
PIECE, PIECE_BYTES = 256, 1 << 20
IN_FLIGHT = 2000
MAKERS: dict[str, Callable[[Path], Broker]] = {
    "sqlite": lambda folder: SqliteBroker(folder / "broker.db"),
    "sqlite-normal": lambda folder: SqliteBroker(folder / "broker.db", sync="normal"),
    "memory": lambda folder: MemoryBroker(),
}


def main() -> None:
    """Do the work, print the sample."""
    asked = arguments()
    data = b'"' + b"x" * (asked.size - 2) + b'"'
    with fresh_folder() as folder:
        if asked.broker == "plain":
            counted, seconds, cpu = plain(folder / "plain.db", asked, data)
        else:
            counted, seconds, cpu = uvloop.run(measure(MAKERS[asked.broker](folder), asked, data))
    print(json.dumps({"per_second": counted / seconds, "per_server_cpu_s": counted / cpu, "seconds": seconds}))


def arguments() -> argparse.Namespace:
    """What to do."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone.brokers")
    parser.add_argument("--broker", choices=[*MAKERS, "plain"], required=True)
    parser.add_argument("work", choices=["append", "replay"])
    parser.add_argument("--publishers", type=int, default=1)
    parser.add_argument("--window", type=int, default=1, help="appends under way for each publisher")
    parser.add_argument("--keys", action="store_true", help="append: with idempotency keys, as for clients")
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--entries", type=int, default=100_000, help="replay: of the channel")
    parser.add_argument("--warmup", type=float, default=0.3)
    parser.add_argument("--seconds", type=float, default=2.0)
    return parser.parse_args()


async def measure(broker: Broker, asked: argparse.Namespace, data: bytes) -> tuple[int, float, float]:
    """(how many, in how many seconds, of how much processor time)."""
    await settled(broker.start("bench", lambda _channel, _entry: None, lambda _session: True))
    try:
        if asked.work == "append":
            return await append(broker, asked, data)
        await fill(broker, asked.entries, data)
        return await replay(broker, asked.seconds)
    finally:
        await settled(broker.stop())


async def append(broker: Broker, asked: argparse.Namespace, data: bytes) -> tuple[int, float, float]:
    """Publishers with the idempotency keys that a server gives for its clients' messages."""
    acknowledged = 0
    publishing = True

    async def publish(number: int) -> None:
        nonlocal acknowledged
        channel, session, n = f"channel-{number % CHANNELS}", f"session-{number}", 0
        under_way: deque[object] = deque()
        while publishing:
            n += 1
            under_way.append(broker.append(channel, "e", data, HISTORY, key=(session, n) if asked.keys else None))
            if len(under_way) == asked.window:
                await settled(under_way.popleft())
                acknowledged += 1
                if n % 1024 == 0:
                    await asyncio.sleep(0)  # a broker that answers at once lets nobody else in
        for last in under_way:
            await settled(last)

    publishers = [asyncio.ensure_future(publish(number)) for number in range(asked.publishers)]
    await asyncio.sleep(asked.warmup)
    before, began, cpu = acknowledged, time.perf_counter(), time.process_time()
    await asyncio.sleep(asked.seconds)
    measured = acknowledged - before, time.perf_counter() - began, time.process_time() - cpu
    publishing = False
    await asyncio.gather(*publishers)
    return measured


async def fill(broker: Broker, entries: int, data: bytes) -> None:
    """A channel with so many entries."""
    under_way: deque[object] = deque()
    for _ in range(entries):
        under_way.append(broker.append("channel", "e", data, HISTORY))
        if len(under_way) == IN_FLIGHT:
            await settled(under_way.popleft())
    for last in under_way:
        await settled(last)


async def replay(broker: Broker, seconds: float) -> tuple[int, float, float]:
    """Read the channel in pieces from its beginning, again and again."""
    count = after = 0
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        piece = await settled(broker.read("channel", after, PIECE, PIECE_BYTES))
        count += len(piece.entries)
        after = piece.entries[-1].offset if piece.entries else 0
    return count, time.perf_counter() - began, time.process_time() - cpu


def plain(path: Path, asked: argparse.Namespace, data: bytes) -> tuple[int, float, float]:
    """What the module gives by itself."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE entries (id INTEGER PRIMARY KEY, event TEXT, data BLOB, at REAL)")
    insert = "INSERT INTO entries (event, data, at) VALUES ('e', ?, ?)"
    if asked.work == "replay":
        db.execute("BEGIN")
        db.executemany(insert, ((data, time.time()) for _ in range(asked.entries)))
        db.execute("COMMIT")
    count = after = 0
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < asked.seconds:
        if asked.work == "append":
            db.execute(insert, (data, time.time()))
            count += 1
        else:
            rows = db.execute("SELECT * FROM entries WHERE id > ? ORDER BY id LIMIT ?", (after, PIECE)).fetchall()
            count += len(rows)
            after = rows[-1][0] if rows else 0
    db.close()
    return count, time.perf_counter() - began, time.process_time() - cpu


if __name__ == "__main__":
    main()
