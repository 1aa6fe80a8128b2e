"""Both ends ours and neither speaking heartline.1: each preset's client against its server, over links that are cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

import heartline
from heartline import ClientPolicy, Connection, Entry, Gap, Identity, Refuse, Server, Session, State
from heartline.core.policy import BackOff
from heartline.dialects import Dialect, presets
from heartline.faults import FaultProxy
from heartline.server import Address

from .raw import PATIENCE, make_app, on_loop, until
from .wires import quick, subscription

SOON = ClientPolicy(back_off=BackOff(0.05, 0.2, 5.0))


@asynccontextmanager
async def joined(
    app: Server, path: str, dialect: Dialect | str, **options: Any
) -> AsyncIterator[tuple[Connection, FaultProxy, Address]]:
    """Our client at our server, with a network between them."""
    async with app.serving() as address, FaultProxy(("127.0.0.1", address.port)) as proxy:
        conn = heartline.connect(proxy.url(path=path), dialect=dialect, **{"policy": SOON, "linger": 1.0} | options)
        async with conn:
            await conn.connected(PATIENCE)
            yield conn, proxy, address


async def cut(conn: Connection, proxy: FaultProxy) -> None:
    """Cut the link, and wait for the next."""
    proxy.cut_all()
    await until(lambda: conn.state is not State.OPEN)
    await conn.connected(PATIENCE)


async def taken(queue: "asyncio.Queue[Any]") -> Any:
    return await asyncio.wait_for(queue.get(), PATIENCE)


@on_loop
async def test_heart() -> None:
    app = make_app()
    app.speak("/heart/websocket", quick("heart"))

    @app.on("message")
    async def message(session: Session, text: str) -> None:
        assert session.request is not None
        await session.send("message", f"{text} from {session.request.query}")

    heard: asyncio.Queue[str] = asyncio.Queue()
    async with joined(app, "/heart/websocket?7&ann", quick("heart"), on={"message": heard.put_nowait}) as (
        conn,
        proxy,
        _,
    ):
        await conn.send("message", "one")
        assert await taken(heard) == "one from 7&ann"
        await asyncio.sleep(1.0)  # five beats, five answers
        assert conn.state is State.OPEN
        await cut(conn, proxy)
        await conn.send("message", "two")
        assert await taken(heard) == "two from 7&ann"


@on_loop
async def test_card() -> None:
    """Identity and binding are said again on every link; the server binds once."""
    app = make_app()
    app.speak("/card", quick("card"))
    app.login(lambda identity: str(identity["memberId"]))
    said: list[str] = []
    bound: set[str] = set()

    @app.on("bindCard")
    async def bind(session: Session, card: dict[str, Any]) -> None:
        said.append(card["cardId"])
        bound.add(card["cardId"])
        await session.send("bind_ack", {"code": "200", "success": True})

    acks: asyncio.Queue[Any] = asyncio.Queue()
    options: dict[str, Any] = {"login": {"memberId": "m-7"}, "on": {"bind_ack": acks.put_nowait}}
    async with joined(app, "/card", quick("card"), **options) as (conn, proxy, _):
        binding = conn.subscribe("card", args={"cardId": "c-1", "memberId": "m-7"})
        assert (await taken(acks))["code"] == "200"
        await cut(conn, proxy)
        assert (await taken(acks))["code"] == "200"
        await asyncio.sleep(1.0)
        assert conn.state is State.OPEN
        await binding.close()
    assert (said, bound) == (["c-1", "c-1"], {"c-1"})


@on_loop
async def test_echo() -> None:
    """Each message is confirmed by its echo."""
    app = make_app()
    app.speak("/echo", quick("echo"))
    got: list[Any] = []
    app.on("message")(got.append)
    async with joined(app, "/echo", quick("echo")) as (conn, proxy, _):
        for n in range(20):
            await (await conn.send("message", n))
        await cut(conn, proxy)
        await (await conn.send("message", 20))
        await asyncio.sleep(1.0)
        assert conn.state is State.OPEN
    assert got == list(range(21))


@on_loop
async def test_trades() -> None:
    app = make_app()
    app.speak("/trades", quick("trades"), channel=subscription)
    app.channel("positions/{trader}")
    stops: list[Any] = []
    app.on("message")(stops.append)
    pushes: list[Any] = []
    stop = {"type": "Stop"}
    options: dict[str, Any] = {"params": {"traderid": 7, "stop": stop}, "on": {"getPositonsOrder": pushes.append}}
    async with joined(app, "/trades", quick("trades"), **options) as (conn, proxy, _):
        rows = conn.subscribe("mine", args={"type": "Subscribe", "traderid": 7})
        await until(lambda: app.stats().channels_followed == 1)
        await app.publish("positions/7", "rows", {"Code": 200, "data": [1]})
        entry = await anext(rows)
        assert isinstance(entry, Entry)
        assert entry.data == {"Code": 200, "data": [1]}
        proxy.cut_all()
        await until(lambda: app.stats().channels_followed == 0)
        await until(lambda: app.stats().channels_followed == 1)
        await app.publish("positions/7", "rows", {"Code": 200, "data": [2]})
        gap, entry = await anext(rows), await anext(rows)
        assert isinstance(gap, Gap)
        assert isinstance(entry, Entry)
        assert entry.data["data"] == [2]
        await until(lambda: len(pushes) == 2)
        await asyncio.sleep(1.0)
        assert conn.state is State.OPEN
    await until(lambda: stops)
    assert stops == [stop], "said before an active close"


@on_loop
async def test_community() -> None:
    """What is given while nobody is there is sent in order after the login, and the openId comes back with the next."""
    app = make_app()
    app.speak("/community", "community")
    logins: list[Any] = []
    created: list[int] = []

    @app.login
    async def login(said: dict[str, Any]) -> Identity:
        logins.append(said.get("openId"))
        if said["userCode"] == "mallory":
            raise Refuse("banned", "no")
        return Identity(said["userCode"], say={"openId": f"o-{said['userCode']}"})

    @app.on("CreateInvitation")
    async def create(said: dict[str, int]) -> dict[str, int]:
        created.append(said["n"])
        return {"n": said["n"]}

    @app.on("GetInvitation")
    async def get(said: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.02 if said["id"] == 1 else 0)
        return {"data": [said["id"]]}

    async with joined(app, "/community", "community", login={"userCode": "ann", "userInfo": {}}) as (conn, proxy, _):
        answers = await asyncio.gather(*(conn.request("GetInvitation", {"id": n}) for n in (1, 2, 3)))
        assert [answer["data"] for answer in answers] == [[1], [2], [3]]
        proxy.refuse()
        proxy.cut_all()
        await until(lambda: app.stats().links == 0)
        waiting = [asyncio.ensure_future(conn.request("CreateInvitation", {"n": n})) for n in range(10)]
        await asyncio.sleep(0.1)
        proxy.refuse(False)
        assert [(await one)["n"] for one in waiting] == list(range(10))
        with pytest.raises(heartline.RequestTimeout):
            await conn.request("constructor", {}, timeout=0.3)
    assert created == list(range(10))
    assert logins == [None, "o-ann"]
    async with app.serving() as address:
        url = f"ws://127.0.0.1:{address.port}/community"
        with pytest.raises(heartline.LoginRefused):
            async with heartline.connect(url, dialect="community", login={"userCode": "mallory"}) as conn:
                await conn.request("GetInvitation", {"id": 1})


@on_loop
async def test_okx() -> None:
    app = make_app()
    app.speak("/okx", quick("okx"), channel=lambda args: f"{args['channel']}/{args['instId']}")
    app.channel("{topic}/{what}")

    @app.login
    def login(key: dict[str, str]) -> str:
        return key["apiKey"]

    @app.on("order")
    async def order(session: Session, orders: list[dict[str, int]]) -> list[int]:
        if orders[0]["sz"] < 0:
            raise Refuse("51000", "bad size")
        await asyncio.sleep(0.05 if orders[0]["sz"] == 1 else 0)
        return [one["sz"] for one in orders]

    args = {"channel": "tickers", "instId": "BTC"}
    async with joined(app, "/okx", quick("okx"), login={"apiKey": "k"}) as (conn, _, _):
        prices = conn.subscribe("btc", args=args)
        await prices.ready()
        await app.publish("tickers/BTC", "x", [{"last": "1"}])
        entry = await anext(prices)
        assert isinstance(entry, Entry)
        assert entry.data == [{"last": "1"}]
        assert await asyncio.gather(*(conn.request("order", [{"sz": n}]) for n in (1, 2))) == [[1], [2]]
        with pytest.raises(heartline.Rejected, match="51000"):
            await conn.request("order", [{"sz": -1}])
        with pytest.raises(heartline.Rejected, match="unknown_event"):
            await conn.request("nothing", [])
        await asyncio.sleep(1.0)
        assert conn.state is State.OPEN
        await prices.close()
        await until(lambda: app.stats().channels_followed == 0)


@on_loop
async def test_phoenix() -> None:
    app = make_app()
    app.speak("/socket/websocket", quick("phoenix"))
    app.on("double")(lambda data: {"is": data["n"] * 2})

    @app.channel("room:{name}")
    def may(name: str) -> None:
        if name == "secret":
            raise Refuse("unauthorized", "not you")

    async with joined(app, "/socket/websocket?vsn=2.0.0", quick("phoenix")) as (conn, _, _):
        room = conn.subscribe("room:1")
        await room.ready()
        await app.publish("room:1", "said", {"text": "hi"})
        entry = await anext(room)
        assert isinstance(entry, Entry)
        assert (entry.event, entry.data) == ("said", {"text": "hi"})
        assert await conn.request("double", {"n": 4}, channel="room:1") == {"is": 8}
        with pytest.raises(heartline.SubscriptionRefused):
            await conn.subscribe("room:secret").ready()
        for session in app.sessions():
            session.revoke("room:1", "a while")
        await until(lambda: app.stats().channels_followed == 0)
        await until(lambda: app.stats().channels_followed == 1)  # the client joins again after phx_error
        await app.publish("room:1", "said", {"text": "again"})
        while not isinstance(entry := await anext(room), Entry):
            pass
        assert entry.data == {"text": "again"}
        await asyncio.sleep(1.0)
        assert conn.state is State.OPEN


@on_loop
async def test_plain() -> None:
    app = make_app()
    app.speak("/plain", quick("plain"))

    @app.on("message")
    async def message(session: Session, data: Any) -> None:
        await session.send("message", [data])

    heard: asyncio.Queue[Any] = asyncio.Queue()
    async with joined(app, "/plain", quick("plain"), on={"message": heard.put_nowait}) as (conn, proxy, _):
        for value in (1, "x", {"a": [None]}, [True]):
            await conn.send("message", value)
            assert await taken(heard) == [value]
        proxy.freeze()
        await until(lambda: app.stats().links == 0)
        await until(lambda: conn.state is not State.OPEN)
        proxy.thaw()
        await conn.send("message", "back")
        assert await taken(heard) == ["back"]


@on_loop
async def test_a_server_that_says_the_beats() -> None:
    plain = presets.plain
    assert plain.beat is not None
    beat = msgspec.structs.replace(
        plain.beat, say={"op": "are you there"}, answer={"op": "yes"}, by="server", interval=0.2, timeout=0.2
    )
    dialect = msgspec.structs.replace(plain, beat=beat)
    app = make_app()
    app.speak("/ws", dialect)
    app.on("message")(lambda data: None)
    async with joined(app, "/ws", dialect) as (conn, proxy, _):
        await asyncio.sleep(1.5)
        assert conn.state is State.OPEN
        assert app.stats().messages_started == 0, "beats are no messages"
        proxy.freeze()
        await until(lambda: app.stats().links == 0)
        await until(lambda: conn.state is not State.OPEN)
