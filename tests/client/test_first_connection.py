"""What a first plain connection loads: time from the start of a process until it is connected is nearly all imports.

- a first connection loads no more than it needs, and builds no class the slow way (the rooms it does without load when
  they are asked for, which the other tests of this folder show).
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.client.conftest import PATIENCE, Run
from tests.client.world import world

SOURCES = Path(__file__).resolve().parents[2] / "src"

PROGRAM = """
import sys
before = set(sys.modules)
import asyncio, json
import heartline

async def main():
    async with heartline.connect(sys.argv[1]) as connection:
        await connection.connected(10)
        await connection.request("echo", 1)
        loaded = sorted(set(sys.modules) - before)
    built = {
        f"{made.__module__}.{made.__qualname__}"
        for name in loaded if name.startswith("heartline")
        for made in vars(sys.modules[name]).values()
        if isinstance(made, type) and "__dataclass_fields__" in vars(made)
    }
    print(json.dumps({"loaded": loaded, "built": sorted(built)}))

asyncio.run(main())
"""

NOT_NEEDED = {
    # of heartline: whole rooms, and what only servers, files, foreign servers and proxies need
    "heartline.brokers", "heartline.cli", "heartline.core.ports", "heartline.core.saved", "heartline.core.server",
    "heartline.client.durable", "heartline.client.foreign", "heartline.client.outbox_file", "heartline.faults",
    "heartline.observe", "heartline.dialects.client_channels", "heartline.dialects.client_messages",
    "heartline.dialects.client_translator", "heartline.dialects.forms", "heartline.dialects.presets",
    "heartline.dialects.spec", "heartline.server", "heartline.storage", "heartline.testing", "heartline.transports.api",
    "heartline.transports.linger", "heartline.transports.proxies", "heartline.transports.server",
    "heartline.transports.tls",
    # of others
    "aiofastnet.api_create_connection", "aiofastnet.ssl_transport", "picows.api", "picows.proxy", "picows.url",
    "python_socks", "uvloop",
    # of Python
    "concurrent.futures.thread", "csv", "email", "encodings.idna", "hmac", "importlib.metadata", "importlib.resources",
    "importlib.util", "queue", "random", "secrets", "shutil", "sqlite3", "stringprep", "tempfile", "zipfile",
}  # fmt: skip
DATACLASSES = "heartline.core.policy."
"""A frozen dataclass takes 0.7 ms to make, a `msgspec.Struct` 0.02."""


def first_connection(url: str) -> dict[str, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, list[str]] = json.loads(done.stdout)
    return told


def test_a_first_connection_loads_no_more_than_it_needs(run: Run) -> None:
    async def main() -> None:
        async with world() as place:
            told = await asyncio.to_thread(first_connection, place.direct)
            loaded = set(told["loaded"])
            assert {"heartline.client.connect", "heartline.transports.client", "picows.picows"} <= loaded
            assert sorted(loaded & NOT_NEEDED) == []
            assert [name for name in told["built"] if not name.startswith(DATACLASSES)] == []

    run(main())


def test_what_is_not_needed_exists() -> None:
    """Or the test above would pass for a name that has moved."""
    for name in NOT_NEEDED:
        __import__(name)
