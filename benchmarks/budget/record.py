"""budget.json: what the hot paths may cost, and whether they do."""

import json
from pathlib import Path

from .counting import count, made_with

FILE = Path(__file__).resolve().parents[1] / "budget.json"
ALLOWED = 1.05


def write() -> None:
    """Keep the counts."""
    record = {"made_with": made_with(), "instructions": count()}
    FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{FILE} written")


def check() -> str:
    """Print the counts beside the budget; returns what is wrong, "" when nothing is."""
    record = json.loads(FILE.read_text(encoding="utf-8"))
    budget: dict[str, int] = record["instructions"]
    now = count()
    wrong = [f"{name}: not in budget.json" for name in now.keys() - budget.keys()]
    wrong += [f"{name}: not measured any more" for name in budget.keys() - now.keys()]
    for name, instructions in now.items():
        before = budget.get(name, instructions)
        print(f"{name:<60} {instructions:>9,} instructions a message, {instructions / before - 1:+.1%}")
        if instructions > before * ALLOWED:
            wrong.append(f"{name}: {instructions:,} instructions a message, {before:,} are allowed and 5 %")
    if wrong and record["made_with"] != made_with():
        wrong.append(f"(the budget was written with {record['made_with']}, this is {made_with()})")
    if wrong:
        wrong.append("make it cheaper, or say why not and run: python -m benchmarks.budget --write")
    return "\n".join(wrong)
