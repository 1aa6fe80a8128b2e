"""Write the tables of docs/performance.md from the committed record: `python -m benchmarks.page`.

The page holds one block between `<!-- record -->` and `<!-- end -->`; the rest of it is prose.
"""

import json
import re
from pathlib import Path

from benchmarks.harness import registry, report

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
RECORD = ROOT / "benchmarks" / "results" / "latest.json"


def main() -> None:
    """Redraw the block."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    machine = record["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    rounds = max(len(samples) for outcome in record["outcomes"] for samples in outcome["samples"].values())
    about = (
        f"{machine['at']}, {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}, {packages}; commit {machine['commit']}; medians of up to {rounds} rounds, "
        f"interleaved; load average before the run {record['load_before']:.1f}."
    )
    table = report.markdown_table(list(report.rows(record, registry.benches())))
    block = f"<!-- record -->\n{about}\n\n{table}\n<!-- end -->"
    page, found = re.subn(r"<!-- record -->.*?<!-- end -->", lambda _: block, PAGE.read_text(), flags=re.DOTALL)
    if found != 1:
        raise SystemExit(f"{PAGE}: expected one block, found {found}")
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
