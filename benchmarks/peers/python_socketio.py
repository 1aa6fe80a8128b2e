"""python-socketio on uvicorn with acknowledgements."""

from typing import Any

from benchmarks.harness.install import peer_python
from benchmarks.harness.model import Peer

PEER = Peer(
    "python-socketio",
    "events with acknowledgements, rooms; WebSocket only, no compression, uvicorn[standard] with uvloop",
    peer_python("benchmarks.peers.python_socketio"),
    "socket.io",
    ("pip:python-socketio", "pip:uvicorn", "pip:websockets", "pip:uvloop"),
)


def main() -> None:
    """Serve until SIGTERM."""
    import socketio  # type: ignore[import-not-found]

    from benchmarks.harness.on_uvicorn import serve

    server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], http_compression=False)

    @server.on("echo")  # type: ignore[untyped-decorator]
    async def echo(sid: str, text: str) -> str:
        return text

    @server.on("join")  # type: ignore[untyped-decorator]
    async def join(sid: str, data: Any = None) -> str:
        await server.enter_room(sid, "bench")
        return "j"

    @server.on("publish")  # type: ignore[untyped-decorator]
    async def publish(sid: str, text: str) -> str:
        await server.emit("m", text, room="bench")
        return "p"

    serve(socketio.ASGIApp(server))


if __name__ == "__main__":
    main()
