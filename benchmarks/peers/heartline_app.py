"""heartline as an application would use it: a typed handler, a channel that clients may publish to."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import Peer

PEER = Peer(
    "heartline",
    "full sessions: numbered, acknowledged, resumable; a typed async handler",
    python("benchmarks.peers.heartline_app"),
    "heartline.1",
    ("heartline", "picows", "aiofastnet", "msgspec", "uvloop"),
)


def main() -> None:
    """Serve until SIGTERM."""
    from heartline import Server, Session

    app = Server()

    @app.on("echo")
    async def echo(session: Session, text: str) -> str:
        return text

    app.channel("{name}", publish=True, history=1000)
    app.run(port=0, drain=0.0, ready=lambda address: print(f'{{"port": {address.port}}}', flush=True))


if __name__ == "__main__":
    main()
