"""Clients of other dialects on one server: floods, stalls, sessions, draining, and what may be declared."""

import asyncio
import json
from typing import Any

import pytest

import heartline
from heartline import Identity, Session
from heartline.brokers.memory import MemoryBroker
from heartline.core.codes import Code
from heartline.dialects.spec import Dialect, Event, Send, Subscribe
from heartline.transports import DialError

from . import brokers
from .raw import PATIENCE, hub_of, make_app, on_loop, raw, until
from .wires import MIB, Wire, World, quick, subscription, url_of, wire


@on_loop
async def test_ten_megabytes_harm_nobody() -> None:
    world = World()
    async with world.app.serving() as address, wire(address, "/echo") as neighbour:
        for path in ("/heart/websocket", "/echo", "/trades"):
            async with raw(url_of(address, path), subprotocols=()) as client:
                client.text('"' + "x" * (10 * MIB) + '"')
                assert (await client.end())[0] == 1009
            assert (await neighbour.ask({"ModeCode": "message", "msg": 1}))["msg"] == 1


@on_loop
async def test_a_stalled_client_slows_nobody() -> None:
    """It reads nothing while 40 MB are pushed: the others get everything, and it is dropped in the end."""
    world = World()
    rows = "x" * 100_000
    async with (
        world.app.serving() as address,
        wire(address, "/trades") as good,
        raw(url_of(address, "/trades"), subprotocols=()) as deaf,
    ):
        for client in (good, deaf):
            said = json.dumps({"type": "Subscribe", "traderid": 7})
            if isinstance(client, Wire):
                await client.say(said)
            else:
                client.text(said)
        hub = hub_of(world.app)
        await until(lambda: hub.node.tails and len(hub.node.tails["positions/7"].followers) == 2)
        assert deaf.socket is not None
        deaf.socket.pause_reading()
        loop = asyncio.get_running_loop()
        slowest = most = 0.0
        for n in range(400):
            began = loop.time()
            await world.app.publish("positions/7", "e", {"Code": n, "data": rows})
            assert (await good.hear())["Code"] == n
            slowest = max(slowest, loop.time() - began)
            most = max(most, *(one.socket.buffered for one in hub.sockets if one.socket is not None))
        assert slowest < 1.0
        assert most < 2 * MIB, "what waits for the deaf one is bounded"


@on_loop
async def test_a_stalled_client_is_dropped() -> None:
    app = make_app(message=4 * MIB)
    app.speak("/trades", quick("trades", 0.3, 0.3), channel=subscription)
    app.channel("positions/{trader}", history=2)
    async with app.serving() as address, raw(url_of(address, "/trades"), subprotocols=()) as deaf:
        deaf.text(json.dumps({"type": "Subscribe", "traderid": 7}))
        await until(lambda: app.stats().channels_followed == 1)
        assert deaf.socket is not None
        deaf.socket.pause_reading()
        for _ in range(5):
            await app.publish("positions/7", "e", {"Code": 1, "data": "x" * 3 * MIB})
        await until(lambda: app.stats().links == 0)
        deaf.socket.resume_reading()


@on_loop
async def test_a_client_that_floods_is_read_no_further() -> None:
    """Its messages wait in the network and not in memory, and all of them are handled in the end, in order."""
    world = World(frames=1e9)
    world.blocked = asyncio.Event()
    count = 8_000
    async with (
        world.app.serving() as address,
        wire(address, "/echo") as client,
        wire(address, "/heart/websocket") as other,
    ):
        flood = asyncio.ensure_future(
            client.say(*({"ModeCode": "message", "msg": n, "pad": "x" * 2_000} for n in range(count)))
        )
        (socket,) = [one for one in hub_of(world.app).sockets if one.request.path == "/echo"]
        await until(lambda: socket._paused)  # type: ignore[attr-defined]
        await asyncio.sleep(0.1)
        translator = socket._translator  # type: ignore[attr-defined]
        assert len(translator._waiting) + len(translator._asked) < 5_000
        assert not flood.done()
        assert await other.ask("ping") == "pong"
        reading = asyncio.ensure_future(_numbers(client, count))
        world.blocked.set()
        assert await asyncio.wait_for(reading, PATIENCE) == list(range(count))
        await flood


async def _numbers(client: Wire, count: int) -> list[int]:
    return [(await client.hear())["msg"] for _ in range(count)]


# sessions of foreign clients


@on_loop
async def test_the_same_handlers_for_every_client() -> None:
    """One application, natively and in two dialects."""
    app = make_app(path="/native")
    app.speak("/echo", "echo")
    app.speak("/plain", "plain")
    app.channel("news")
    got: list[tuple[str, Any]] = []

    @app.on("message")
    def message(session: Session, data: Any) -> Any:
        assert session.request is not None
        got.append((session.request.path, data))
        return data

    @app.opened
    async def opened(session: Session, resumed: bool) -> None:
        await session.send("message", "welcome")

    async with app.serving() as address, wire(address, "/echo") as echo, wire(address, "/plain") as plain:
        assert await echo.hear() == {"ModeCode": "message", "msg": "welcome"}
        assert await plain.hear() == "welcome"
        async with heartline.connect(address.url) as conn:
            assert await conn.request("message", 1) == 1
        assert await echo.ask({"ModeCode": "message", "msg": 2}) == {"ModeCode": "message", "msg": 2}
        await plain.say([3])
        await until(lambda: len(got) == 3)
        app.publish_now("news", "message", 1)
        await plain.hears_nothing()
    assert got == [("/native", 1), ("/echo", 2), ("/plain", [3])]


