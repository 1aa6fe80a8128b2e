"""The trades server, spoken to by clients that know nothing but the wire."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from websockets.exceptions import ConnectionClosed

import heartline
from examples.trades.book import FOLLOWS, SIGNALS, Book
from examples.trades.server import build
from heartline.faults import FaultProxy
from tests.examples.kit import Client, Message, dial, on_loop, serving

SUBSCRIBE = {"type": "Subscribe", "traderid": 10260}
STOP = {"type": "Stop", "traderid": 10260}
BEAT = {"traderid": 10260, "type": "Ping"}
SECOND = 0.05


def serving_trades(second: float = SECOND, seed: int = 1) -> AbstractAsyncContextManager[str]:
    return serving(build(Path("nowhere"), seed=seed, second=second), "/trades")


@asynccontextmanager
async def subscribed(url: str, trader: int = 10260) -> AsyncIterator[Client]:
    """A link whose first push came."""
    async with dial(url) as client:
        push = await client.ask({**SUBSCRIBE, "traderid": trader}, Code=200)
        assert {row["traderid"] for row in push["data"]} == {trader}
        yield client


async def get(url: str, path: str) -> tuple[int, Message]:
    """The status and the JSON of a page."""

    def ask() -> tuple[int, Message]:
        try:
            with urlopen(url.replace("ws:", "http:") + path, timeout=10) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)

    return await asyncio.to_thread(ask)


def numbers(push: Message) -> list[int]:
    return [row["orderid"] for row in push["data"]]


@on_loop
async def test_a_snapshot_at_once_and_then_changes() -> None:
    async with serving_trades(second=60) as url, dial(url) as client:
        await client.silence()  # nothing before it is asked for
        push = await client.ask(SUBSCRIBE, Code=200)
        assert list(push) == ["data", "Code"] or list(push) == ["Code", "data"]
        wanted = Book(1).rows(10260)
        assert numbers(push) == [row.orderid for row in wanted]
        assert {row["flwsig"] for row in push["data"]} == {True, False}
        assert {row["sigtraderid"] for row in push["data"]} <= {0, *SIGNALS}
        await client.silence()
    async with serving_trades() as url, subscribed(url) as client:
        book = Book(1)
        while book.now < 30:
            push = await client.hear(Code=200)
            while [(row.orderid, row.price) for row in book.rows(10260)] != [
                (row["orderid"], row["price"]) for row in push["data"]
            ]:
                book.step()  # every push is some moment of the book, and none comes out of order
                assert book.now < 200


@on_loop
async def test_traders_are_told_apart() -> None:
    async with serving_trades() as url:
        for trader in FOLLOWS:
            async with subscribed(url, trader) as client:
                for _ in range(3):
                    push = await client.hear(Code=200)
                    assert {row["traderid"] for row in push["data"]} <= {trader}
                    assert {row["sigtraderid"] for row in push["data"]} <= {0, *FOLLOWS[trader]}


@on_loop
async def test_an_id_may_be_text() -> None:
    async with serving_trades() as url, dial(url) as client:
        assert (await client.ask({"any": "thing", "traderid": "10261"}, Code=200))["data"]


@on_loop
async def test_beats_may_be_said_and_are_not_answered() -> None:
    async with serving_trades(second=60) as url, subscribed(url) as client:
        for beat in (BEAT, {**BEAT, "traderid": 99}, {"type": "Ping", "traderid": "10260"}):
            await client.say(beat)
        await client.silence()
        assert await client.ask({**SUBSCRIBE, "traderid": 10262}, Code=200)  # and it is no subscription either


@on_loop
async def test_a_client_that_says_nothing_more_is_served() -> None:
    async with serving_trades() as url, subscribed(url) as client:
        for _ in range(20):
            await client.hear(Code=200)


@on_loop
async def test_stop() -> None:
    async with serving_trades() as url, subscribed(url) as client:
        await client.hear(Code=200)
        await client.say(STOP)
        await client.ask({**SUBSCRIBE, "traderid": 7}, Code=404)  # by now it was heard
        await client.silence(10 * SECOND)
        assert await client.ask(SUBSCRIBE, Code=200)  # and may be asked for again
        await client.say(STOP)
        await client.socket.close(1000)
        assert client.socket.close_code == 1000


@on_loop
async def test_an_unknown_trader() -> None:
    async with serving_trades() as url, dial(url) as client:
        answer = await client.ask({**SUBSCRIBE, "traderid": 7}, Code=404)
        assert not answer["data"]  # so existing clients take it for no push
        await client.silence()
        assert await client.ask(SUBSCRIBE, Code=200)


@on_loop
async def test_rubbish_harms_nobody() -> None:
    rubbish: list[str | bytes] = [
        "",
        "nonsense",
        "null",
        "[]",
        "1",
        '"text"',
        "{}",
        '{"traderid":null}',
        '{"traderid":[1]}',
        '{"traderid":true}',
        '{"traderid":1e99}',
        '{"traderid":-1}',
        '{"traderid":"１０２６０"}',
        '{"traderid":"' + "9" * 10_000 + '"}',
        '{"type":{"toString":1},"traderid":10260,"__proto__":{"type":"Stop"}}',
        '{"type":"Stop"}',
        '{"type":"Stop","traderid":"x"}',
        "[" * 5000,
        b"\xff\xfe",
        b'{"type":"Ping"}',
    ]
    async with serving_trades() as url, subscribed(url) as other:
        for words in rubbish:
            async with dial(url) as client:
                with contextlib.suppress(ConnectionClosed):
                    await client.say(words)
                    assert (await client.ask({**SUBSCRIBE, "traderid": 10261}, Code=200))["data"]
        async with dial(url) as client:
            with contextlib.suppress(ConnectionClosed):
                await client.say("x" * (10 << 20))
                await client.ended()
        await other.hear(Code=200)


@on_loop
async def test_closed_trades_are_asked_for() -> None:
    async with serving_trades(second=0.002) as url, subscribed(url) as client:
        status, body = await get(url, "/closed?traderid=10260")
        async with asyncio.timeout(30):
            while not body["data"]:
                await client.hear(Code=200)
                status, body = await get(url, "/closed?traderid=10260")
        assert (status, body["Code"]) == (200, 200)
        assert all(row["closetime"] for row in body["data"])
        for query in ("", "?traderid=7", "?traderid=x", "?other=1", "?traderid=%00"):
            status, body = await get(url, "/closed" + query)
            assert (status, body["Code"], body["data"]) == (404, 404, None)


@on_loop
async def test_subscribing_again_on_every_link_through_cuts() -> None:
    async with serving_trades() as url:
        host, port = url.removeprefix("ws://").split("/")[0].split(":")
        async with FaultProxy((host, int(port))) as proxy:
            for _ in range(4):
                async with subscribed(proxy.url("ws") + "trades") as client:
                    await client.hear(Code=200)
                    proxy.cut_all()
                    assert await client.ended() == 1006
        async with subscribed(url) as client:
            await client.hear(Code=200)


@on_loop
async def test_a_restart_of_the_server() -> None:
    async with AsyncExitStack() as stack:
        async with build(Path("nowhere"), second=SECOND).serving() as address:
            client = await stack.enter_async_context(dial(f"ws://{address.host}:{address.port}/trades"))
            await client.ask(SUBSCRIBE, Code=200)
        assert await client.ended() == 1001
    again = build(Path("nowhere"), second=SECOND)
    async with again.serving(port=address.port), subscribed(f"ws://{address.host}:{address.port}/trades") as client:
        assert numbers(client.heard[0]) == [row.orderid for row in Book(1).rows(10260)]


@on_loop
async def test_nobody_is_held_up_by_one_who_reads_nothing() -> None:
    async with serving_trades(second=0.001) as url, dial(url) as slow, subscribed(url) as quick:
        await slow.say(SUBSCRIBE)
        for _ in range(500):
            await quick.hear(Code=200)
        last = json.loads(await slow.socket.recv())
        assert last["Code"] == 200


@on_loop
async def test_the_same_channels_natively() -> None:
    async with serving_trades() as url, heartline.connect(url + "/native") as conn:
        pushes = conn.subscribe("positions/10260")
        await pushes.ready()
        async for item in pushes:
            assert isinstance(item, heartline.Entry)
            data: Any = item.data
            assert (item.event, data["Code"]) == ("getPositonsOrder", 200)
            break
        with pytest.raises(heartline.SubscriptionRefused, match="no such trader"):
            await conn.subscribe("positions/7").ready()
