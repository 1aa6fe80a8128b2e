"""Commands and events over a WebSocket, as DevTools (CDP) and WebDriver BiDi spell them.

- answers find the command they belong to by number (test_a_request_a_message_and_a_channel);
- a browser that dies fails whoever waits for it.
"""

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.browser.tab import PATIENCE


class Wire:
    """One connection to a browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listeners: dict[str, list[Callable[[dict[str, Any]], None]]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def to(cls, url: str) -> "Wire":
        """Connect."""
        return cls(await connect(url, max_size=None, compression=None, ping_interval=None))

    async def command(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """Have it done; what came of it. `more`: fields beside the parameters. Raises RuntimeError, TimeoutError."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params or {}, **more}))
        try:
            async with asyncio.timeout(2 * PATIENCE):
                got = await answer
        except TimeoutError:
            raise TimeoutError(f"no answer to {method}") from None
        finally:
            self._waiting.pop(number, None)
        if "error" in got:
            raise RuntimeError(f"{method}: {got['error']} {got.get('message', '')}")
        result: dict[str, Any] = got["result"]
        return result

    def on(self, event: str, listener: Callable[[dict[str, Any]], None]) -> None:
        """Call a listener with the parameters of each such event."""
        self._listeners.setdefault(event, []).append(listener)

    async def event(self, event: str, matches: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The parameters of the next such event."""
        came: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def take(params: dict[str, Any]) -> None:
            if matches(params) and not came.done():
                came.set_result(params)

        self.on(event, take)
        try:
            async with asyncio.timeout(PATIENCE):
                return await came
        finally:
            self._listeners[event].remove(take)

    async def close(self) -> None:
        """Hang up."""
        await self._socket.close()
        await self._reader

    async def _read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                waiting = self._waiting.get(message["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
            else:
                for listener in list(self._listeners.get(message["method"], ())):
                    listener(message["params"] | {"@session": message.get("sessionId")})
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the browser hung up"))


async def announced(process: asyncio.subprocess.Process) -> str:
    """The address a browser tells on stderr once it listens."""
    assert process.stderr is not None
    said = []
    async with asyncio.timeout(4 * PATIENCE):
        while line := (await process.stderr.readline()).decode(errors="replace"):
            said.append(line)
            if " listening on ws://" in line:
                return line.split()[-1]
    raise RuntimeError(f"the browser ended: {''.join(said)}")
