"""mosquitto over WebSocket: a broker in C; the load subscribes and publishes with QoS 1."""

from benchmarks.harness.measure import python
from benchmarks.harness.model import Peer

PEER = Peer(
    "mosquitto",
    "MQTT over WebSocket, QoS 1, clean sessions; no limit in flight, nothing written to a disk",
    python("benchmarks.peers.mosquitto"),
    "mqtt",
    ("apt:mosquitto",),
)
CONFIG = """
listener {other} 127.0.0.1
listener {port} 127.0.0.1
protocol websockets
allow_anonymous true
persistence false
max_inflight_messages 0
max_queued_messages 0
set_tcp_nodelay true
log_type error
"""
"""Its first listener is there because Debian's 2.0 refuses to start with none but WebSocket's."""


def main() -> None:
    """Tell the port, then become the broker."""
    import os
    from pathlib import Path

    from benchmarks.harness.build import BUILD
    from benchmarks.harness.install import system_program
    from benchmarks.harness.ports import free_port

    port = free_port()
    config = Path(BUILD, "mosquitto.conf")
    config.write_text(CONFIG.format(port=port, other=free_port()))
    print(f'{{"port": {port}, "soon": true}}', flush=True)
    program = system_program("mosquitto")
    os.execv(program, [program, "-c", str(config)])


if __name__ == "__main__":
    main()
