"""The diagrams of docs/concepts.md are those of the tables in the code."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_state_diagrams_come_from_the_tables() -> None:
    run = subprocess.run([sys.executable, ROOT / "scripts" / "draw_states.py", "--check"], check=False, cwd=ROOT)
    assert run.returncode == 0, "run: python scripts/draw_states.py"
