"""docs/faults.md: every block runs, every rule and every number is explained."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from heartline.faults import FaultRules, ProxyEventKind, ProxyStats

PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 6


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_block_runs(number: int, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[number], encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_every_rule_is_explained() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", PAGE, re.MULTILINE))
    assert told == {
        f.name: f"{f.default:g}" if type(f.default) is float else str(f.default) for f in fields(FaultRules)
    }


def test_every_number_and_event_is_named() -> None:
    for name in [*(f.name for f in fields(ProxyStats)), *(kind.name for kind in ProxyEventKind)]:
        assert f"`{name}`" in PAGE, name
