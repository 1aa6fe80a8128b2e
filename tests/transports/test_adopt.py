"""No descriptor is closed while the loop watches it: with libuv that ends the process, elsewhere it meets the next."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvloop

from heartline.transports.adopt import adopt
from heartline.transports.server import PortListener

from .early_ends import closed_and_watched
from .helpers import eventually, serving
from .test_dial import nothing_left, sockets

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
RUNNERS = {"asyncio": asyncio.run, "uvloop": uvloop.run}


@LOOPS
@pytest.mark.parametrize("way", ["plain", "proxy", "tls", "tls over a transport"])
def test_a_dial_given_up_in_any_turn_leaves_no_descriptor_watched(loop: str, way: str) -> None:
    """Also not where the peer has reset the connection, which ends a transport before it begins to read."""
    script = Path(__file__).with_name("early_ends.py")
    done = subprocess.run([sys.executable, str(script), loop, way], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"ended with {done.returncode}\n{done.stderr}"


@LOOPS
def test_a_connection_refused_as_it_begins_leaves_no_descriptor_watched(
    monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    made = PortListener.connection

    def close_first(listener: PortListener) -> Any:
        listener.loop.call_soon(listener.close)  # after the connection was accepted, and before it is made
        return made(listener)

    monkeypatch.setattr(PortListener, "connection", close_first)

    async def main() -> None:
        async with serving() as server:
            before = sockets()
            with socket.create_connection(("127.0.0.1", server.port)):
                await eventually(lambda: server.listener._closing)  # type: ignore[attr-defined]
                await server.listener.wait_closed()
                await eventually(lambda: sockets() == before)  # one more that is ours, less the port's
        assert not closed_and_watched(asyncio.get_running_loop())

    RUNNERS[loop](main())


@LOOPS
def test_a_socket_that_no_transport_is_made_of_is_closed(loop: str) -> None:
    def factory() -> Any:
        raise LookupError("no protocol today")

    async def main() -> None:
        async with serving() as server, nothing_left():
            sock = socket.create_connection(("127.0.0.1", server.port))
            with pytest.raises(LookupError):
                await adopt(asyncio.get_running_loop(), sock, factory)
            assert sock.fileno() == -1

    RUNNERS[loop](main())