@on_loop
async def test_a_session_ends_with_its_link_but_not_its_messages() -> None:
    """Who says something and closes at once has said it."""
    world = World()
    world.blocked = asyncio.Event()
    told: list[str] = []
    world.app.detached(lambda session: told.append("detached"))
    world.app.ended(lambda session: told.append("ended"))
    async with world.app.serving() as address:
        async with wire(address, "/echo") as client:
            await client.say(*({"ModeCode": "message", "msg": n} for n in range(10)))
            await until(world.app.sessions)
            (session,) = world.app.sessions()
            assert session.request is not None
        await until(lambda: not session.connected)
        assert session.request is None
        assert (told, session.ended) == (["detached"], False)
        assert isinstance(await session.send("message", "to nobody"), int)
        world.blocked.set()
        await until(lambda: session.ended)
        assert world.handled == list(range(10))
        assert told == ["detached", "ended"]
        assert world.app.sessions() == []
        with pytest.raises(ValueError, match="is over"):
            await session.send("message", 1)


@on_loop
async def test_what_waits_is_handled_though_its_client_has_gone() -> None:
    """It logs in, sends its buffer right behind, and is gone before the login has been judged."""
    app = make_app(window=4)
    app.speak("/community", "community")
    handled: list[int] = []
    judging, judged = asyncio.Event(), asyncio.Event()

    @app.login
    async def login(said: Any) -> str:
        judging.set()
        await judged.wait()
        return "ann"

    @app.on("CreateInvitation")
    async def create(said: dict[str, int]) -> None:
        await asyncio.sleep(0)
        handled.append(said["n"])

    async with app.serving() as address:
        async with wire(address, "/community") as client:
            await client.say({"Operator": "userLogin"}, *({"Operator": "CreateInvitation", "n": n} for n in range(50)))
            await judging.wait()
            await (await client.ws.ping())
        judged.set()
        await until(lambda: len(handled) == 50)
        await until(lambda: app.stats().links == app.stats().sessions == 0)
        assert hub_of(app).sockets == set()
    assert handled == list(range(50))


@on_loop
async def test_nothing_is_written_for_who_cannot_come_back() -> None:
    broker = brokers.Wire(MemoryBroker(durable=True))
    app = make_app(broker=broker)
    app.speak("/echo", "echo")
    app.on("message")(lambda: None)
    async with app.serving() as address:
        async with wire(address, "/echo") as client:
            assert (await client.ask({"ModeCode": "message", "msg": 1}))["msg"] == 1
            (session,) = app.sessions()
            await session.send("message", 2)
            assert (await client.hear())["msg"] == 2
        await until(lambda: app.stats().sessions == 0)
    assert broker.log == []


@on_loop
async def test_sessions_can_be_ended_and_counted() -> None:
    world = World()
    async with world.app.serving() as address, wire(address, "/echo") as client:
        await client.ask({"ModeCode": "message", "msg": 1})
        (session,) = world.app.sessions()
        session.send_now("message", 5)
        assert await client.hear() == {"ModeCode": "message", "msg": 5}
        session.close("enough")
        assert await client.end() == (Code.ENDED, "enough")
        assert session.ended


@on_loop
async def test_draining_closes_foreign_links() -> None:
    world = World()
    world.blocked = asyncio.Event()
    async with world.app.serving(drain=3.0) as address:
        idle, busy = wire(address, "/echo"), wire(address, "/echo")
        one, two = await idle.__aenter__(), await busy.__aenter__()
        await two.say({"ModeCode": "message", "msg": "last words"})
        await until(lambda: world.app.stats().messages_started == 1)
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, world.blocked.set)
        began = loop.time()
        endings = [asyncio.ensure_future(_last(one)), asyncio.ensure_future(_last(two))]
    assert loop.time() - began < 4.0
    assert await endings[0] == ([], Code.MOVED)
    assert await endings[1] == ([{"ModeCode": "message", "msg": "last words"}], Code.MOVED)
    await idle.__aexit__(None, None, None)
    await busy.__aexit__(None, None, None)


async def _last(client: Wire) -> tuple[list[Any], int]:
    heard: list[Any] = []
    try:
        while True:
            heard.append(await client.hear())
    except Exception as error:  # noqa: BLE001 - the close
        return heard, error.rcvd.code  # type: ignore[attr-defined]


# declaring


