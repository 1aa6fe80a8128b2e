"""A server, a bad network before it, and quick clients, for tests."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import heartline
from heartline import (
    BackOff,
    ClientPolicy,
    Heartbeat,
    Identity,
    Refuse,
    Server,
    ServerLimits,
    Session,
    State,
)
from heartline.faults import FaultProxy

PATIENCE = 10.0
QUICK = ClientPolicy(
    heartbeat=Heartbeat(1.0, 1.0), back_off=BackOff(0.01, 0.1, 5.0), connect_timeout=5.0, hello_timeout=5.0
)


def quick(**changes: Any) -> ClientPolicy:
    """The quick policy with changes."""
    fields = {name: getattr(QUICK, name) for name in QUICK.__struct_fields__}
    return ClientPolicy(**{**fields, **changes})


@dataclass
class World:
    """What a test works with. `url` leads through the proxy."""

    app: Server
    proxy: FaultProxy
    direct: str
    handled: list[Any] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    """`slow` handlers wait for it"""

    @property
    def url(self) -> str:
        return self.proxy.url("ws")

    def connect(self, **options: Any) -> heartline.Connection:
        """A quick connection through the proxy."""
        return heartline.connect(self.url, **{"policy": QUICK, "linger": 0.0, **options})


@asynccontextmanager
async def world(
    *, limits: ServerLimits | None = None, declare: Callable[[Server], None] | None = None, **options: Any
) -> AsyncIterator[World]:
    """Serve `echo`, `note` (kept in `handled`), `slow`, `fail`, `tell` and the channels c/…; more with `declare`."""
    app = Server(limits=limits, heartbeat=Heartbeat(0.2, 0.2))
    place: World

    @app.on("echo")
    async def echo(value: Any) -> Any:
        return value

    @app.on("note")
    async def note(value: Any) -> None:
        place.handled.append(value)

    @app.on("slow", concurrent=True)
    async def slow(value: Any) -> Any:
        place.handled.append(value)
        await place.hold.wait()
        return value

    @app.on("fail")
    async def fail(value: Any) -> None:
        raise heartline.Refuse("no_luck", str(value))

    @app.on("tell")
    async def tell(session: Session, value: Any) -> None:
        await session.send("told", value)

    app.channel("c/{name}", publish=True)
    app.channel("none/{name}", publish=True, history=0)
    app.channel("short/{name}", publish=True, history=5)
    if declare is not None:
        declare(app)
    async with app.serving(**options) as address, FaultProxy((address.host, address.port)) as proxy:
        place = World(app, proxy, address.url)
        yield place


def guarded(tokens: dict[str, str], retry: float | bool = False) -> Any:
    """A server whose login knows these tokens."""

    def declare(app: heartline.Server) -> None:
        @app.login
        def login(token: Any) -> Identity:
            if token not in tokens:
                raise Refuse("bad_token", "not known", retry=retry)
            return Identity(tokens[token])

    return declare


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so: for things that announce themselves to nobody."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def until_state(conn: heartline.Connection, *states: State) -> None:
    """Wait for a state."""
    if conn.state not in states:
        async with asyncio.timeout(PATIENCE):
            async for change in conn.watch():
                if change.new in states or conn.state in states:
                    return


def open_files() -> int:
    """How many file descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))
