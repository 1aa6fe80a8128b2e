"""heartline as an application would use it: a typed handler, channels that clients may publish to."""

import argparse
import contextlib

from benchmarks.harness.measure import python
from benchmarks.harness.model import Peer

PACKAGES = ("heartline", "picows", "aiofastnet", "msgspec", "uvloop")
PEER = Peer(
    "heartline",
    "full sessions: numbered, acknowledged, resumable; a typed async handler",
    python("benchmarks.peers.heartline_app"),
    "heartline.1",
    PACKAGES,
)


def main() -> None:
    """Serve until SIGTERM: in memory, with `--durable` in a new file, with `--file` in that one."""
    from benchmarks.alone.place import fresh_folder
    from heartline import Heartbeat, Server, ServerLimits, Session

    parser = argparse.ArgumentParser()
    parser.add_argument("--durable", action="store_true")
    parser.add_argument("--heartbeat", type=float, default=25.0, help="seconds between two of a session")
    parser.add_argument("--file")
    parser.add_argument("--history", type=int, help="entries of a channel, and `bench` has as many from the start")
    parser.add_argument("--size", type=int, default=200, help="bytes of each of these")
    asked = parser.parse_args()
    with fresh_folder() if asked.durable else contextlib.nullcontext() as folder:
        file = f"{folder}/bench.db" if asked.durable else asked.file
        limits = ServerLimits(rate=None, frames=1e9)  # one client is to show what the server can do
        broker = f"sqlite:///{file}" if file else "memory://"
        app = Server(broker, limits=limits, heartbeat=Heartbeat(asked.heartbeat, 0.4 * asked.heartbeat))

        @app.on("echo")
        async def echo(session: Session, text: str) -> str:
            return text

        @app.on("note")
        async def note(session: Session, text: str) -> None:
            pass

        app.channel("long/{name}", publish=True, history=10_000_000, history_bytes=1 << 40)
        if asked.history is None:
            app.channel("{name}", publish=True, history=1000)
        else:
            app.channel("{name}", publish=True, history=asked.history, history_bytes=1 << 40)

        @app.startup
        async def fill() -> None:
            for _ in range(asked.history or 0):
                await app.publish("bench", "m", "x" * (asked.size - 2))

        app.run(port=0, drain=0.0, ready=lambda address: print(f'{{"port": {address.port}}}', flush=True))


if __name__ == "__main__":
    main()
