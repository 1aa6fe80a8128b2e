"""From the import to the first connection, in fresh interpreters: time inside the process, its own start not counted.

Each client has an environment of its own, as pip installs it: in the developers' environment `websockets` would find
python-socks, and msgspec typing-extensions, and both load what they find.
"""

import argparse
import json
import os
import subprocess
from statistics import median

from benchmarks.alone.client import c_server
from benchmarks.harness.install import alone
from benchmarks.harness.measure import SERVER_CORE

PROGRAMS = {
    "heartline": """
import time; began = time.perf_counter()
import heartline
imported = time.perf_counter()
import asyncio
async def main():
    async with heartline.connect({url!r}) as connection:
        await connection.connected(10)
        print(imported - began, time.perf_counter() - began)
asyncio.run(main())
""",
    "websockets": """
import time; began = time.perf_counter()
import websockets
imported = time.perf_counter()
import asyncio
async def main():
    async with websockets.connect({url!r}) as connection:
        print(imported - began, time.perf_counter() - began)
asyncio.run(main())
""",
}


def main() -> None:
    """Do the work, print the sample."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone.first_connection")
    parser.add_argument("--client", choices=list(PROGRAMS), required=True)
    parser.add_argument("--starts", type=int, default=10)
    asked = parser.parse_args()
    imports: list[float] = []
    connects: list[float] = []
    python = alone(asked.client)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with c_server(200) as port:
        program = PROGRAMS[asked.client].format(url=f"ws://127.0.0.1:{port}/")
        for number in range(asked.starts + 1):
            command = ["taskset", "-c", SERVER_CORE, str(python), "-Ic", program]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
            if done.returncode:
                raise SystemExit(f"{asked.client}: {done.stderr}")
            imported, connected = map(float, done.stdout.split())
            if number:  # the first finds nothing in the system's caches
                imports.append(imported)
                connects.append(connected)
    print(json.dumps({"seconds": median(connects), "import_s": median(imports)}))


if __name__ == "__main__":
    main()
