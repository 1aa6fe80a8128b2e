"""What heartline knows of picows beyond its public names. When one of these fails, picows has changed."""

import asyncio
import inspect

import picows.picows
import picows.proxy
import picows.url
from picows import WSTransport

from heartline.transports.picows_protocol import HeartProtocol, Quiet

from .helpers import RawPeer, serving


def test_the_protocol_takes_the_arguments_we_give() -> None:
    async def run() -> None:
        HeartProtocol(lambda *_: None, max_message=1, read_buffer=2048)
        HeartProtocol(lambda *_: None, max_message=1, read_buffer=2048, host="h", path="/", headers={"A": "b"})

    asyncio.run(run())


def test_the_names_are_there() -> None:
    for name in ("connection_made", "connection_lost", "eof_received", "wait_until_handshake_complete"):
        assert callable(getattr(picows.picows.WSProtocol, name))
    for name in ("underlying_transport", "close_handshake", "is_client_side", "send_close", "wait_disconnected"):
        assert hasattr(WSTransport, name)
    parameters = list(inspect.signature(picows.proxy.connect_through_optional_proxy).parameters)
    assert parameters == [
        "loop",
        "parsed_url",
        "proxy_parsed_url",
        "socket_factory",
        "ssl_context",
        "proxy_ssl_context",
        "conn_kwargs",
        "create_connection",
    ]
    assert picows.url.parse_url("ws://h/", False).host == "h"


def test_a_resting_connection_keeps_no_head() -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port, **{"X-Token": "t"}):
            link = (await server.link()).socket
            for head in (link._ws.request, link._ws.response):
                assert head is None or not head.headers  # None where it is compiled
            assert link.request.headers["x-token"] == "t"

    asyncio.run(run())


def test_the_quiet_logger_writes_nothing_and_survives_anything() -> None:
    quiet = Quiet()
    assert not quiet.isEnabledFor(50)
    for method in (quiet.debug, quiet.info, quiet.warning, quiet.error, quiet.exception):
        method("%s %s", 1, 2)
        method("nothing")
    quiet.log(50, "nothing")
