"""From samples to a table: medians, the ratio within each round, and how far they spread."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from .model import Bench, Metric, Sample


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    work: str
    peer: str
    value: str
    more: str
    ratio: str
    cost: str
    target: str
    met: bool | None


def rows(record: dict[str, Any], benches: dict[str, Bench]) -> Iterator[Row]:
    """The lines for everything in a record."""
    for outcome in record["outcomes"]:
        bench = benches[outcome["bench"]]
        ours: list[Sample] = outcome["samples"][bench.peers[0]]
        for name in (name for name in bench.peers if name in outcome["samples"]):  # older records have fewer
            yield _row(bench, name, ours, outcome["samples"][name])


def _row(bench: Bench, name: str, ours: list[Sample], theirs: list[Sample]) -> Row:
    metric, *others = bench.metrics
    value = median(s[metric.key] for s in theirs)
    more = ", ".join(_also(bench, name, m, ours, theirs) for m in others)
    is_ours = theirs is ours
    ratio, cost, target, met = "", "", "", None
    if is_ours:
        ratio = _spread(metric, theirs)
        if bench.limit is not None:
            met = value >= bench.limit if metric.more_is_better else value <= bench.limit
            target = f"{'≥' if metric.more_is_better else '≤'} {metric.tell(bench.limit)}"
    else:
        ratios = ratios_of(metric, ours, theirs)
        ratio = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        if bench.cost is not None:
            cost = f"{median(ratios_of(bench.cost, ours, theirs)):.2f}"
        if name in bench.targets:
            target, met = f"≥ {bench.targets[name]:g}", median(ratios) >= bench.targets[name]
    return Row(bench.title, name, metric.tell(value), more, ratio, cost, target, met)


def _also(bench: Bench, name: str, metric: Metric, ours: list[Sample], theirs: list[Sample]) -> str:
    told = f"{metric.title} {metric.tell(median(s[metric.key] for s in theirs))}"
    least = bench.more_targets.get(metric.key, {}).get(name)
    if least is None:
        return told
    ratio = median(ratios_of(metric, ours, theirs))
    return f"{told} ({ratio:.2f}, ≥ {least:g} {'✓' if ratio >= least else '✗'})"


def ratios_of(metric: Metric, ours: list[Sample], theirs: list[Sample]) -> list[float]:
    """How many times as good we are, for each round."""
    pairs = [(a[metric.key], b[metric.key]) for a, b in zip(ours, theirs, strict=True)]
    return [a / b if metric.more_is_better else b / a for a, b in pairs]


def _spread(metric: Metric, samples: list[Sample]) -> str:
    values = [s[metric.key] for s in samples]
    return f"±{(max(values) - min(values)) / 2 / median(values):.0%}"


HEAD = ("work", "peer", "median", "and", "ratio (lowest to highest)", "by CPU", "aim")


def text_table(lines: list[Row]) -> str:
    """For a terminal."""
    cells = [HEAD, *((r.work, r.peer, r.value, r.more, r.ratio, r.cost, _aim(r)) for r in lines)]
    shown = [
        tuple("" if i == 0 and n and cells[n - 1][0] == c else c for i, c in enumerate(row))
        for n, row in enumerate(cells)
    ]
    widths = [max(len(row[i]) for row in shown) for i in range(len(HEAD))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in shown)


def markdown_table(lines: list[Row]) -> str:
    """For a page."""
    out = ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
    before = ""
    for row in lines:
        work = "" if row.work == before else row.work
        before = row.work
        out.append(f"| {work} | {row.peer} | {row.value} | {row.more} | {row.ratio} | {row.cost} | {_aim(row)} |")
    return "\n".join(out)


def _aim(row: Row) -> str:
    return row.target if row.met is None else f"{row.target} {'✓' if row.met else '✗'}"
