"""Several applications on one port: they share the port, start and stop together, and nothing else."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

import heartline
from heartline import BrokerError, Server, Session
from heartline.brokers.memory import MemoryBroker

from .raw import PATIENCE, greeted, make_app, on_loop
from .test_port import get
from .wires import MIB, wire


def shop(name: str, log: list[str], **options: Any) -> Server:
    """An application under its own paths, whose hooks tell what they do."""
    app = make_app(path=f"/{name}/native", **options)
    app.speak(f"/{name}", "echo")
    app.page(f"/{name}/page")(lambda request: f"page of {name}")
    app.startup(lambda: log.append(f"{name} starts"))
    app.shutdown(lambda: log.append(f"{name} stops"))
    app.channel("news")

    @app.on("message")
    def message(session: Session, data: Any) -> str:
        log.append(f"{name} handles {data}")
        return name

    return app


@on_loop
async def test_mounted_applications() -> None:
    log: list[str] = []
    host, one, two = shop("host", log), shop("one", log), shop("two", log)
    host.mount(one)
    one.mount(two)  # and so on the host's port as well
    async with host.serving() as address:
        assert log == ["host starts", "one starts", "two starts"]
        for name in ("host", "one", "two"):
            async with wire(address, f"/{name}") as client:
                said = {"ModeCode": "message", "msg": f"for {name}"}
                assert await client.ask(said) == said
                assert log[-1] == f"{name} handles for {name}"
            async with greeted(f"ws://127.0.0.1:{address.port}/{name}/native") as link:
                assert await link.call(1, "message", 1) == name
            assert (await get(address, f"/{name}/page"))[2] == f"page of {name}".encode()
        async with greeted(f"ws://127.0.0.1:{address.port}/one/native") as link:
            await link.sub(1, "news")
            await two.publish("news", "e", "of two")
            await one.publish("news", "e", "of one")
            assert (await link.hear("msg"))[4] == "of one", "the same name is another channel"
        assert (one.stats().messages_started, two.stats().entries_published) == (2, 1)
        health = json.loads((await get(address, "/health"))[2])
        assert (health["status"], health["messages_started"], health["entries_published"]) == ("ok", 6, 2)
    assert log[-3:] == ["two stops", "one stops", "host stops"]
    with pytest.raises(RuntimeError, match="not serving"):
        one.stats()
    async with host.serving() as address, wire(address, "/two") as client:
        assert await client.ask({"ModeCode": "heart_beat"}) == {"ModeCode": "heart_beat"}


def test_paths_must_not_clash() -> None:
    log: list[str] = []
    host = shop("host", log)
    with pytest.raises(TypeError, match="must be a Server"):
        host.mount("x")  # type: ignore[arg-type]
    for other in (shop("host", log), _with_page("/host/page")):
        with pytest.raises(ValueError, match="is served already"):
            host.mount(other)
    one = shop("one", log)
    host.mount(one)
    for other in (one, host):
        with pytest.raises(ValueError, match="on this port already"):
            host.mount(other)
    with pytest.raises(ValueError, match="on this port already"):
        one.mount(host)


def _with_page(path: str) -> Server:
    app = make_app(path="/other")
    app.page(path)(lambda request: "")
    return app


@on_loop
async def test_a_path_taken_after_mounting_is_found_when_it_serves() -> None:
    log: list[str] = []
    host, one = shop("host", log), shop("one", log)
    host.mount(one)
    one.speak("/late", "heart")
    host.speak("/late", "heart")
    with pytest.raises(ValueError, match="/late is served already"):
        async with host.serving():
            pass
    assert log == []


@on_loop
async def test_a_mounted_application_that_cannot_start(caplog: pytest.LogCaptureFixture) -> None:
    """Those before it are stopped, its own shutdown hooks run, and the port was never open."""
    log: list[str] = []
    host, one, two = shop("host", log), shop("one", log), shop("two", log)
    host.mount(one)
    host.mount(two)

    @one.startup
    def fail() -> None:
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"):
        async with host.serving():
            pass
    assert log == ["host starts", "one starts", "one stops", "host stops"]
    for app in (host, one, two):
        with pytest.raises(RuntimeError, match="not serving"):
            app.stats()


@on_loop
async def test_one_application_serves_once() -> None:
    host, one = make_app(), make_app(path="/one")
    host.mount(one)
    async with one.serving():
        with pytest.raises(RuntimeError, match="serving already"):
            async with host.serving():
                pass
    async with host.serving():
        with pytest.raises(RuntimeError, match="serving already"):
            async with one.serving():
                pass
        assert one.stats().links == 0


@on_loop
async def test_health_covers_every_broker() -> None:
    class Broken(MemoryBroker):
        trouble = "the disk is full"

    host, one = make_app(), make_app(path="/one", broker=Broken())
    host.mount(one)
    async with host.serving() as address:
        status, _, body = await get(address, "/health")
        assert (status, json.loads(body)["status"]) == (503, "failing")


@on_loop
async def test_each_application_has_its_own_limits() -> None:
    """The port takes what the most generous one takes; the others refuse what is too large for them."""
    host, one = make_app(message=2 * MIB), make_app(path="/one", message=MIB // 2)
    one.speak("/foreign", "plain")
    for app in (host, one):
        app.on("x")(len)
    host.mount(one)
    large = "x" * MIB
    async with host.serving() as address, greeted(address) as generous:
        base = f"ws://127.0.0.1:{address.port}"
        assert await generous.call(1, "x", large) == MIB
        async with greeted(f"{base}/one") as strict:
            assert await strict.call(1, "x", "y" * 1000) == 1000
            strict.say("call", 2, "x", large)
            assert (await strict.end())[0] == 1009
        async with wire(address, "/foreign") as foreign:
            await foreign.say(json.dumps(large))
            assert (await foreign.end())[0] == 1009


@on_loop
async def test_draining_covers_all() -> None:
    host, one = make_app(), make_app(path="/one")
    host.mount(one)
    running, release = asyncio.Event(), asyncio.Event()

    @one.on("work")
    async def work(data: Any) -> str:
        running.set()
        await release.wait()
        return "done"

    async with AsyncExitStack() as stack:
        async with host.serving(drain=1.0) as address:
            conn = await stack.enter_async_context(heartline.connect(f"ws://127.0.0.1:{address.port}/one"))
            working = asyncio.ensure_future(conn.request("work", 1))
            await asyncio.wait_for(running.wait(), PATIENCE)
            asyncio.get_running_loop().call_later(0.2, release.set)
        assert await asyncio.wait_for(working, PATIENCE) == "done"


@on_loop
async def test_a_mounted_broker_that_cannot_start() -> None:
    class Broken(MemoryBroker):
        def start(self, *args: Any) -> None:
            raise BrokerError("no such server")

    host, one = make_app(), make_app(path="/one", broker=Broken())
    host.mount(one)
    with pytest.raises(BrokerError, match="no such server"):
        async with host.serving():
            pass