@on_loop
async def test_subprotocols_of_dialects() -> None:
    app = make_app()
    app.speak("/plain", "plain")
    app.speak("/own", Dialect("own", subprotocol="own.1", send=Send(say="$data"), events=[Event("$data", "message")]))  # type: ignore[arg-type]
    async with app.serving() as address:
        for path, offer, status, chosen in (
            ("/plain", None, 0, None),
            ("/plain", ["chat"], 400, None),
            ("/plain", ["heartline.1"], 400, None),
            ("/own", None, 0, None),
            ("/own", ["own.1"], 0, "own.1"),
            ("/own", ["x", "own.1"], 0, "own.1"),
            ("/own", ["heartline.1"], 400, None),
        ):
            options = {} if offer is None else {"subprotocols": offer}
            if status:
                with pytest.raises(Exception, match=f"HTTP {status}"):
                    async with wire(address, path, **options):
                        pass
            else:
                async with wire(address, path, **options) as client:
                    assert client.ws.subprotocol == chosen


@on_loop
async def test_pages_of_other_origins_stay_out() -> None:
    world = World(origins=["https://good.example"])
    async with world.app.serving() as address:
        with pytest.raises(Exception, match="HTTP 403"):
            async with wire(address, "/echo", origin="https://evil.example"):
                pass
        async with wire(address, "/echo", origin="https://good.example") as client:
            assert await client.ask({"ModeCode": "heart_beat"}) == {"ModeCode": "heart_beat"}


@on_loop
async def test_native_clients_are_not_served_on_foreign_paths() -> None:
    world = World()
    async with world.app.serving() as address:
        with pytest.raises(DialError):
            async with raw(url_of(address, "/echo"), subprotocols=("heartline.1",)):
                pass


def test_what_cannot_be_spoken() -> None:
    app = make_app()
    for arguments, error, words in (
        (("x", "echo"), ValueError, "begin with '/'"),
        (("/", "echo"), ValueError, "'/' is served already"),
        (("/x", "nope"), ValueError, "no preset 'nope'"),
        (("/x", 5), TypeError, "Dialect or the name of a preset"),
        (("/x", "echo", "channel"), TypeError, "channel"),
    ):
        with pytest.raises(error, match=words):
            app.speak(arguments[0], arguments[1], **({"channel": arguments[2]} if len(arguments) > 2 else {}))  # type: ignore[arg-type]
    app.speak("/x", "echo")
    with pytest.raises(ValueError, match="'/x' is served already"):
        app.speak("/x", "heart")
    with pytest.raises(TypeError, match=r"Identity\.say"):
        Identity("x", say=5)  # type: ignore[arg-type]


@on_loop
async def test_a_channel_function_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Its message is an ordinary one, and the log tells why."""
    app = make_app()
    handled: list[Any] = []
    app.on("message")(handled.append)

    def channel(args: Any) -> Any:
        if args == {"n": 1}:
            raise KeyError("hunter2")
        return 5

    app.speak("/trades", "trades", channel=channel)
    async with app.serving() as address, wire(address, "/trades") as client:
        await client.say({"n": 1}, {"n": 2})
        await until(lambda: len(handled) == 2)
    assert "hunter2" in caplog.text
    assert "expected the name of a channel or None, got int" in caplog.text


@on_loop
async def test_what_cannot_be_spelt_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()
    app.speak("/community", "community")
    async with app.serving() as address, wire(address, "/community") as client:
        await until(app.sessions)
        (session,) = app.sessions()
        for n in range(5):
            await session.send("Note", f"text {n}")
        await session.send("Note", {"n": 1})
        assert await client.hear() == {"Operator": "Note", "n": 1}
    assert caplog.text.count("cannot be said") == 1


@on_loop
async def test_a_dialect_that_names_its_channels() -> None:
    app = make_app()
    app.speak(
        "/ws",
        Dialect(
            "chat",
            subscribe=Subscribe(
                say={"join": "$channel"},
                ok={"joined": "$channel"},
                no={"no": "$channel", "why": "$code"},
                leave={"leave": "$channel"},
                left={"left": "$channel"},
                items={"in": "$channel", "event": "$event", "data": "$data"},
            ),
        ),
    )

    @app.channel("rooms/{room}")
    def may(room: str) -> bool:
        return room != "secret"

    async with app.serving() as address, wire(address, "/ws") as client:
        assert await client.ask({"join": "rooms/a"}) == {"joined": "rooms/a"}
        assert await client.ask({"join": "rooms/secret"}) == {"no": "rooms/secret", "why": "forbidden"}
        assert await client.ask({"join": "nope"}) == {"no": "nope", "why": "unknown_channel"}
        assert await client.ask({"join": "\n"}) == {"no": "\n", "why": "invalid"}
        await app.publish("rooms/a", "said", {"by": "ann"})
        assert await client.hear() == {"in": "rooms/a", "event": "said", "data": {"by": "ann"}}
        app.publish_now("rooms/a", "typing", None)
        assert await client.hear() == {"in": "rooms/a", "event": "typing"}
        assert await client.ask({"leave": "rooms/a"}) == {"left": "rooms/a"}
        await app.publish("rooms/a", "said", 5)
        await client.hears_nothing()
