"""What one message costs as the work grows: `python -m benchmarks.growth [--quick] [--record]`.

Each plot is one kind of work with one thing about it that grows, for heartline and, where it has such a thing, for
picows; the points are processor time of the server, in microseconds a message, medians of the rounds.
`python -m benchmarks.page` draws the record, `results/growth.json`, into `docs/performance/`.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from benchmarks.harness import machine, registry
from benchmarks.harness.build import load_generator
from benchmarks.harness.measure import Failed, run_once
from benchmarks.harness.model import Peer, Sample
from benchmarks.run import RESULTS
from scripts.wheels import use_compiled

RECORD = RESULTS / "growth.json"
DRY = RESULTS / "growth-dry.json"
BOTH = ("heartline", "picows")
MOST = 19_000
"""Links at a time: 20,000 files are what many systems allow a process."""


@dataclass(frozen=True)
class Line:
    """One line: who does what, for each size `n` from `least` on; the load's words, those for the server, what counts messages."""

    name: str
    peer: str
    load: Callable[[int], str]
    server: Callable[[int], Sequence[str]] = lambda _n: ()
    messages: str = "messages"
    times: int = 1
    least: int = 0


@dataclass(frozen=True)
class Plot:
    """One thing that grows."""

    name: str
    title: str
    across: str
    sizes: Sequence[int]
    lines: Sequence[Line]


def echo(n: int) -> str:
    """Requests of n bytes."""
    return f"echo --connections 10 --window 1 --size {n} --seconds 1.5"


def links(n: int) -> str:
    """Requests over n links."""
    return f"echo --connections {n} --window 1 --seconds 2 --warmup {0.5 + n / 10_000}"


def channels(n: int) -> str:
    """Publications to n channels in turn, all of them known before it counts."""
    return f"publish --connections 10 --window 64 --size 200 --channels {n} --seconds 2 --warmup {0.5 + n / 15_000}"


def history(_n: int) -> str:
    """Publications to a channel that is full."""
    return "publish --connections 10 --window 64 --size 200 --seconds 2"


def replay(_n: int) -> str:
    """The last hundred entries for a thousand sessions."""
    return "resume --connections 1000 --dialling 200 --messages 100 --size 200 --settle 0.5"


def subscribers(n: int) -> str:
    """Eight messages at a time to n subscribers."""
    messages = max(16, min(4000, 400_000 // n)) // 8 * 8
    return f"fanout --connections {n} --size 200 --burst 8 --warm 16 --messages {messages}"


def filled(n: int) -> Sequence[str]:
    """A channel of n entries."""
    return ("--history", str(n))


PLOTS = (
    Plot(
        "size",
        "request and reply, by the size of the message",
        "bytes",
        (100, 1000, 10_000, 100_000, 1_000_000),
        [Line(peer, peer, echo) for peer in BOTH],
    ),
    Plot(
        "links",
        "request and reply, by the number of links",
        "links",
        (1, 10, 100, 1000, 5000, MOST),
        [Line(peer, peer, links) for peer in BOTH],
    ),
    Plot(
        "channels",
        "publications, by the number of channels",
        "channels",
        (1, 10, 100, 1000, 10_000, 100_000),
        [Line("heartline", "heartline", channels)],
    ),
    Plot(
        "history",
        "a channel, by the entries it keeps",
        "entries kept",
        (0, 100, 1000, 10_000, 100_000, 1_000_000),
        [
            Line("publication", "heartline", history, filled),
            Line("entry replayed", "heartline", replay, filled, "connections", 100, least=1000),
        ],
    ),
    Plot(
        "subscribers",
        "deliveries, by the number of subscribers",
        "subscribers of the channel",
        (1, 10, 100, 1000, 5000, MOST),
        [Line(peer, peer, subscribers, messages="deliveries") for peer in BOTH],
    ),
)


def main() -> None:
    """Measure, and keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, and nothing of the largest sizes")
    parser.add_argument("--only", nargs="+", choices=[plot.name for plot in PLOTS])
    parser.add_argument("--rounds", type=int, help="how often each point is measured; the median counts")
    parser.add_argument("--record", action="store_true", help=f"keep it as {RECORD.name}")
    asked = parser.parse_args()
    peers, program = registry.peers(), load_generator()
    use_compiled(os.environ)
    rounds = asked.rounds or (1 if asked.quick else 3)
    record: dict[str, Any] = {
        "machine": machine.describe({p for name in BOTH for p in peers[name].packages}),
        "load_before": machine.load_average(),
        "rounds": rounds,
        "plots": {},
    }
    for plot in PLOTS:
        if asked.only and plot.name not in asked.only:
            continue
        sizes = plot.sizes[:-1] if asked.quick else plot.sizes
        try:
            record["plots"][plot.name] = measure(plot, sizes, rounds, peers, program)
        except Failed as error:
            sys.exit(f"benchmarks.growth: {plot.name}: {error}")
    file = RECORD if asked.record else DRY
    file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{file} written")


def measure(plot: Plot, sizes: Sequence[int], rounds: int, peers: dict[str, Peer], program: Any) -> dict[str, Any]:
    """For each line its points: size and microseconds of each round, the lines in turn."""
    found: dict[str, list[tuple[int, list[float]]]] = {line.name: [] for line in plot.lines}
    for n in sizes:
        costs: dict[str, list[float]] = {line.name: [] for line in plot.lines}
        for _ in range(rounds):
            for line in plot.lines:
                if n < line.least:
                    continue
                peer = peers[line.peer]
                peer = replace(peer, command=(*peer.command, *line.server(n)))
                costs[line.name].append(cost(line, run_once(peer, line.load(n).split(), program)))
        for name, values in costs.items():
            if not values:
                continue
            found[name].append((n, values))
            print(f"{plot.name} {n:>9,} {name:<16} {median(values):10.2f} µs a message", file=sys.stderr, flush=True)
    return found


def cost(line: Line, sample: Sample) -> float:
    """Microseconds of the server's processor for one message."""
    return sample["server_cpu_s"] / (sample[line.messages] * line.times) * 1e6


if __name__ == "__main__":
    main()
