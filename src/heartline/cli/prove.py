"""`heartline prove`: the promise, kept before your eyes.

Server, proxies, sender and listener are separate processes of this same command. Sender and listener both go through
the proxies, in both directions.

Invariants:
- anything but identical bytes ends with status 1 and the first line that differs (test_prove_finds_a_difference);
- no process is left behind (test_prove_leaves_no_process).
"""

import argparse
import asyncio
import dataclasses
import json
import math
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from heartline.faults.rules import FaultRules

from .children import Child, Children
from .exits import Exit, Stop
from .rule_options import add_rules, arguments_of, rules_of
from .running import run as run_job
from .tally import Tally
from .terminal import StatusLine, say
from .texts import Text, first_difference, given_text, standard_text
from .values import above_0, beat, count, maybe_ever, number

CHANNEL = "proof"
RULES = {"cut_every": 0.5, "freeze_every": 1.5, "freeze_for": 3.0, "latency": 0.005, "jitter": 0.005}

_DESCRIPTION = """\
Carry a text from a sender to a listener, through links that are cut and frozen all the time, and compare what
arrived with what was sent, byte by byte. Server, proxies, sender and listener are processes of their own.

Without --input the text is the first 25,000 lines of the sources of Python's standard library on this machine.
Freezes happen in a proxy of their own in front of the one that cuts, so that a cut does not end them: the side that
is left alone has to find out by its heartbeat."""

