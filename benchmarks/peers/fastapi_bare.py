"""FastAPI on uvicorn: an echo without sessions; uvloop and httptools, as uvicorn[standard] has it, no access log."""

from benchmarks.harness.install import peer_python
from benchmarks.harness.model import Peer

PEER = Peer(
    "FastAPI",
    "bare: an echo loop on uvicorn[standard], no sessions; compression off, uvloop, no access log",
    peer_python("benchmarks.peers.fastapi_bare"),
    "echo",
    ("pip:fastapi", "pip:uvicorn", "pip:websockets", "pip:uvloop"),
)


def main() -> None:
    """Serve until SIGTERM."""
    from fastapi import FastAPI, WebSocket, WebSocketDisconnect  # type: ignore[import-not-found]

    from benchmarks.harness.on_uvicorn import serve

    app = FastAPI()

    @app.websocket("/")  # type: ignore[untyped-decorator]
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text(await socket.receive_text())
        except WebSocketDisconnect:
            pass

    serve(app)


if __name__ == "__main__":
    main()
