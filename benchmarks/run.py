"""Run the benchmarks: `python -m benchmarks.run --help`."""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.budget.record import check
from benchmarks.harness import machine, registry, report
from benchmarks.harness.build import load_generator
from benchmarks.harness.install import install
from benchmarks.harness.measure import Failed, run_bench
from benchmarks.harness.model import Bench, Peer
from scripts.wheels import use_compiled

RESULTS = Path(__file__).resolve().parent / "results"
RECORDS = {"links": RESULTS / "latest.json", "durable": RESULTS / "durable.json"}
"""The committed record of each group."""


def main() -> None:
    """Measure what was asked for, print a table, keep the samples."""
    benches, peers = registry.benches(), registry.peers()
    asked = arguments(benches)
    if shutil.which("taskset") is None:
        sys.exit("benchmarks: taskset (util-linux) is needed: the server has one core, the load another")
    program = load_generator()
    RESULTS.mkdir(exist_ok=True)
    for group, record_file in RECORDS.items():
        chosen = [b for name, b in benches.items() if b.group == group and (not asked.only or name in asked.only)]
        if not chosen or asked.group not in (None, group):
            continue
        record = run_group(chosen, peers, program, asked)
        file = record_file if asked.record else RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-{group}.json"
        file.write_text(json.dumps(record, indent=1) + "\n")
        print(report.text_table(list(report.rows(record, benches))))
        print(f"\n{len(chosen)} benchmarks in {record['seconds']} s, samples in {file}\n", flush=True)
    if not asked.only and asked.group is None and (told := check()):
        sys.exit(told)


def run_group(chosen: list[Bench], peers: dict[str, Peer], program: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """The record of some benchmarks."""
    packages = {p for b in chosen for name in b.peers for p in peers[name].packages}
    install(packages)
    use_compiled(os.environ)
    record: dict[str, Any] = {"machine": machine.describe(packages), "quick": asked.quick, "outcomes": []}
    record["load_before"] = machine.load_average()
    began = time.monotonic()
    try:
        for bench in chosen:
            rounds = asked.rounds or (bench.quick_rounds if asked.quick else bench.rounds)
            print(f"{bench.title} …", file=sys.stderr, flush=True)
            outcome = run_bench(bench, peers, program, quick=asked.quick, rounds=rounds)
            record["outcomes"].append(outcome.as_dict())
    except Failed as error:
        sys.exit(f"benchmarks: {error}")
    record["seconds"] = round(time.monotonic() - began)
    return record


def arguments(benches: dict[str, Bench]) -> argparse.Namespace:
    """What the user asked for."""
    names = list(benches)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="heartline beside others, measured")
    parser.add_argument("--quick", action="store_true", help="the short form: fewer rounds, shorter ones")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of: {', '.join(names)}")
    parser.add_argument("--group", choices=list(RECORDS), help="those of one group only")
    parser.add_argument("--rounds", type=int, help="how often each peer is measured")
    parser.add_argument("--record", action="store_true", help="keep the samples as the record of their group")
    return parser.parse_args()


if __name__ == "__main__":
    main()