_EXAMPLES = """\
examples:
  heartline prove                                      half a minute, dozens of links that die
  heartline prove --input access.log --rate 5000       your text, faster
  heartline prove --kill-listener-every 3              the listener gets SIGKILL, again and again
  heartline prove --cut-every 0.2 --refuse-every 5 --refuse-for 1 --seed 7
  heartline prove --json | jq .links_died

exit status: 0 not one byte differs, 1 anything else (the first difference is shown), 2 wrong arguments or input"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("--input", metavar="FILE", help="text to carry, UTF-8 (default: see above)")
    add("--output", metavar="FILE", help="keep what arrived in this file")
    add("--rate", type=number, default=1000.0, metavar="N", help="lines sent a second, 0: as fast as it goes; slow "
        "enough that many links die before the text is through (default 1000)")  # fmt: skip
    add("--kill-listener-every", type=above_0, metavar="S", help="also kill the listener, and go on from the place it "
        "printed last (default: never)")  # fmt: skip
    add("--heartbeat", type=beat, default=(0.5, 0.5), metavar="I,T", help="silence before a ping, and before a link is "
        "left after it (default 0.5,0.5)")  # fmt: skip
    add("--seed", type=count(), default=0, metavar="N", help="another course of events (default 0)")
    add("--timeout", type=maybe_ever, metavar="S", help="end without success after so long (default: a minute more than "
        "three times what it should take)")  # fmt: skip
    add("--json", action="store_true", help="the result as a JSON object on stdout")
    add("--quiet", action="store_true", help="the result only")
    add_rules(parser, RULES)


def run(args: argparse.Namespace) -> int:
    """Prove it."""
    rules = rules_of(args)
    with tempfile.TemporaryDirectory(prefix="heartline-prove-") as name:
        folder = Path(name)
        text = standard_text(folder) if args.input is None else given_text(args.input, folder)
        if not args.quiet and not args.json:
            print(_introduction(text, rules, args), flush=True)
        proof = Proof(args, rules, text, folder)
        try:
            status = run_job(proof.run())
        finally:
            proof.status.clear()
        if proof.stopped:
            tally = proof.tally
            say(f"interrupted: {tally.handled:,} of {text.lines:,} lines handled, {tally.received:,} received")
            return status
        difference = first_difference(text, proof.output)
        problems = proof.problems
        if args.json:
            print(json.dumps(proof.tally.as_dict(problems, difference)))
        else:
            print(proof.tally.report(problems, difference))
        if args.output is not None:
            _keep(proof.output, args.output)
        elif difference is not None:
            say(f"what arrived is kept in {_keep_somewhere(proof.output)}")
        return Exit.NOT_DONE if problems or difference else Exit.DONE


class Proof:
    """One run. `problems`: what went wrong besides a difference; `stopped`: a signal ended it."""

    def __init__(self, args: argparse.Namespace, rules: FaultRules, text: Text, folder: Path) -> None:
        self.output = folder / "output"
        self.output.touch()
        self.problems: list[str] = []
        self.stopped: bool = True
        self.tally: Tally = Tally(text)
        self.status: StatusLine = StatusLine(not args.quiet)
        self._args = args
        self._rules = rules
        self._text = text
        self._url = ""
        self._place: str | None = None
        patience = 2 * sum(args.heartbeat)
        self._client_options = ["--quiet", "--stats-every", "0.1", "--connect-timeout", f"{patience:g}"]

    async def run(self) -> int:
        """Carry the text."""
        limit = self._args.timeout or 60.0 + 3.0 * self._text.lines / (self._args.rate or 2000.0)
        showing = asyncio.ensure_future(self._show())
        try:
            async with Children(self._heard) as children, asyncio.timeout(limit if limit < math.inf else None):
                await self._carry(children)
        except TimeoutError:
            self.problems.append(f"not through within {limit:.0f} s (see --timeout)")
        except Stop as stop:
            self.problems.append(str(stop))
        finally:
            showing.cancel()
            await asyncio.wait({showing})
        self.stopped = False
        self.tally.ended = self.tally.ended or self.tally.began + self.tally.seconds
        return Exit.DONE

    async def _carry(self, children: Children) -> None:
        text, args = self._text, self._args
        interval, timeout = args.heartbeat
        history = str(max(256 << 20, 2 * text.size + 400 * text.lines))
        server = await children.start("server", ["serve", "--port", "0", "--heartbeat", f"{interval:g},{timeout:g}",
                                                 "--history", str(text.lines), "--history-bytes", history])  # fmt: skip
        target = (await server.first_line()).removeprefix("ws://").rstrip("/")
        proxies = []
        for i, rules in enumerate(_in_series(self._rules)):
            seed = str(2 * args.seed + i)  # with one seed for both, what one draws the other draws too
            words = ["faults", "--to", target, "--seed", seed, "--json", *arguments_of(rules)]
            proxy = await children.start("proxy", words)
            target = json.loads(await proxy.first_line())["address"]
            children.hear_stdout(proxy)
            proxies.append(proxy)
        self._url = f"ws://{target}/"
        self.tally.began = time.monotonic()
        await self._first_of(
            {
                "server": server.gone(),
                "proxy": _any_gone(proxies),
                "work": self._work(children),
            }
        )
        self.tally.ended = time.monotonic()
        for proxy in proxies:
            await children.end(proxy)  # it tells its numbers

    async def _first_of(self, jobs: dict[str, Any]) -> None:
        """The work; that anything else ends is a failure."""
        tasks = {name: asyncio.ensure_future(job) for name, job in jobs.items()}
        try:
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            if not tasks["work"].done():
                dead = next(name for name, task in tasks.items() if task.done())
                raise Stop(f"the {dead} ended before the work was done")
            tasks["work"].result()
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.wait(tasks.values())

    async def _work(self, children: Children) -> None:
        sending = asyncio.ensure_future(self._send(children))
        listening = asyncio.ensure_future(self._listen(children))
        try:
            await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_EXCEPTION)
            for task in (sending, listening):
                if task.done():
                    task.result()
        finally:
            for task in (sending, listening):
                task.cancel()
            await asyncio.wait({sending, listening})

    async def _send(self, children: Children) -> None:
        words = ["send", self._url, "--channel", CHANNEL, *self._client_options]
        if self._args.rate:
            words += ["--rate", f"{self._args.rate:f}"]
        with self._text.path.open("rb") as file:
            sender = await children.start("sender", words, stdin=file)
        status = await sender.gone()
        self.tally.client_ended("sender")
        if status != 0:
            raise Stop(f"the sender ended with status {status}: {sender.last_words()}")

    async def _listen(self, children: Children) -> None:
        """Listen until all lines are here, over as many lives of the listener as it takes."""
        every = self._args.kill_listener_every or math.inf
        with self.output.open("wb") as file:
            while self.tally.received < self._text.lines:
                left = self._text.lines - self.tally.received
                words = ["listen", self._url, CHANNEL, "--print-offsets", "--count", str(left), *self._client_options]
                if self._place is not None:
                    words += ["--since", self._place]
                listener = await children.start("listener", words)
                reading = asyncio.ensure_future(self._take(listener, file))
                try:
                    await asyncio.wait({reading}, timeout=every if every < math.inf else None)
                    if killed := not reading.done():
                        listener.kill()
                    await reading
                finally:
                    reading.cancel()
                status = await listener.gone()
                self.tally.client_ended("listener", killed=killed)
                if status != 0 and not killed:
                    raise Stop(f"the listener ended with status {status}: {listener.last_words()}")

    async def _take(self, listener: Child, file: Any) -> None:
        """Keep whole lines; one that a kill cut off is printed again by the next listener."""
        stream = listener.process.stdout
        assert stream is not None
        rest: list[bytes] = []
        while piece := await stream.read(1 << 16):
            if b"\n" not in piece:
                rest.append(piece)
                continue
            *whole, last = b"".join([*rest, piece]).split(b"\n")
            rest = [last]
            for line in whole:
                place, _, text = line.partition(b"\t")
                file.write(text + b"\n")
                self.tally.line_received(len(text) + 1)
                self._place = place.decode()

    def _heard(self, name: str, said: dict[str, Any] | str) -> None:
        if isinstance(said, str):
            if name in {"sender", "listener"} and not self._args.quiet:
                say(f"{name}: {said}")
        elif name == "proxy":
            self.tally.proxy_said(said)
        elif name in {"sender", "listener"}:
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


def _introduction(text: Text, rules: FaultRules, args: argparse.Namespace) -> str:
    interval, timeout = args.heartbeat
    faults = []
    if rules.cut_every is not None:
        lost = "what is in flight is lost" if rules.cut_loses_data else "what is in flight arrives"
        faults.append(f"each link is cut after {rules.cut_every:g} s or so ({lost})")
    if rules.freeze_every is not None:
        faults.append(f"or frozen after {rules.freeze_every:g} s for {rules.freeze_for:g} s")
    if rules.refuse_every is not None:
        faults.append(f"all dials refused every {rules.refuse_every:g} s for {rules.refuse_for:g} s")
    if args.kill_listener_every is not None:
        faults.append(f"the listener is killed every {args.kill_listener_every:g} s")
    return (
        f"text:      {text.lines:,} lines, {text.size:,} bytes: {text.about}\n"
        f"road:      sender > proxy > server > proxy > listener, each a process of its own\n"
        f"faults:    {', '.join(faults) or 'none'} (seed {args.seed})\n"
        f"heartbeat: a silent link is left within {interval:g} + {timeout:g} s"
    )


def _keep(output: Path, target: str) -> None:
    try:
        shutil.copyfile(output, target)
    except OSError as error:
        raise Stop(f"--output {target}: {error.strerror or error}") from None


def _keep_somewhere(output: Path) -> str:
    with tempfile.NamedTemporaryFile(prefix="heartline-received-", delete=False) as file:
        file.write(output.read_bytes())
        return file.name
