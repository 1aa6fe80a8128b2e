"""Starting and stopping: hooks, draining, signals, and that nothing is left."""

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

import heartline
from heartline import BrokerError, Heartbeat, Session
from heartline.brokers.memory import MemoryBroker
from heartline.server.hub import LAST_WORDS, Stage
from heartline.transports import DialError

from .raw import PATIENCE, greeted, hub_of, make_app, on_loop, raw, until


def sockets_open() -> int:
    """How many sockets this process has (Linux)."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    return count


def timers(loop: asyncio.AbstractEventLoop) -> int:
    """How many timers wait in a loop of asyncio's own."""
    return sum(not timer.cancelled() for timer in loop._scheduled)  # type: ignore[attr-defined]


# --- hooks ------------------------------------------------------------------------------------------


@on_loop
async def test_hooks_run_around_everything() -> None:
    app = make_app()
    log: list[str] = []

    @app.startup
    async def begin() -> None:
        await asyncio.sleep(0)
        log.append(f"startup, serving {hub_of(app).stage is Stage.SERVING}, links {app.stats().links}")
        app.channel("c")
        await app.publish("c", "e", 1)

    app.startup(lambda: log.append("startup too"))
    app.detached(lambda session: log.append("detached"))

    @app.ended
    async def ended(session: Session) -> None:
        await asyncio.sleep(0.01)
        log.append("ended")

    @app.shutdown
    async def end() -> None:
        await asyncio.sleep(0)
        log.append("shutdown")

    async with app.serving() as address:
        log.append("serving")
        async with greeted(address) as link:
            assert (await link.sub(1, "c"))[2]["offset"] == 1  # what the start-up hook published
            (session,) = app.sessions()
    assert log == ["startup, serving True, links 0", "startup too", "serving", "detached", "ended", "shutdown"]
    assert session.ended


