"""Draw the state diagrams of docs/concepts.md from the tables in the code.

`python scripts/draw_states.py` rewrites the diagrams in place; `--check` only tells whether they are up to date. The
page holds one block for each table, between `<!-- states: NAME -->` and `<!-- end -->`.
"""

import re
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from heartline.core.server.flow import FLOW_MOVES
from heartline.core.states import LINK_MOVES, MOVES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "concepts.md"
TABLES: dict[str, Mapping[Enum, frozenset[Enum]]] = {
    "client": MOVES,  # type: ignore[dict-item]
    "link": LINK_MOVES,  # type: ignore[dict-item]
    "subscription": FLOW_MOVES,  # type: ignore[dict-item]
}


def diagram(table: Mapping[Enum, frozenset[Enum]]) -> str:
    """One table as a mermaid state diagram; final states lead to the end mark."""
    states = list(table)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {states[0].name}"]
    for old in states:
        lines.extend(f"    {old.name} --> {new.name}" for new in states if new in table[old])
        if not table[old]:
            lines.append(f"    {old.name} --> [*]")
    return "\n".join([*lines, "```"])


def redrawn(page: str) -> str:
    """The page with every diagram made anew."""
    for name, table in TABLES.items():
        block = f"<!-- states: {name} -->\n{diagram(table)}\n<!-- end -->"
        page, found = re.subn(rf"<!-- states: {name} -->.*?<!-- end -->", lambda _, b=block: b, page, flags=re.DOTALL)  # type: ignore[misc]
        if found != 1:
            raise SystemExit(f"{PAGE.name}: expected one block for {name!r}, found {found}")
    return page


def main() -> int:
    """Redraw or check."""
    page = PAGE.read_text(encoding="utf-8")
    new = redrawn(page)
    if "--check" in sys.argv[1:]:
        return int(new != page)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
