"""Schedules from seeds: made, run, added up.

Invariant: the same seed, scenario and code give the same digest, whatever PYTHONHASHSEED is
(test_same_seed_same_digest).
"""

import multiprocessing
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from typing import Any

from .broken import BROKEN, broken
from .plan import draw
from .report import Report
from .schedule import Schedule


def simulate(seed: int, *, core: str | None = None, scenario: str | None = None) -> Report:
    """Run the schedule of `seed`. `core` names one of `broken.BROKEN` to see it caught, `scenario` one of SCENARIOS."""
    plan = draw(seed, scenario)
    with broken(core) if core is not None else nullcontext():
        return Schedule(seed, plan, core).run()


def _one(task: tuple[int, str | None, str | None]) -> Report:
    seed, scenario, core = task
    return simulate(seed, scenario=scenario, core=core)


def run_many(
    seeds: Iterable[int], *, jobs: int = 1, scenario: str | None = None, core: str | None = None
) -> Iterator[Report]:
    """Run many seeds, in their order, on `jobs` processes."""
    tasks = [(seed, scenario, core) for seed in seeds]
    if jobs <= 1 or len(tasks) < 2:
        yield from map(_one, tasks)
        return
    # Not "fork": the caller may have threads. A caller's own script needs its `if __name__ == "__main__"`.
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(_one, tasks, chunksize=max(1, min(16, len(tasks) // jobs)))
    finally:
        pool.shutdown(cancel_futures=True)


def seeds_to_catch(core: str, most: int) -> tuple[int, Report] | None:
    """How many seeds of its scenario it takes to catch a broken core, and the report; None: more than `most`."""
    for seed in range(most):
        report = simulate(seed, core=core, scenario=BROKEN[core].scenario)
        if report.violation is not None:
            return seed + 1, report
    return None


def main_json(
    seeds: Iterable[int], *, scenario: str | None = None, core: str | None = None, jobs: int = 1
) -> tuple[dict[str, Any], int]:
    """Run seeds until one breaks an invariant. (summary, exit status 0 or 1); prints nothing."""
    began = time.perf_counter()
    counts: dict[str, int] = {}
    summary: dict[str, Any] = {"scenario": scenario or "mix", "core": core, "schedules": 0}
    steps = 0
    virtual = 0.0
    violation = None
    for report in run_many(seeds, jobs=jobs, scenario=scenario, core=core):
        summary["schedules"] += 1
        steps += report.steps
        virtual += report.virtual_seconds
        for what, n in report.counts.items():
            counts[what] = counts.get(what, 0) + n
        if report.violation is not None:
            broken_one = report.violation
            violation = {
                "seed": report.seed,
                "invariant": broken_one.invariant,
                "message": broken_one.message,
                "at": broken_one.at,
                "digest": report.digest,
                "repeat": broken_one.repeat,
                "trace": broken_one.lines(),
            }
            break
    seconds = time.perf_counter() - began
    summary |= {
        "steps": steps,
        "virtual_seconds": round(virtual, 1),
        "seconds": round(seconds, 2),
        "counts": dict(sorted(counts.items())),
        "violation": violation,
    }
    return summary, 0 if violation is None else 1