@on_loop
async def test_hooks_that_fail(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever fails, the error comes out, every shutdown hook runs, and the server can serve again."""
    log: list[str] = []
    app = make_app()
    bad: set[str] = set()

    def hook(name: str) -> Any:
        def run() -> None:
            log.append(name)
            if name in bad:
                raise LookupError(name)

        return run

    for name in ("one", "two"):
        app.startup(hook(f"startup {name}"))
        app.shutdown(hook(f"shutdown {name}"))
    down = ["shutdown one", "shutdown two"]
    for failing, expected in (
        ({"startup one"}, ["startup one", *down]),
        ({"startup two"}, ["startup one", "startup two", *down]),
        ({"shutdown one"}, ["startup one", "startup two", "served", *down]),
        ({"shutdown one", "shutdown two"}, ["startup one", "startup two", "served", *down]),
    ):
        bad, log[:] = failing, []
        with pytest.raises(LookupError, match=min(failing)):
            async with app.serving() as address, greeted(address):
                log.append("served")
        assert log == expected
        with pytest.raises(RuntimeError, match="not serving"):
            app.stats()
    bad = set()
    with pytest.raises(ZeroDivisionError):
        async with app.serving():
            raise ZeroDivisionError
    assert log[-2:] == down
    async with app.serving() as address, greeted(address):
        pass


@on_loop
async def test_a_broker_that_does_not_start() -> None:
    class Broken(MemoryBroker):
        stopped = 0

        async def start(self, *args: Any) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            raise BrokerError("no such file")

        def stop(self) -> None:
            self.stopped += 1

    broker = Broken()
    app = make_app(broker=broker)
    log: list[str] = []
    app.startup(lambda: log.append("startup"))
    app.shutdown(lambda: log.append("shutdown"))
    with pytest.raises(BrokerError, match="no such file"):
        async with app.serving():
            pass
    assert log == ["shutdown"]
    assert broker.stopped == 0, "what never started is not stopped"


def test_brokers_are_named_or_given() -> None:
    heartline.Server("memory://")
    heartline.Server(MemoryBroker())
    with pytest.raises(ValueError, match="broker"):
        heartline.Server("carrier-pigeon://")


# --- draining ---------------------------------------------------------------------------------------


@on_loop
async def test_stopping_drains() -> None:
    """Clients are asked to move within the time given, links that are left are closed, and nothing new is taken."""
    app = make_app()
    app.on("x")(lambda data: data)
    serving = app.serving(drain=0.4)
    address = await serving.__aenter__()
    async with greeted(address) as mover, greeted(address) as stayer, raw(address) as fresh:
        began = time.monotonic()
        stopping = asyncio.ensure_future(serving.__aexit__(None, None, None))
        for link in (mover, stayer):
            assert await link.hear() == ["move", {"after": 0.0, "spread": 0.4}]
        assert await stayer.call(1, "x", 1) == 1, "meanwhile everything works"
        with pytest.raises(DialError):
            async with raw(address):
                pass
        await mover.close()
        assert await stayer.end() == (4002, "the server stops")
        assert (await fresh.end())[0] == 4002
        await stopping
        assert 0.4 <= time.monotonic() - began < 1.5


@on_loop
async def test_draining_ends_when_everybody_has_moved() -> None:
    app = make_app()
    async with app.serving() as address, greeted(address):
        pass  # that there were no links once does not count
    serving = app.serving(drain=60.0)
    address = await serving.__aenter__()
    async with greeted(address) as one:
        await one.close()
    async with greeted(address) as one, greeted(address) as two:
        stopping = asyncio.ensure_future(serving.__aexit__(None, None, None))
        for link in (one, two):
            await link.hear("move")
            assert not stopping.done()
            await link.close()
        await asyncio.wait_for(stopping, PATIENCE)


@on_loop
async def test_draining_lets_handlers_end() -> None:
    app = make_app()
    log: list[str] = []

    @app.on("slow")
    async def slow(data: int) -> int:
        await asyncio.sleep(0.05)
        log.append(f"{data}")
        return data

    serving = app.serving(drain=60.0)
    address = await serving.__aenter__()
    async with greeted(address) as link:
        link.say("call", 1, "slow", 1)
        await until(lambda: hub_of(app).runner.running)
        stopping = asyncio.ensure_future(serving.__aexit__(None, None, None))
        assert await link.hear("reply") == ["reply", 1, 1]
        link.say("send", 2, "slow", 2)
        await until(lambda: hub_of(app).runner.running)
        link.drop()
    await asyncio.wait_for(stopping, PATIENCE)
    assert log == ["1", "2"]


@on_loop
async def test_what_was_handled_is_acknowledged_before_the_goodbye() -> None:
    app = make_app()
    app.on("x")(lambda: None)
    serving = app.serving()
    address = await serving.__aenter__()
    async with greeted(address) as link:
        hub = hub_of(app)
        hub._end_scheduled = True  # the turn's end does not come before the goodbye
        link.say("send", 1, "x", None)
        await until(lambda: app.stats().messages_started)
        await serving.__aexit__(None, None, None)
        assert await link.hear() == ["ack", 1]
        assert await link.end() == (1001, "the server stops")


@on_loop
async def test_stopping_starts_nothing_more() -> None:
    """A handler that is cancelled makes no room for the next one; what closes still hears its hooks."""
    app = make_app()
    log: list[str] = []

    @app.on("slow")
    async def slow(data: int) -> None:
        log.append(f"begin {data}")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            log.append(f"cancelled {data}")
            raise

    @app.detached
    async def detached(session: Session) -> None:
        await asyncio.sleep(0.01)
        log.append("detached")

    async with app.serving() as address, greeted(address) as link:
        for n in range(1, 4):
            link.say("send", n, "slow", n)
        await until(lambda: log)
    assert log == ["begin 1", "cancelled 1", "detached"]


# --- signals ----------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, logging, sys
import heartline

logging.basicConfig(level=logging.INFO)
app = heartline.Server()

@app.on("slow")
async def slow():
    try:
        await asyncio.sleep(60)
    finally:
        print("slow ends", flush=True)

@app.shutdown
async def bye():
    print("shutdown", flush=True)

app.run(port=0, drain=float(sys.argv[1]), ready=lambda address: print(address.url, flush=True))
print("done", flush=True)
"""


@contextlib.contextmanager
def program(tmp_path: Path, drain: float) -> Any:
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", str(path), str(drain)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(tmp_path: Path, sign: signal.Signals) -> None:
    with program(tmp_path, 0.3) as process:
        url = process.stdout.readline().strip()

        async def main() -> None:
            async with greeted(url) as link:
                process.send_signal(sign)
                assert await link.hear() == ["move", {"after": 0.0, "spread": 0.3}]
                assert (await link.end())[0] == 4002

        asyncio.run(main())
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out.split()) == (0, ["shutdown", "done"])
        assert "Traceback" not in err, err
        assert "never" not in err, err


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with program(tmp_path, 60) as process:
        url = process.stdout.readline().strip()

        async def main() -> None:
            async with greeted(url) as link:
                link.say("call", 1, "slow", None)
                process.send_signal(signal.SIGTERM)
                await link.hear("move")
                process.send_signal(signal.SIGINT)
                await link.end()

        began = time.monotonic()
        asyncio.run(main())
        out, err = process.communicate(timeout=PATIENCE)
        assert time.monotonic() - began < 5
        assert (process.returncode, out.splitlines()) == (0, ["slow ends", "shutdown", "done"])
        assert "stopped without draining" in err
        assert "Traceback" not in err, err
        assert "ResourceWarning" not in err, err


