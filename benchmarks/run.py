"""Run the benchmarks: `python -m benchmarks.run --help`."""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import machine, registry, report
from benchmarks.harness.build import load_generator
from benchmarks.harness.measure import Failed, run_bench

RESULTS = Path(__file__).resolve().parent / "results"
RECORD = RESULTS / "latest.json"


def main() -> None:
    """Measure what was asked for, print a table, keep the samples."""
    benches, peers = registry.benches(), registry.peers()
    asked = arguments(list(benches))
    if shutil.which("taskset") is None:
        sys.exit("benchmarks: taskset (util-linux) is needed: the server has one core, the load another")
    program = load_generator()
    chosen = [benches[name] for name in asked.only or benches]
    packages = {p for b in chosen for name in b.peers for p in peers[name].packages}
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
    RESULTS.mkdir(exist_ok=True)
    file = RECORD if asked.record else RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    file.write_text(json.dumps(record, indent=1) + "\n")
    print(report.text_table(list(report.rows(record, benches))))
    print(f"\n{len(chosen)} benchmarks in {record['seconds']} s, samples in {file}")


def arguments(names: list[str]) -> argparse.Namespace:
    """What the user asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="heartline beside others, measured")
    parser.add_argument("--quick", action="store_true", help="the short form: fewer rounds, shorter ones")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, help="how often each peer is measured")
    parser.add_argument("--record", action="store_true", help=f"keep the samples as the record, {RECORD.name}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
