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
        block = block_of(group, json.loads(file.read_text(encoding="utf-8")))
        parts = re.split(rf"<!-- record {group} -->.*?<!-- end -->", page, flags=re.DOTALL)
        if len(parts) != 2:
            raise SystemExit(f"{PAGE}: expected one block of {group}, found {len(parts) - 1}")
        page = block.join(parts)
    PAGE.write_text(page, encoding="utf-8")
    draw(json.loads(growth.RECORD.read_text(encoding="utf-8")))


def draw(record: dict[str, Any]) -> None:
    """The plots of growth."""
    DRAWINGS.mkdir(exist_ok=True)
    titles = {plot.name: plot for plot in growth.PLOTS}
    for name, lines in record["plots"].items():
        shown = {line: [(n, median(costs)) for n, costs in points] for line, points in lines.items()}
        drawing = plot(titles[name].title, titles[name].across, "µs of the server's core, each", shown)
        (DRAWINGS / f"{name}.svg").write_text(drawing, encoding="utf-8")


def block_of(group: str, record: dict[str, Any]) -> str:
    """What was measured where, and the table."""
    machine = record["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    rounds = max(len(samples) for outcome in record["outcomes"] for samples in outcome["samples"].values())
    about = (
        f"{machine['at']}, {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}, {packages}; commit {machine['commit']}; medians of up to {rounds} rounds, "
        f"interleaved; load average before the run {record['load_before']:.1f}."
    )
    table = report.markdown_table(list(report.rows(record, registry.benches())))
    return f"<!-- record {group} -->\n{about}\n\n{table}\n<!-- end -->"


if __name__ == "__main__":
    main()
