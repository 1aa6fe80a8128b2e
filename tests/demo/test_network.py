"""Pages that break their networks, over real control links and through the real proxy."""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

import heartline
from heartline.demo import network
from heartline.demo.network import MOST_OF_A_SESSION, page_of
from tests.demo.room import PATIENCE, QUIET, Page, gallery, on_loop, page_id, ws

HELLO = {"ModeCode": "message", "msg": "hello"}


async def echo(client: ClientConnection) -> float:
    """Say something; seconds until it comes back."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(PATIENCE):
        await client.send(json.dumps(HELLO))
        assert json.loads(await client.recv()) == HELLO
    return loop.time() - began


async def silent(client: ClientConnection) -> bool:
    await client.send(json.dumps(HELLO))
    try:
        async with asyncio.timeout(QUIET):
            await client.recv()
    except TimeoutError:
        return True
    return False


def link(page: Page, path: str = "/echo") -> connect:
    return connect(page.url(path), ping_interval=None, open_timeout=PATIENCE, close_timeout=0.2)


@on_loop
async def test_only_its_own_links() -> None:
    async with gallery() as running, Page(running) as ann, Page(running) as bob, AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(link(page)) for page in (ann, bob)]
        raw = await stack.enter_async_context(connect(ws(running, "/echo"), ping_interval=None))
        assert (await ann.wish())["open"] == 1

        seen = await ann.wish(freeze="both")
        assert seen["frozen"] == 1
        assert await silent(one)
        await echo(other)
        await echo(raw)
        seen = await ann.until(lambda seen: seen["held"] > 0)
        await ann.wish()
        async with asyncio.timeout(PATIENCE):
            assert json.loads(await one.recv()) == HELLO  # held, not lost

        await ann.wish(latency=0.3)
        assert await echo(one) >= 0.55
        assert await echo(other) < 0.3
        assert await echo(raw) < 0.3
        await ann.wish()

        assert await ann.cut() == 1
        with pytest.raises(ConnectionClosed):
            await one.recv()
        await echo(other)
        await echo(raw)
        assert (await ann.until(lambda seen: seen["cut"] == 1))["open"] == 0

        await ann.wish(dials="refuse")
        with pytest.raises((OSError, InvalidMessage)):
            await link(ann).__aenter__()
        async with link(bob) as another:
            await echo(another)
        await ann.until(lambda seen: seen["refused"] == 1)
        await ann.wish(dials="hang")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(QUIET):
                await link(ann).__aenter__()
        await ann.wish()
        async with link(ann) as again:
            await echo(again)


@on_loop
async def test_one_way_only() -> None:
    async with gallery() as running, Page(running) as page, link(page) as client:
        await page.wish(freeze="down")
        await client.send(json.dumps(HELLO))
        await page.until(
            lambda seen: seen["held"] >= len(json.dumps(HELLO, separators=(",", ":")))
        )  # the answer is back
        assert (await page.wish(freeze="up"))["frozen"] == 1
        async with asyncio.timeout(PATIENCE):
            assert json.loads(await client.recv()) == HELLO
        assert await silent(client)


@on_loop
async def test_a_shaky_network_goes_on_and_on() -> None:
    async with gallery() as running, Page(running) as page:
        await page.wish(cut_every=0.5)
        async with heartline.connect(page.url("/native")) as conn:
            loop, n = asyncio.get_running_loop(), 0
            began = loop.time()
            while loop.time() - began < 3:
                n += 1
                assert await conn.request("count", n) == [n, 0]
                await asyncio.sleep(0.02)
            assert (await page.wish())["cut"] >= 2


@on_loop
async def test_ids_belong_to_one_session() -> None:
    async with gallery() as running, Page(running) as ann, Page(running, ann.id) as thief, link(ann) as client:
        await ann.wish()
        for attempt in (thief.wish(dials="refuse"), thief.cut()):
            with pytest.raises(heartline.Rejected) as refusal:
                await attempt
            assert refusal.value.code == "taken"
        await echo(client)
        assert thief.seen == []


@on_loop
async def test_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "MOST_PAGES", MOST_OF_A_SESSION + 1)
    async with gallery() as running, Page(running) as ann, Page(running) as bob:
        for _ in range(MOST_OF_A_SESSION):
            ann.id = page_id()
            await ann.wish()
        await ann.wish(latency=1)  # one of those it has
        ann.id = page_id()
        for page, fits in ((ann, False), (bob, True)):
            if fits:
                await page.wish()
                page.id = page_id()
            with pytest.raises(heartline.Rejected) as refusal:
                await page.wish()
            assert refusal.value.code == "full"


@pytest.mark.parametrize("how", ["ended", "lost"])
def test_pages_expire(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr(network, "KEPT", 0.3)

    @on_loop
    async def test() -> None:
        async with gallery() as running:
            page = Page(running)
            async with link(page) as client:
                async with page:
                    await page.wish(freeze="both")
                    assert await silent(client)
                    if how == "ended":
                        await page.control.end()
                async with asyncio.timeout(PATIENCE):
                    assert json.loads(await client.recv()) == HELLO  # its network is clean again
                async with Page(running, page.id) as heir:  # and the id is free
                    await heir.wish()

    test()


@on_loop
async def test_a_control_link_may_come_back() -> None:
    async with gallery() as running, Page(running) as page, AsyncExitStack() as stack:
        await page.wish()
        (control,) = running.proxy.links
        client = await stack.enter_async_context(link(page))
        await page.wish(freeze="both")
        running.proxy.cut(control)
        await running.proxy.until(lambda stats: stats.opened == 3, PATIENCE)
        assert await silent(client)  # still frozen, still its own
        page.seen.clear()
        await page.cut()
        assert (await page.until(lambda seen: seen["cut"] == 1))["open"] == 0


def test_the_page_is_read_from_the_address() -> None:
    good = page_id()

    def named(target: str, method: str = "GET") -> str | None:
        return page_of(f"{method} {target} HTTP/1.1\r\nHost: h\r\nReferer: /?page={good}\r\n\r\n".encode())

    for target in (f"/echo?page={good}", f"/heart/websocket?7&ann&page={good}", f"/x?page={good}&more=1"):
        assert named(target) == good
    for target in (
        "/echo", "/echo?page=", f"/echo?page={good}x", f"/echo?page={good[:-1]}", f"/echo?notpage={good}",
        f"/echo?x=page={good}", f"/page={good}", f"/echo?page={good[:-1]}%41", "/echo?" + "page=" * 500,
    ):  # fmt: skip
        assert named(target) is None, target
    assert named(f"/echo?page={good}", "POST") is None
    for head in (b"", b"GET ", b"\xff" * 1000, b"\r\n\r\n"):
        assert page_of(head) is None