# --- nothing is left --------------------------------------------------------------------------------


@on_loop
async def test_stopping_leaves_nothing() -> None:
    """No task, no timer, no socket, no session; whatever was going on."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    gc.collect()
    before = (asyncio.all_tasks(), sockets_open())
    broker = MemoryBroker()
    app = make_app(broker=broker, rate=5.0)
    app.channel("c", presence=True)
    gate = asyncio.Event()

    @app.on("slow", concurrent=True)
    async def slow() -> None:
        await gate.wait()

    @app.channel("asks")
    async def asks() -> None:
        await gate.wait()

    @app.login
    async def login(payload: Any) -> str:
        if payload:
            await gate.wait()
        return "ann"

    async with contextlib.AsyncExitStack() as links:
        async with app.serving() as address:
            for n in range(10):
                link = await links.enter_async_context(raw(address))
                if n < 8:
                    await link.hello(cursors=[[1, "c"], [2, "asks"]])
                    for m in range(1, 9):
                        link.say("call", m, "slow", None)
                    await app.sessions()[-1].send("note", n)
                else:
                    link.say("hello", {"instance": "i", "floor": 1, "login": "waits"})
            await until(lambda: hub_of(app).runner.running >= 40)
            hub = hub_of(app)
            assert hub._throttle is not None
            stopping = loop.time()
        assert loop.time() - stopping < LAST_WORDS, "nobody waits for a judgement that nobody waits for"
        assert hub.stage is Stage.STOPPED
        assert (hub.runner.running, hub.judging.running, hub.asking.running) == (0, 0, 0)
        node = hub.node
        for kept in (node.links, node.sessions, node.by_identity, node.detached, node.tails, node.unsaved, hub.sockets):
            assert not kept
        assert not hub.saving
        assert [name for name in broker._logs if name.startswith("@") and not name.startswith("@who/")] == []
        assert app._hub is None
    await until(lambda: (asyncio.all_tasks(), sockets_open()) == before)
    assert timers(loop) <= 1, "the time-out of this test"


@pytest.mark.parametrize("kind", ["anonymous", "bye", "without sockets"])
@on_loop
async def test_ten_thousand_sessions_leave_nothing_behind(kind: str) -> None:
    """Opened and ended: the node is as it was, and what was made is collected."""
    app = make_app(heartbeat=Heartbeat(1.0, 1.0))
    app.channel("c/{x}", presence=True)
    app.on("x")(lambda data: data)
    seen: list[weakref.ref[Session]] = []
    app.opened(lambda session, resumed: seen.append(weakref.ref(session)))
    count = 10_000 if kind == "without sockets" else 1_000
    async with app.serving() as address:
        hub = hub_of(app)
        node = hub.node
        if kind == "without sockets":
            for n in range(count):
                link = node.open(None, node.now)
                node.received(
                    link, b'["hello",{"instance":"i","floor":1,"cursors":[[1,"c/%d"]]}]' % (n % 100), node.now
                )
                hub.turn()
                node.received(link, b'["call",1,"x",1]', node.now)
                hub.turn()
                node.received(link, b'["bye",""]', node.now)
                hub.turn()
                if n % 500 == 0:
                    await asyncio.sleep(0)
        else:
            for n in range(count):
                async with raw(address) as link_:
                    if kind == "bye":
                        await link_.hello(cursors=[[1, f"c/{n % 100}"]])
                    assert await link_.call(1, "x", 1) == 1
                    if kind == "bye":
                        link_.say("bye", "")
                        await link_.end()
        await until(lambda: not node.links and not hub.sockets)
        assert len(seen) == count
        for kept in (node.links, node.sessions, node.by_identity, node.detached, node.unsaved, hub.saving):
            assert not kept
        assert not node.throttled
        assert not node._acking
        assert not node.presence._members
        await until(lambda: not node.tails)
        await until(lambda: len(node.wheel._slots) <= 1, "the last deadlines pass")
        gc.collect()
        assert [ref for ref in seen if ref() is not None] == []
        broker: Any = hub.broker
        assert not [name for name in broker._logs if not name.startswith("@who/")]
