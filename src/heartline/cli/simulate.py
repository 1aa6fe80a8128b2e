"""`heartline simulate`: the cores of client and server under seeded faults, in virtual time.

Invariant: a violation ends with status 1, its trace, and the command that shows it again
(test_simulate_shows_a_violation).
"""

import argparse
import json
import os
import sys
from typing import Any

from .exits import Stop
from .terminal import say
from .values import count

_DESCRIPTION = """\
Run schedules of faults against the cores of client and server, in virtual time: links that die, hang, freeze and lose
data, servers and clients that crash, clocks that jump, consumers that stall. Every promise is checked at every step.

stdout is a summary in JSON, on one line. The same seed gives the same schedule on every machine. At the first
violation it ends: stderr shows what happened last, and the command that repeats it."""

_EXAMPLES = """\
examples:
  heartline simulate --seeds 2000             seeds 0 to 1999
  heartline simulate --seeds 500 --seed 2000  500 more, from seed 2000 on
  heartline simulate --seed 1234              this one alone, with its trace if it fails
  heartline simulate --seeds 200 --scenario client-crash
  heartline simulate --list                   the scenarios, and the cores that are broken on purpose
  heartline simulate --seeds 200 --broken NAME
                                              a core that is broken on purpose, to see that it is caught

exit status: 0 every promise kept, 1 a violation, 2 wrong arguments"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("--seeds", type=count(1), metavar="N", help="run N schedules (default 1, where --seed is given)")
    add("--seed", type=count(), metavar="K", help="the first one's seed (default 0)")
    add("--list", action="store_true", help="name the scenarios and the broken cores")
    add("--scenario", metavar="NAME", help="faults of one kind (default mix: several at once)")
    add("--broken", metavar="NAME", help="break the core in this way first")
    add("--jobs", type=count(1), metavar="J", help="processes to use (default: one for each core)")
    add("--json", action="store_true", help="the summary only, the trace in it; nothing on stderr")


def run(args: argparse.Namespace) -> int:
    """Simulate."""
    from heartline.testing.simulator import SCENARIOS, main_json
    from heartline.testing.simulator.broken import BROKEN
    from heartline.variant import is_compiled

    if args.list:
        print("scenarios:", *SCENARIOS)
        print("broken cores:", *BROKEN)
        return 0
    if args.seeds is None and args.seed is None:
        raise Stop("say how many schedules, --seeds N, or which one, --seed K (see heartline simulate --help)")
    _check_known("--scenario", args.scenario, list(SCENARIOS))
    _check_known("--broken", args.broken, list(BROKEN))
    if args.broken is not None and is_compiled():
        raise Stop("--broken: a compiled core cannot be broken; set HEARTLINE_PURE=1 in the environment")
    first = args.seed or 0
    seeds = range(first, first + (args.seeds or 1))
    jobs = min(len(seeds), args.jobs or os.cpu_count() or 1)
    summary, status = main_json(seeds, scenario=args.scenario, core=args.broken, jobs=jobs)
    violation = summary["violation"]
    if violation is not None and not args.json:
        _explain(violation)
        summary = {**summary, "violation": {name: v for name, v in violation.items() if name != "trace"}}
    print(json.dumps(summary))
    return status


def _check_known(option: str, name: str | None, known: list[str]) -> None:
    if name is not None and name not in known:
        raise Stop(f"{option}: expected one of {', '.join(known) or 'none yet'}, not {name!r}")


def _explain(violation: dict[str, Any]) -> None:
    for line in violation["trace"]:
        print(line, file=sys.stderr)
    say(f"violation of {violation['invariant']} at {violation['at']:.4f} s, seed {violation['seed']}: "
        f"{violation['message']}")  # fmt: skip
    say(f"again: {violation['repeat']}")
