"""`heartline prove`: the promise, kept before your eyes.

Server, proxies, sender and listener are separate processes of this same command. Sender and listener both go through
the proxies, in both directions.

Invariants:
- anything but identical bytes ends with status 1 and the first line that differs (test_prove_finds_a_difference);
- what loses by nature is not begun (test_prove_refuses_what_cannot_be_kept);
- no process is left behind (test_prove_leaves_no_process).
"""

import argparse
import json
import math
import shutil
import tempfile
from pathlib import Path

from heartline.faults.rules import FaultRules

from .exits import Exit, Stop
from .proof import Proof
from .rule_options import add_rules, rules_of
from .running import run as run_job
from .tally import KILLED
from .terminal import say
from .texts import Text, first_difference, given_text, standard_text
from .values import above_0, beat, count, every, maybe_ever, number

KILLS = {"server": 4.0, "sender": 6.0, "listener": 5.0}
RULES = {"cut_every": 0.5, "freeze_every": 1.5, "freeze_for": 3.0, "latency": 0.005, "jitter": 0.005}

_DESCRIPTION = """\
Carry a text from a sender to a listener, through links that are cut and frozen all the time, and compare what
arrived with what was sent, byte by byte. Server, proxies, sender and listener are processes of their own. Server,
sender and listener are killed with SIGKILL again and again, and go on from their files: the server's broker, the
sender's outbox (send --outbox), the listener's cursor and output (listen --cursor --output).

Without --input the text is the first 25,000 lines of the sources of Python's standard library on this machine.
Freezes happen in a proxy of their own in front of the one that cuts, so that a cut does not end them: the side that
is left alone has to find out by its heartbeat."""

_EXAMPLES = """\
examples:
  heartline prove                                      half a minute, dozens of links and processes that die
  heartline prove --input access.log --rate 5000       your text, faster
  heartline prove --kill-server-every 1 --kill-sender-every 2 --kill-listener-every inf
  heartline prove --broker memory://                   a server that keeps nothing: it is not killed then
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
    for name, seconds in KILLS.items():
        add(f"--kill-{name}-every", type=every, metavar="S", help=f"SIGKILL to the {name} after S seconds of life, half "
            f"as many more or less; it starts again at once; inf: never (default {seconds:g})")  # fmt: skip
    add("--broker", metavar="URL", help="where the server keeps entries and sessions: sqlite:///FILE (default: a "
        "temporary one), or memory:// for a server that is not killed")  # fmt: skip
    add("--heartbeat", type=beat, default=(0.5, 0.5), metavar="I,T", help="silence before a ping, and before a link is "
        "left after it (default 0.5,0.5)")  # fmt: skip
    add("--seed", type=count(), default=0, metavar="N", help="another course of events (default 0)")
    add("--timeout", type=maybe_ever, metavar="S", help="end without success after so long (default: 1.5 minutes more than "
        "five times what it should take)")  # fmt: skip
    add("--json", action="store_true", help="the result as a JSON object on stdout")
    add("--quiet", action="store_true", help="the result only")
    add("--stats-every", type=above_0, metavar="S", help="counts as a line of JSON on stderr, for programs")
    add_rules(parser, RULES)


def run(args: argparse.Namespace) -> int:
    """Prove it."""
    rules = rules_of(args)
    _settle_kills(args)
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


def _settle_kills(args: argparse.Namespace) -> None:
    """Put defaults where nothing was said. Raises Stop for what loses by nature."""
    if args.broker is not None:
        from heartline.brokers.urls import make_broker

        try:
            make_broker(args.broker, 1.0)
        except ValueError as error:
            raise Stop(f"--{error}") from None
    forgets = args.broker is not None and args.broker.startswith("memory:")
    if forgets and args.kill_server_every not in {None, math.inf}:
        raise Stop(
            "--kill-server-every: a server with --broker memory:// loses what it holds when it is killed; leave "
            "--broker out, or name a file with sqlite:///FILE"
        )
    for name, seconds in KILLS.items():
        if getattr(args, f"kill_{name}_every") is None:
            setattr(args, f"kill_{name}_every", math.inf if forgets and name == "server" else seconds)


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
    kills = [(name, getattr(args, f"kill_{name}_every")) for name in KILLED]
    killed = ", ".join(f"{name} every {seconds:g} s" for name, seconds in kills if seconds < math.inf)
    return (
        f"text:      {text.lines:,} lines, {text.size:,} bytes: {text.about}\n"
        f"road:      sender > proxy > server > proxy > listener, each a process of its own\n"
        f"faults:    {', '.join(faults) or 'none'} (seed {args.seed})\n"
        f"kill -9:   {f'{killed} or so; each starts again at once, from its file' if killed else 'none'}\n"
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
