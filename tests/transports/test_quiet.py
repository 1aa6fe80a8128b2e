"""What is written to logs, at any level, by anybody: no header, no query, nothing per connection."""

import asyncio
import logging

import pytest

from heartline.transports import Accept, DialError, Request, dial

from .helpers import UPGRADE, Opcode, RawPeer, Recorder, close_payload, serving

SECRET = "hunter2"


def test_neither_headers_nor_queries_nor_payload_reach_a_log(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        def router(request: Request) -> Accept:
            if request.path == "/raises":
                raise RuntimeError("on purpose")
            return Accept(Recorder(echo=True), "heartline.1" if request.subprotocols else None)

        async with serving(router) as server:
            headers = {"Authorization": SECRET, "Cookie": SECRET}
            client = Recorder()
            connection = await dial(server.url(f"/?token={SECRET}"), client, headers=headers)
            connection.send(SECRET.encode())
            await client.text()
            connection.close(1000, "bye")
            await client.end()
            with pytest.raises(DialError):
                await dial(server.url(f"/raises?token={SECRET}"), Recorder(), headers=headers)
            for line, changes in (
                (f"GET /?{SECRET} HTTP/1.1", {"Sec-WebSocket-Key": SECRET}),
                (f"POST /?{SECRET} HTTP/1.1", {}),
                (f"{SECRET}", {}),
                ("GET / HTTP/1.1", {"X": SECRET + "\0"}),
            ):
                async with await RawPeer.connect(server.port) as peer:
                    await peer.request(line, UPGRADE | changes)
                    await peer.rest()
            for opcode, payload in ((3, SECRET.encode()), (Opcode.CLOSE, b"h"), (Opcode.CLOSE, close_payload(5000))):
                async with await RawPeer.upgraded(server.port) as peer:
                    await peer.send(opcode, payload)
                    await peer.close_code()

    caplog.set_level(1)
    asyncio.run(run(), debug=False)
    assert SECRET not in caplog.text
    assert "on purpose" in caplog.text


def test_a_connection_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with serving(echo=True) as server:
            client = Recorder()
            connection = await dial(server.url(), client)
            connection.send(b"x")
            await client.text()
            connection.close()
            await client.end()

    caplog.set_level(logging.DEBUG)
    asyncio.run(run(), debug=False)
    assert [record for record in caplog.records if record.name != "asyncio"] == []


def test_a_peer_that_breaks_the_protocol_is_worth_one_at_info(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with serving() as server, await RawPeer.upgraded(server.port) as peer:
            await peer.send(3, b"")
            await peer.close_code()

    caplog.set_level(logging.DEBUG)
    asyncio.run(run(), debug=False)
    (record,) = (record for record in caplog.records if record.name != "asyncio")
    assert record.levelno == logging.INFO
    assert "127.0.0.1:" in record.getMessage()
