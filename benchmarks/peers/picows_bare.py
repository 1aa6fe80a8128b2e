"""picows alone: an echo without sessions, and the naive fan-out, a loop over the subscribers."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import Peer

PEER = Peer(
    "picows",
    "bare: no sessions, no numbers, nothing kept; fan-out is a loop over the subscribers",
    python("benchmarks.peers.picows_bare"),
    "echo",
    ("picows", "aiofastnet", "uvloop"),
)


def main() -> None:
    """Serve until SIGTERM. /publish sends to all who follow, /follow follows, anything else echoes."""
    import asyncio

    import uvloop
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

    followers: set[WSTransport] = set()

    class Echo(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())

    class Follower(WSListener):
        def on_ws_connected(self, transport: WSTransport) -> None:
            followers.add(transport)

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            followers.discard(transport)

    class Publisher(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            payload = frame.get_payload_as_bytes()
            for follower in followers:
                follower.send(WSMsgType.TEXT, payload)

    kinds = {b"/publish": Publisher, b"/follow": Follower}

    async def serve() -> None:
        def listener(request: WSUpgradeRequest) -> WSListener:
            return kinds.get(request.path, Echo)()

        server = await ws_create_server(listener, "127.0.0.1", 0, backlog=4096)
        print(f'{{"port": {server.sockets[0].getsockname()[1]}}}', flush=True)
        await asyncio.Event().wait()

    uvloop.run(serve())


if __name__ == "__main__":
    main()
