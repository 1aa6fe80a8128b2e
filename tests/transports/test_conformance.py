"""Autobahn's cases, run by kosoku against our server and our client.

Left out: 12 and 13 (compression, which we do not offer) and 9 (64 MiB messages: limits and speed, not rules).
"""

import asyncio
import json
import socket
import sys
from pathlib import Path
from urllib.parse import quote

from heartline.transports import Accept, DialError, SocketLimits, dial, listen

from .helpers import Recorder

PATIENCE = 90.0
KOSOKU = Path(sys.executable).with_name("kosoku")
WITHOUT = ("-x", "9.*", "-x", "12.*", "-x", "13.*")
CASES = 247
FINE = {"OK", "NON-STRICT", "INFORMATIONAL"}

# Cases that may fail, each with the reason. None does.
ALLOWED: dict[str, str] = {}


class Echo:
    """A handler that only echoes."""

    def on_open(self, socket):  # type: ignore[no-untyped-def]
        self.socket = socket

    def on_message(self, data: bytes) -> None:
        self.socket.send(data)

    def on_binary(self, data: bytes) -> None:
        self.socket.send_binary(data)

    def on_activity(self) -> None:
        pass

    def on_close(self, code: int, reason: str) -> None:
        pass

    def on_writable(self) -> None:
        pass


def judge(directory: Path) -> None:
    """Every case fine, as to behaviour and as to the way it closed."""
    (cases,) = json.loads((directory / "index.json").read_text()).values()
    bad = {
        name: (case["behavior"], case["behaviorClose"])
        for name, case in cases.items()
        if name not in ALLOWED and not {case["behavior"], case["behaviorClose"]} <= FINE
    }
    assert not bad
    assert len(cases) == CASES


async def kosoku(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        KOSOKU, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )


def test_our_server_keeps_every_rule(tmp_path: Path) -> None:
    async def run() -> None:
        limits = SocketLimits(max_message=16 << 20, write_limit=32 << 20)
        listener = await listen(lambda request: Accept(Echo()), "127.0.0.1", 0, limits=limits)
        port = listener.addresses[0][1]
        # Several at once: some cases wait for seconds.
        tester = await kosoku(f"127.0.0.1:{port}", *WITHOUT, "-p", "8", "-o", str(tmp_path))
        _, errors = await asyncio.wait_for(tester.communicate(), PATIENCE)
        assert tester.returncode == 0, errors.decode()
        listener.close()
        await asyncio.wait_for(listener.wait_closed(), PATIENCE)

    asyncio.run(run())
    judge(tmp_path)


def test_our_client_keeps_every_rule(tmp_path: Path) -> None:
    async def run() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            base = f"ws://127.0.0.1:{free.getsockname()[1]}"
        tester = await kosoku(base.removeprefix("ws://"), "-m", "fuzzingserver", *WITHOUT, "-o", str(tmp_path))
        limits = SocketLimits(max_message=16 << 20, write_limit=32 << 20)

        async def one(path: str, *, echo: bool = True) -> Recorder:
            client = Recorder(echo=echo)
            await dial(base + path, client, subprotocols=(), limits=limits)
            await asyncio.wait_for(client.closed, PATIENCE)
            return client

        try:
            async with asyncio.timeout(10):
                while True:
                    try:
                        counter = await one("/getCaseCount", echo=False)
                        break
                    except DialError:  # not listening yet
                        await asyncio.sleep(0.05)
            count = int(await counter.text())
            slots = asyncio.Semaphore(8)

            async def case(number: int) -> None:
                async with slots:
                    await one(f"/runCase?case={number}&agent={quote('heartline')}")

            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                for number in range(1, count + 1):
                    group.create_task(case(number))
            await one("/updateReports?agent=heartline")
            _, errors = await asyncio.wait_for(tester.communicate(), PATIENCE)
            assert tester.returncode == 0, errors.decode()
        finally:
            if tester.returncode is None:
                tester.terminate()
                await tester.communicate()

    asyncio.run(run())
    judge(tmp_path)
