"""The heart server, spoken to by clients that know nothing but the wire."""

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from examples.heart.server import build
from tests.examples.kit import Client, dial, on_loop, serving

PATH = "/heart/websocket"


def server() -> AbstractAsyncContextManager[str]:
    return serving(build(Path("nowhere")), PATH)


async def heard(client: Client) -> str:
    async with asyncio.timeout(10):
        text = await client.socket.recv()
    assert isinstance(text, str)
    return text


@on_loop
async def test_a_text_client_of_heart() -> None:
    async with server() as url, dial(f"{url}?7&ann") as client:
        for _ in range(3):
            await client.say("ping")
            assert await heard(client) == "pong"
        await client.say("Ping")  # a message like any other
        assert await heard(client) == "ann: Ping"


@on_loop
async def test_a_task_is_a_room() -> None:
    async with (
        server() as url,
        dial(f"{url}?7&ann") as ann,
        dial(f"{url}?7&bob&page=AAAAAAAAAAAAAAAAAAAAAA") as bob,
        dial(f"{url}?8&eve") as eve,
    ):
        for client in (ann, bob, eve):  # all are in
            await client.say("ping")
            assert await heard(client) == "pong"
        await ann.say("hello")
        assert await heard(ann) == await heard(bob) == "ann: hello"
        await eve.silence()
        await bob.say('{"a": [1]}')
        assert await heard(ann) == 'bob: {"a": [1]}'


@pytest.mark.parametrize("query", ["", "?", "?7", "?&&", "?a=1&b=2", "?" + "x" * 3000 + "&y"])
def test_any_address_is_somebody(query: str) -> None:
    @on_loop
    async def test() -> None:
        async with server() as url, dial(url + query) as client:
            await client.say("ping")
            assert await heard(client) == "pong"
            await client.say("x" * 2000)
            assert len(await heard(client)) < 600

    test()


@on_loop
async def test_rubbish_harms_nobody() -> None:
    async with server() as url, dial(f"{url}?7&bob") as other:
        for rubbish in ("", "null", "[]", "\0", "\U0001f980" * 1000):
            async with dial(f"{url}?8&ann") as client:
                await client.say(rubbish)
                await client.say("ping")
                while await heard(client) != "pong":
                    pass
        async with dial(f"{url}?8&ann") as client:
            with contextlib.suppress(ConnectionClosed):
                await client.say("y" * 2_000_000)
            assert await client.ended() == 1009
        await other.say("ping")
        assert await heard(other) == "pong"
