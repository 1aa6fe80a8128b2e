"""Real processes of the command, started and ended with care."""

import json
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

COMMAND = [sys.executable, "-m", "heartline"]
PATIENCE = 30.0  # seconds for anything that must come


class Running:
    """A command that runs; its output is taken line by line as it comes."""

    def __init__(
        self,
        *words: str,
        stdin: IO[bytes] | int | None = subprocess.DEVNULL,
        stdout: IO[bytes] | int = subprocess.PIPE,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )
        self.err = _Taken(self.process.stderr)
        self.out = _Taken(self.process.stdout) if stdout == subprocess.PIPE else None

    def line(self) -> str:
        """The next line on stdout."""
        assert self.out is not None
        return self.out.line()

    def signal(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def end(self, timeout: float = PATIENCE) -> int:
        """Wait for its own end."""
        return self.process.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        for taken in (self.err, self.out):
            if taken is not None:
                taken.close()
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()


class _Taken:
    """The lines of a pipe, read by a thread so that the process never waits."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        assert pipe is not None
        self._pipe = pipe
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def line(self, timeout: float = PATIENCE) -> str:
        """The next line, "" at the end."""
        return self._lines.get(timeout=timeout).decode().rstrip("\n")

    def until(self, part: str) -> str:
        """The next line with `part` in it."""
        while part not in (line := self.line()):
            assert line, f"it ended without a line with {part!r}"
        return line

    def rest(self) -> list[str]:
        """All further lines up to the end."""
        lines = []
        while line := self._lines.get(timeout=PATIENCE):
            lines.append(line.decode().rstrip("\n"))
        self._lines.put(b"")
        return lines

    def stats(self) -> dict[str, Any]:
        """The last line of --stats-every."""
        found = [line for line in self.rest() if line.startswith("{")]
        stats: dict[str, Any] = json.loads(found[-1])
        return stats

    def close(self) -> None:
        self._thread.join(PATIENCE)
        self._pipe.close()

    def _read(self) -> None:
        for line in self._pipe:
            self._lines.put(line)
        self._lines.put(b"")


def run(
    *words: str, stdin: bytes | str = b"", timeout: float = PATIENCE, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output as text."""
    done = subprocess.run(
        [*COMMAND, *words],
        input=stdin if isinstance(stdin, bytes) else stdin.encode(),
        capture_output=True,
        timeout=timeout,
        cwd=cwd,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@contextmanager
def relay(*options: str, port: int = 0) -> Iterator[str]:
    """An open relay, in memory unless `options` say otherwise; its URL."""
    broker = () if "--broker" in options else ("--broker", "memory://")
    with Running("serve", "--port", str(port), *broker, *options) as server:
        yield server.line()


@contextmanager
def faults(url: str, *options: str) -> Iterator[tuple[str, Running]]:
    """A fault proxy in front of `url`; the URL through it."""
    with Running("faults", "--to", url.removeprefix("ws://").rstrip("/"), "--json", *options) as proxy:
        yield f"ws://{json.loads(proxy.line())['address']}/", proxy


def summary_of(proxy: Running) -> dict[str, Any]:
    """End a proxy of `faults`; its summary."""
    proxy.signal()
    assert proxy.end() == 0
    assert proxy.out is not None
    summary: dict[str, Any] = json.loads(proxy.out.rest()[-1])
    return summary


def free_port() -> int:
    """A port nobody listens on, and none of those that systems hand out by themselves."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def numbers(n: int) -> bytes:
    """What `seq 1 n` prints."""
    return "".join(f"{i}\n" for i in range(1, n + 1)).encode()
