"""The echo server, spoken to by clients that know nothing but the wire."""

import asyncio
import contextlib
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

import heartline
from examples.echo.server import build
from tests.examples.kit import dial, on_loop, serving


def server() -> AbstractAsyncContextManager[str]:
    return serving(build(Path("nowhere")), "/echo")


@pytest.mark.parametrize(
    "message",
    [
        {"ModeCode": "message", "msg": "hello"},
        {"ModeCode": "message", "msg": {"deep": [1, None, "你好"]}},
        {"ModeCode": "message", "msg": None},
        {"ModeCode": "message", "msg": "with more", "from": "ann", "n": 7},
        {"ModeCode": "heart_beat", "msg": 1795278780111},
        {"ModeCode": "heart_beat", "msg": 1, "client": "x"},
    ],
    ids=lambda message: json.dumps(message)[:40],
)
def test_an_echo_client(message: dict[str, Any]) -> None:
    @on_loop
    async def test() -> None:
        async with server() as url, dial(url) as client, dial(url) as other:
            assert await client.ask(message) == message
            await other.silence(0.1)

    test()


@on_loop
async def test_binary_comes_back_as_text() -> None:
    async with server() as url, dial(url) as client:
        message = {"ModeCode": "message", "msg": "as bytes"}
        await client.say(json.dumps(message).encode())
        assert await client.hear() == message


@on_loop
async def test_echo_is_silent_about_the_rest() -> None:
    async with server() as url, dial(url) as client:
        for rest in ('{"ModeCode": "shout", "msg": 1}', '{"msg": 1}', "[]", "null", "{", "", '"ModeCode"', b"\xff\x00"):
            await client.say(rest)
        last = {"ModeCode": "message", "msg": "still here"}
        assert await client.ask(last, ModeCode="message", msg="still here") == last
        assert [message for message in client.heard if message.get("ModeCode")] == [last]


@on_loop
async def test_one_bad_client_harms_nobody() -> None:
    async with server() as url, dial(url) as other:
        async with dial(url) as bad:
            with contextlib.suppress(ConnectionClosed):
                await bad.say('{"ModeCode": "message", "msg": "%s"}' % ("x" * 3_000_000))
                await bad.ended()
        message = {"ModeCode": "message", "msg": "hello"}
        assert await other.ask(message) == message


@on_loop
async def test_a_client_of_ours() -> None:
    got: asyncio.Queue[Any] = asyncio.Queue()
    async with server() as url, heartline.connect(url, dialect="echo", on={"message": got.put_nowait}) as conn:
        await (await conn.send("message", "hello"))  # confirmed by its echo
        async with asyncio.timeout(10):
            assert await got.get() == "hello"
