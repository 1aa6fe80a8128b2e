"""The websockets package: an echo without sessions, compression off as its documentation advises for speed."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import Peer

PEER = Peer(
    "websockets",
    "bare: an echo loop, no sessions; compression off, uvloop",
    python("benchmarks.peers.websockets_bare"),
    "echo",
    ("websockets", "uvloop"),
)


def main() -> None:
    """Serve until SIGTERM."""
    import asyncio
    import contextlib

    import uvloop
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosed

    async def echo(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)

    async def run() -> None:
        async with serve(echo, "127.0.0.1", 0, compression=None, backlog=4096) as server:
            print(f'{{"port": {next(iter(server.sockets)).getsockname()[1]}}}', flush=True)
            await asyncio.Event().wait()

    uvloop.run(run())


if __name__ == "__main__":
    main()
