"""What tests of the examples share: their servers as processes that can be killed, and clients that know only the wire.

Every wait is bounded.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from heartline import Server

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 15.0  # seconds until a wait for something that has to come fails
QUIET = 0.3  # seconds in which something forbidden would have come

Message = dict[str, Any]


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in a loop of its own."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 6 * PATIENCE))

    return run


class Client:
    """One WebSocket, by a library that knows nothing of ours."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[Message] = []

    async def say(self, message: Message | str | bytes) -> None:
        await self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def hear(self, **fields: Any) -> Message:
        """The next message with these fields; others are kept in `heard`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                text = await self.socket.recv()
                assert isinstance(text, str), "text frames only"
                message = json.loads(text)
                self.heard.append(message)
                if fields.items() <= message.items():
                    return message  # type: ignore[no-any-return]

    async def ask(self, message: Message, **fields: Any) -> Message:
        await self.say(message)
        return await self.hear(**fields)

    async def silence(self, seconds: float = QUIET) -> None:
        """Nothing comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                raise AssertionError(f"not silent: {await self.socket.recv()!r}")

    async def ended(self) -> int:
        """The link ends; the code it ended with."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    self.heard.append(json.loads(await self.socket.recv()))
                except ConnectionClosed as closed:
                    return closed.rcvd.code if closed.rcvd else 1006

    async def cut(self) -> None:
        """The link is gone without a word."""
        self.socket.transport.abort()
        await self.socket.wait_closed()


@asynccontextmanager
async def dial(url: str) -> AsyncIterator[Client]:
    """A link with no heartbeat of the library's own."""
    socket = await connect(url, ping_interval=None, max_size=None, open_timeout=PATIENCE, close_timeout=2)
    try:
        yield Client(socket)
    finally:
        with contextlib.suppress(AttributeError):  # the library stumbles over a transport that is gone already
            await socket.close()


class Program:
    """An example as its own process, on a port that stays the same over restarts."""

    def __init__(self, module: str, *options: str, environ: dict[str, str] | None = None) -> None:
        self._command = [sys.executable, "-u", "-m", module, *options]
        self._environ = {**os.environ, **(environ or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._port = 0
        self.url = ""
        self.said = b""

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            *("--port", str(self._port)),
            cwd=ROOT,
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        said = b""
        async with asyncio.timeout(PATIENCE):
            while b"ws://" not in said:
                said = await self._process.stdout.readline()
                assert said, f"it did not start: {self.said.decode()}"
                self.said += said
        self.url = said.decode().strip()
        self._port = int(self.url.split(":")[2].split("/")[0])
        self._reading = asyncio.create_task(self._read(self._process.stdout))

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.said += line

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(how)
            await asyncio.wait_for(process.wait(), PATIENCE)
            await self._reading

    async def kill(self) -> None:
        await self.stop(signal.SIGKILL)


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@asynccontextmanager
async def serving(app: Server, path: str) -> AsyncIterator[str]:
    """Serve an application in this process while the block runs, and give its URL. It must not log an error."""
    complaints = _Complaints()
    logging.getLogger().addHandler(complaints)
    try:
        async with app.serving() as address:
            yield f"ws://{address.host}:{address.port}{path}"
    finally:
        logging.getLogger().removeHandler(complaints)
    assert complaints.lines == []


@asynccontextmanager
async def running(module: str, *options: str, environ: dict[str, str] | None = None) -> AsyncIterator[Program]:
    """Serve an example as a process of its own while the block runs. It must not log a traceback."""
    program = Program(module, *options, environ=environ)
    await program.start()
    try:
        yield program
    finally:
        await program.kill()
    assert b"Traceback" not in program.said, program.said.decode()
