"""Write the tables of docs/performance.md from the committed records: `python -m benchmarks.page`.

The page holds a block for each group, between `<!-- record GROUP -->` and `<!-- end -->`; the rest of it is prose. The
plots of growth are drawn into docs/performance/, and the prose shows them.
"""

import json
import re
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import growth
from benchmarks.harness import registry, report
from benchmarks.harness.plot import plot
from benchmarks.run import RECORDS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
DRAWINGS = PAGE.with_suffix("")


def main() -> None:
    """Redraw the blocks."""
    page = PAGE.read_text(encoding="utf-8")
    for group, file in RECORDS.items():
        page = block_in(page, group, table_of(json.loads(file.read_text(encoding="utf-8"))))
    record = json.loads(growth.RECORD.read_text(encoding="utf-8"))
    PAGE.write_text(block_in(page, "growth", about(record, record["rounds"])), encoding="utf-8")
    draw(record)


def draw(record: dict[str, Any]) -> None:
    """The plots of growth."""
    DRAWINGS.mkdir(exist_ok=True)
    titles = {plot.name: plot for plot in growth.PLOTS}
    for name, lines in record["plots"].items():
        shown = {line: [(n, median(costs)) for n, costs in points] for line, points in lines.items()}
        drawing = plot(titles[name].title, titles[name].across, "µs of the server's core, each", shown)
        (DRAWINGS / f"{name}.svg").write_text(drawing, encoding="utf-8")


def block_in(page: str, group: str, text: str) -> str:
    """The page with another block."""
    parts = re.split(rf"<!-- record {group} -->.*?<!-- end -->", page, flags=re.DOTALL)
    if len(parts) != 2:
        raise SystemExit(f"{PAGE}: expected one block of {group}, found {len(parts) - 1}")
    return f"<!-- record {group} -->\n{text}\n<!-- end -->".join(parts)


def table_of(record: dict[str, Any]) -> str:
    """What was measured where, and the table."""
    rounds = max(len(samples) for outcome in record["outcomes"] for samples in outcome["samples"].values())
    return f"{about(record, rounds)}\n\n{report.markdown_table(list(report.rows(record, registry.benches())))}"


def about(record: dict[str, Any], rounds: int) -> str:
    """Where and with what."""
    machine = record["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['at']}, {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}, {packages}; commit {machine['commit']}; medians of up to {rounds} rounds, "
        f"interleaved; load average before the run {record['load_before']:.1f}."
    )


if __name__ == "__main__":
    main()
