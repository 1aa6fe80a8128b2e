"""Clients as they exist in the wild: the `websockets` package, which knows nothing of heartline. Every wait is bounded."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from heartline.dialects import presets
from heartline.dialects.spec import Beat, Dialect
from heartline.server import Address, Server, Session

from .raw import PATIENCE, QUIET, make_app

MIB = 1 << 20


class Wire:
    """One client. `say` values as JSON, or text and bytes as they are; `hear` JSON values, or text that is none."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws

    async def say(self, *messages: Any) -> None:
        for message in messages:
            as_it_is = isinstance(message, str | bytes)
            await self.ws.send(message if as_it_is else json.dumps(message, ensure_ascii=False))

    async def text(self) -> str:
        """The next message, which is text."""
        message = await asyncio.wait_for(self.ws.recv(), PATIENCE)
        assert isinstance(message, str), "this server says text"
        return message

    async def hear(self) -> Any:
        text = await self.text()
        try:
            return json.loads(text)
        except ValueError:
            return text

    async def ask(self, *messages: Any) -> Any:
        await self.say(*messages)
        return await self.hear()

    async def hears_nothing(self) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.ws.recv(), QUIET)

    async def end(self) -> tuple[int, str]:
        """Code and reason with which the server closed; what came before is passed over."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.wait_for(self.ws.recv(), PATIENCE)
        said = self.ws.protocol.close_rcvd
        assert said is not None, "no close frame came"
        return said.code, said.reason


@asynccontextmanager
async def wire(where: Address | str, path: str = "", **options: Any) -> AsyncIterator[Wire]:
    """A client that leaves at the end."""
    base = where if isinstance(where, str) else f"ws://{where.host}:{where.port}"
    options = {"compression": None, "ping_interval": None, "close_timeout": 2.0, "max_size": None} | options
    async with connect(base + path, open_timeout=PATIENCE, **options) as ws:
        yield Wire(ws)


def quick(name: str, interval: float = 0.2, timeout: float = 0.2) -> Dialect:
    """A preset with another heartbeat."""
    dialect = presets.load(name)
    assert dialect.beat is not None
    beat: Beat = msgspec.structs.replace(dialect.beat, interval=interval, timeout=timeout)
    return msgspec.structs.replace(dialect, beat=beat)


def url_of(address: Address, path: str) -> str:
    """Of a path of a server."""
    return f"ws://{address.host}:{address.port}{path}"


def subscription(args: Any) -> str | None:
    """What a trades client follows."""
    if isinstance(args, dict) and args.get("type") == "Subscribe" and isinstance(args.get("traderid"), int):
        return f"positions/{args['traderid']}"
    return None


class World:
    """One application that speaks everything."""

    def __init__(self, **options: Any) -> None:
        self.app: Server = make_app(path="/native", **options)
        self.handled: list[Any] = []
        self.blocked: asyncio.Event | None = None
        app = self.app
        app.speak("/heart/websocket", "heart")
        app.speak("/echo", "echo")
        app.speak("/trades", "trades", channel=subscription)
        app.channel("positions/{trader}", history=2)
        app.on("message")(self.message)
        app.on("x")(lambda data: data)

    async def message(self, session: Session, data: Any) -> None:
        if self.blocked is not None:
            await self.blocked.wait()
        self.handled.append(data)
        if data == "boom":
            raise RuntimeError("hunter2")
        if session.request is not None and session.request.path.startswith("/heart"):
            await session.send("message", f"{data}!")
