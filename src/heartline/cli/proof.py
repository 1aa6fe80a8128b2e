"""The processes of one `heartline prove`, and what each has to do.

The server keeps its port over all its lives, so that the proxies find it again; the sender its outbox, the listener
its cursor and its output.

Invariants:
- sender, server and listener may be killed at any moment and go on from their files
  (test_prove_kills_one_of_them, test_prove_kills_all_of_them);
- a process that fails ends the run, with what it said last (test_prove_ends_when_a_process_fails).
"""

import argparse
import asyncio
import dataclasses
import json
import math
import random
import socket
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from heartline.faults.rules import FaultRules

from .arrivals import Arrivals
from .children import Child, Children
from .exits import Exit, Stop
from .killing import Begin, Lives
from .linking import Stats
from .rule_options import arguments_of
from .tally import Tally
from .terminal import StatusLine, say
from .texts import Text

CLIENTS = frozenset({"sender", "listener"})
PORTS = range(20_000, 30_000)  # below those that systems hand out: nobody gets ours while the server is dead


class Proof:
    """One run. `problems`: what went wrong besides a difference; `stopped`: a signal ended it."""

    def __init__(self, args: argparse.Namespace, rules: FaultRules, text: Text, folder: Path) -> None:
        self.output: Path = folder / "output"
        self.output.touch()
        self.problems: list[str] = []
        self.stopped: bool = True
        self.tally: Tally = Tally(text)
        self.status: StatusLine = StatusLine(not args.quiet)
        self._arrivals = Arrivals(self.output, self.tally.arrived)
        self._args = args
        self._rules = rules
        self._text = text
        self._folder = folder
        self._channel = f"proof-{random.SystemRandom().getrandbits(64):016x}"  # a broker's file may have older ones
        self._url = ""
        patience = 2 * sum(args.heartbeat)
        self._client_options = ["--quiet", "--stats-every", "0.1", "--connect-timeout", f"{patience:g}"]

    async def run(self) -> int:
        """Carry the text."""
        limit = self._args.timeout or 90.0 + 5.0 * self._text.lines / (self._args.rate or 2000.0)
        showing = asyncio.ensure_future(self._show())
        stats = Stats(self._args.stats_every, self.tally.counts)
        try:
            async with Children(self._heard) as children, asyncio.timeout(limit if limit < math.inf else None):
                await self._carry(children)
        except TimeoutError:
            self.problems.append(f"not through within {limit:.0f} s (see --timeout)")
        except Stop as stop:
            self.problems.append(str(stop))
        finally:
            showing.cancel()
            stats.close()
            await asyncio.wait({showing})
        self.stopped = False
        self.tally.ended = self.tally.ended or time.monotonic()
        self._arrivals.finish()
        return Exit.DONE

    async def _carry(self, children: Children) -> None:
        port = _free_port()
        server = await self._serve(children, port)
        target = f"127.0.0.1:{port}"
        proxies = []
        for i, rules in enumerate(_in_series(self._rules)):
            seed = str(2 * self._args.seed + i)  # with one seed for both, what one draws the other draws too
            words = ["faults", "--to", target, "--seed", seed, "--json", *arguments_of(rules)]
            proxy = await children.start("proxy", words)
            target = json.loads(await proxy.first_line())["address"]
            children.hear_stdout(proxy)
            proxies.append(proxy)
        self._url = f"ws://{target}/"
        self.tally.began = time.monotonic()
        await self._first_of(
            {
                "server": self._lives("server", lambda: self._serve(children, port)).run(server),
                "proxy": _any_gone(proxies),
                "listener": self._lives("listener", lambda: self._listen(children)).run(),
                "work": self._work(children, f"ws://127.0.0.1:{port}/"),
            }
        )
        self.tally.ended = time.monotonic()
        for proxy in proxies:
            await children.end(proxy)  # it tells its numbers

    async def _first_of(self, jobs: dict[str, Coroutine[Any, Any, None]]) -> None:
        """The work; that anything else ends is a failure."""
        tasks = {name: asyncio.ensure_future(job) for name, job in jobs.items()}
        try:
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            for name, task in tasks.items():
                if task.done():
                    task.result()
                    if name != "work" and not tasks["work"].done():
                        raise Stop(f"the {name} ended before the work was done")
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.wait(tasks.values())

    async def _work(self, children: Children, server: str) -> None:
        """Send the text, then the mark; done when the mark has arrived."""
        arriving = asyncio.ensure_future(self._arrivals.complete())
        try:
            await self._lives("sender", lambda: self._send(children)).run()
            await self._send_mark(children, server)
            await arriving
        finally:
            arriving.cancel()

    async def _send_mark(self, children: Children, server: str) -> None:
        mark = self._folder / "mark"
        mark.write_bytes(self._arrivals.mark)
        with mark.open("rb") as file:
            last = await children.start("mark", ["send", server, "--channel", self._channel, "--quiet"], stdin=file)
        if status := await last.gone():
            raise Stop(f"the mark behind the text was not sent: status {status}: {last.last_words()}")

    def _lives(self, name: str, begin: Begin) -> Lives:
        every = getattr(self._args, f"kill_{name}_every")
        return Lives(name, begin, every, self._args.seed, lambda killed: self.tally.ended_life(name, killed=killed))

    async def _serve(self, children: Children, port: int) -> Child:
        text, (interval, timeout) = self._text, self._args.heartbeat
        words = ["serve", "--port", str(port), "--heartbeat", f"{interval:g},{timeout:g}"]
        words += ["--broker", self._args.broker or f"sqlite:///{self._folder / 'server.db'}"]
        words += ["--history", str(2 * text.lines), "--history-bytes", str(max(256 << 20, 4 * text.size))]
        server = await children.start("server", words)
        await server.first_line()
        return server

    async def _send(self, children: Children) -> Child:
        words = ["send", self._url, "--channel", self._channel, "--outbox", str(self._folder / "send.db")]
        if self._args.rate:
            words += ["--rate", f"{self._args.rate:f}"]
        with self._text.path.open("rb") as file:
            sender = await children.start("sender", [*words, *self._client_options], stdin=file)
        await sender.first_word()
        return sender

    async def _listen(self, children: Children) -> Child:
        words = ["listen", self._url, self._channel, "--cursor", str(self._folder / "listen.db")]
        words += ["--output", str(self.output), *self._client_options]
        listener = await children.start("listener", words)
        await listener.first_word()
        return listener

    def _heard(self, name: str, said: dict[str, Any] | str) -> None:
        if isinstance(said, str):
            if name in CLIENTS and not self._args.quiet:
                say(f"{name}: {said}")
        elif name == "proxy":
            self.tally.proxy_said(said)
        elif name in CLIENTS:
            self.tally.client_said(name, said)

    async def _show(self) -> None:
        while not self._args.quiet:
            await asyncio.sleep(0.1)
            if self._url:
                self.tally.show(self.status)


def _in_series(rules: FaultRules) -> list[FaultRules]:
    """The rules for each proxy, from the server on: freezes in front of all the rest."""
    if rules.freeze_every is None:
        return [rules]
    freezing = dataclasses.replace(
        FaultRules(spread=rules.spread, kind_after=rules.kind_after),
        **{f.name: getattr(rules, f.name) for f in dataclasses.fields(rules) if f.name.startswith("freeze_")},
    )
    return [dataclasses.replace(rules, freeze_every=None), freezing]


async def _any_gone(children: list[Child]) -> None:
    await asyncio.wait([asyncio.ensure_future(c.process.wait()) for c in children], return_when=asyncio.FIRST_COMPLETED)


def _free_port() -> int:
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Stop(f"no free port from {PORTS.start} to {PORTS.stop}")
