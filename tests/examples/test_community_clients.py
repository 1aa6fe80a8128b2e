"""Our own Python client and the community: in its dialect and in heartline.1, on a network that cuts, over kills."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import heartline
from examples.community.server import NATIVE, build
from heartline import BackOff, ClientPolicy
from heartline.faults import FaultProxy
from tests.examples.kit import dial, on_loop, running

QUICK = ClientPolicy(back_off=BackOff(base=0.05, cap=0.5))
SURELY: dict[str, Any] = {"delivery": "at_least_once", "timeout": None}


def login(name: str) -> dict[str, object]:
    return {"userCode": f"{name}-1", "userInfo": {"nickName": name.title()}}


async def stored(conn: heartline.Connection) -> list[str]:
    page: Any = await conn.request("GetInvitation", {"mode": "time", "limt": 100}, delivery="at_least_once")
    return [post["Table"] for post in reversed(page["data"])]


@pytest.mark.parametrize("path", ["/community", NATIVE])
@on_loop
async def test_posts_over_cuts_are_stored_once_and_in_order(path: str, database: str) -> None:
    app = build(Path("nowhere"), database=database)
    wanted = [str(n) for n in range(40)]
    async with app.serving() as address, FaultProxy((address.host, address.port)) as network:
        url = network.url("ws").rstrip("/") + path
        dialect = None if path == NATIVE else "community"
        async with heartline.connect(url, dialect=dialect, login=login("ann"), policy=QUICK) as conn:
            for n, title in enumerate(wanted):
                # The native client's messages have ids of their own, the dialect's need a name.
                more = {} if dialect is None else {"clientId": title}
                asked = asyncio.create_task(conn.request("CreateInvitation", {"Table": title, **more}, **SURELY))
                await asyncio.sleep(0)
                if n % 4 == 3:
                    network.cut_all()
                    await asked
            await conn.settled(10)
            assert await stored(conn) == wanted


@on_loop
async def test_posts_over_kills_are_stored_once_and_in_order(database: str, tmp_path: Path) -> None:
    wanted = [str(n) for n in range(12)]
    async with running("examples.community.server", "--database", database) as server:
        options: dict[str, Any] = {"dialect": "community", "login": login("ann"), "policy": QUICK}
        async with heartline.connect(server.url, outbox=tmp_path / "outbox.db", **options) as conn:
            for n, title in enumerate(wanted):
                await conn.send("CreateInvitation", {"Table": title, "clientId": title}, delivery="at_least_once")
                if n in (3, 7):
                    await server.kill()
                if n in (5, 9):
                    await server.start()
            assert await stored(conn) == wanted


@on_loop
async def test_what_one_says_in_the_dialect_the_other_hears_natively(database: str) -> None:
    app = build(Path("nowhere"), database=database)
    heard: asyncio.Queue[Any] = asyncio.Queue()
    async with app.serving() as address:
        native = f"ws://{address.host}:{address.port}{NATIVE}"
        async with (
            heartline.connect(native, login=login("bob"), on={"InvitationChanged": heard.put_nowait}) as bob,
            dial(f"ws://{address.host}:{address.port}/community") as ann,
        ):
            await bob.connected(5)
            await ann.ask({"Operator": "userLogin", **login("ann")}, Operator="LoginOK")
            await ann.say({"Operator": "CreateInvitation", "Table": "Tea"})
            change = await asyncio.wait_for(heard.get(), 5)
            assert (change["what"], change["data"]["Table"]) == ("post", "Tea")
            assert await bob.request("LoveInvitation", {"id": change["id"]}) == {"id": change["id"], "love": 1}
            assert (await ann.hear(Operator="InvitationChanged"))["love"] == 1


@on_loop
async def test_a_ban_is_told_to_our_client(database: str) -> None:
    app = build(Path("nowhere"), database=database)
    async with app.serving() as address:
        url = f"ws://{address.host}:{address.port}/community"
        async with heartline.connect(url, dialect="community", login=login("mallory")) as conn:
            with pytest.raises(heartline.LoginRefused, match="banned"):
                await conn.connected(5)
