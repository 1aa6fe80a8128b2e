"""What a client in Python manages beside a bare one: the client on one core, a server in C (loadgen/serve.c) on another.

- receive: entries of a channel, decoded, with the cursor kept and told, beside a picows listener that counts frames:
  as many as come when the server writes 64 KiB at a time, or with `--pace` one write each, that many microseconds apart;
- request: 64 requests under way, beside a picows listener that sends the next message whenever one comes back.
"""

import argparse
import asyncio
import json
import os
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

from benchmarks.harness.build import load_generator
from benchmarks.harness.measure import LOAD_CORE, SERVER_CORE

WINDOW = 64
WARM_UP = 0.3
Sample = dict[str, float]


def main() -> None:
    """Do the work, print the sample."""
    import uvloop

    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone.client")
    parser.add_argument("--client", choices=["heartline", "picows"], required=True)
    parser.add_argument("work", choices=["receive", "request"])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--pace", type=int, default=0)
    asked = parser.parse_args()
    os.sched_setaffinity(0, {int(SERVER_CORE)})
    client = CLIENTS[asked.client, asked.work]
    with c_server(asked.size, asked.pace) as port:
        print(json.dumps(uvloop.run(client(f"ws://127.0.0.1:{port}/", asked.seconds, asked.size))))


@contextmanager
def c_server(size: int, pace: int = 0) -> Iterator[int]:
    """The port of a server that is quicker than its client."""
    command = ["taskset", "-c", LOAD_CORE, str(load_generator()), "serve", "--size", str(size), "--pace", str(pace)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield int(json.loads(process.stdout.readline())["port"])
    finally:
        process.terminate()
        process.wait()


class Meter:
    """Counts after a warm-up until the time is over."""

    def __init__(self, seconds: float) -> None:
        self.count = 0
        self._seconds = seconds

    async def run(self) -> Sample:
        """The sample of what others count in the meantime."""
        await asyncio.sleep(WARM_UP)
        before, began, cpu = self.count, time.perf_counter(), time.process_time()
        await asyncio.sleep(self._seconds)
        count, spent, cpu = self.count - before, time.perf_counter() - began, time.process_time() - cpu
        if not count:
            raise SystemExit("client: nothing came")
        return {"messages": count, "per_second": count / spent, "per_server_cpu_s": count / cpu, "seconds": spent}


async def heartline_receives(url: str, seconds: float, size: int) -> Sample:
    """Follow a channel as an application does."""
    import heartline

    meter = Meter(seconds)

    async def follow() -> None:
        last = 0
        async for entry in connection.subscribe("bench"):
            if not isinstance(entry, heartline.Entry) or entry.offset != last + 1 or len(entry.data) != size - 2:
                raise SystemExit(f"client: {entry!r} after {last}")
            last = entry.offset
            meter.count += 1

    async with heartline.connect(url) as connection:
        await connection.connected(10)
        return await _beside(meter.run(), follow())


async def heartline_requests(url: str, seconds: float, size: int) -> Sample:
    """So many tasks, each with one request after the other."""
    import heartline

    meter, text = Meter(seconds), "x" * (size - 2)

    async def ask() -> None:
        while True:
            if await connection.request("echo", text) != text:
                raise SystemExit("client: a wrong answer")
            meter.count += 1

    async with heartline.connect(url) as connection:
        await connection.connected(10)
        return await _beside(meter.run(), *(ask() for _ in range(WINDOW)))


async def _beside(measured: Coroutine[None, None, Sample], *others: Coroutine[None, None, None]) -> Sample:
    """What is measured while the others work; what goes wrong there ends it."""
    tasks = [asyncio.create_task(other) for other in others]
    measuring = asyncio.create_task(measured)
    done, _ = await asyncio.wait([measuring, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for task in tasks:
        if task in done:
            task.result()
    await asyncio.gather(*tasks, return_exceptions=True)
    return measuring.result()


async def picows_receives(url: str, seconds: float, size: int) -> Sample:
    """Count frames."""
    from picows import WSFrame, WSListener, WSTransport, ws_connect

    meter = Meter(seconds)

    class Counter(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            meter.count += 1

    transport, _ = await ws_connect(Counter, url + "feed")
    sample = await meter.run()
    transport.disconnect()
    return sample


async def picows_requests(url: str, seconds: float, size: int) -> Sample:
    """Keep so many messages on the road."""
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    meter, text = Meter(seconds), b'"' + b"x" * (size - 2) + b'"'

    class Asker(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            meter.count += 1
            transport.send(WSMsgType.TEXT, text)

    transport, _ = await ws_connect(Asker, url)
    for _ in range(WINDOW):
        transport.send(WSMsgType.TEXT, text)
    sample = await meter.run()
    transport.disconnect()
    return sample


CLIENTS: dict[tuple[str, str], Callable[[str, float, int], Coroutine[None, None, Sample]]] = {
    ("heartline", "receive"): heartline_receives,
    ("heartline", "request"): heartline_requests,
    ("picows", "receive"): picows_receives,
    ("picows", "request"): picows_requests,
}


if __name__ == "__main__":
    main()
