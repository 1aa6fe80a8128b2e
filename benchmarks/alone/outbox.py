"""A Python client's sends, with the outbox in a file or in memory, to a heartline server in another process."""

import argparse
import asyncio
import json
import time

import heartline
from benchmarks.alone.place import fresh_folder
from benchmarks.harness.measure import serving
from benchmarks.peers.heartline_app import PEER
from heartline.core.policy import ClientPolicy, Full, OutboxLimits

MANY = 1000
TEXT = "x" * 98


def main() -> None:
    """Do the work, print the sample."""
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone.outbox")
    parser.add_argument("--outbox", choices=["file", "memory"], required=True)
    parser.add_argument("work", choices=["sequence", "many"], help=f"many: {MANY:,} at once")
    parser.add_argument("--seconds", type=float, default=2.0)
    asked = parser.parse_args()
    with fresh_folder() as folder, serving(PEER) as (port, _):
        outbox = str(folder / "outbox.db") if asked.outbox == "file" else None
        print(json.dumps(uvloop.run(measure(f"ws://127.0.0.1:{port}/", outbox, asked.work, asked.seconds))))


async def measure(url: str, outbox: str | None, work: str, seconds: float) -> dict[str, float]:
    """Send for so long; until all of it is handled."""
    count, longest = 0, 0.0
    policy = ClientPolicy(outbox=OutboxLimits(messages=MANY, full=Full.WAIT))
    async with heartline.connect(url, outbox=outbox, policy=policy) as connection:
        await connection.connected(10)
        await (await connection.send("echo", TEXT))
        began, cpu = time.perf_counter(), time.process_time()
        while (before := time.perf_counter()) - began < seconds:
            if work == "sequence":
                await connection.send("echo", TEXT)
                count += 1
            else:
                receipts = await asyncio.gather(*(connection.send("echo", TEXT) for _ in range(MANY)))
                await receipts[-1]
                count += MANY
            longest = max(longest, time.perf_counter() - before)
        await connection.settled(60)
        spent, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"per_second": count / spent, "per_server_cpu_s": count / cpu, "seconds": spent, "longest_ms": longest * 1e3}


if __name__ == "__main__":
    main()
