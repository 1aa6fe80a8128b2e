"""Running one load against one peer: the peer in a fresh process on one core, the load on another."""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .model import ALONE, Bench, Outcome, Peer, Sample

ROOT = Path(__file__).resolve().parents[2]
SERVER_CORE, LOAD_CORE = "0", "1"
START_LIMIT = 120.0
LOAD_LIMIT = 600.0
FILES = 250_000


class Failed(Exception):
    """A peer or the load generator did not do its work."""


def run_bench(bench: Bench, peers: dict[str, Peer], program: Path, *, quick: bool, rounds: int) -> Outcome:
    """All rounds of a benchmark, the peers in turn within each: what disturbs the machine disturbs them alike."""
    outcome = Outcome(bench.name, {name: [] for name in bench.peers})
    words = [*bench.load, *(bench.quick if quick else ())]
    for _ in range(rounds):
        for name in bench.peers:
            outcome.samples[name].append(run_once(peers[name], words, program))
    return outcome


def run_once(peer: Peer, words: Sequence[str], program: Path) -> Sample:
    """One load on a fresh peer."""
    if peer.dialect == ALONE:
        return _sample(peer, [*peer.command, *words])
    with serving(peer) as (port, pid):
        command = ["taskset", "-c", LOAD_CORE, str(program), *words]
        command += ["--dialect", peer.dialect, "--port", str(port), "--server-pid", str(pid)]
        return _sample(peer, command)


def _sample(peer: Peer, command: Sequence[str]) -> Sample:
    done = subprocess.run(command, capture_output=True, text=True, timeout=LOAD_LIMIT)
    if done.returncode:
        raise Failed(f"{peer.name}: {done.stderr.strip() or f'the load ended with {done.returncode}'}")
    sample: Sample = json.loads(done.stdout)
    return sample


@contextmanager
def serving(peer: Peer) -> Iterator[tuple[int, int]]:
    """A peer's port and process, while the block runs."""
    allow_files()
    process = subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, *peer.command],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield _port(peer, process), process.pid
        if process.poll() is not None:
            raise Failed(f"{peer.name} ended with {process.returncode} under load")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(peer: Peer, process: "subprocess.Popen[bytes]") -> int:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_LIMIT)
    line = process.stdout.readline() if readable else b""
    try:
        told = json.loads(line)
        port = int(told["port"])
        if "soon" in told:
            _wait_for(port)
        return port
    except (ValueError, KeyError, TypeError, OSError):
        raise Failed(f"{peer.name} did not start (`{' '.join(peer.command)}`): {line!r}") from None


def _wait_for(port: int) -> None:
    """Until something listens there: a server that cannot tell."""
    deadline = time.monotonic() + START_LIMIT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def allow_files() -> int:
    """As many open files as may be, for this process and those it starts; how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, max(FILES, hard)))
        except (ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def python(module: str, *words: str) -> tuple[str, ...]:
    """The command that runs one of our own peers."""
    return (sys.executable, "-m", module, *words)


def pure(module: str, *words: str) -> tuple[str, ...]:
    """The same, from the source that lies beside what is compiled."""
    return ("env", "HEARTLINE_PURE=1", *python(module, *words))
