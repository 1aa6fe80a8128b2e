"""The documentation is true: marked examples run, and relative links lead somewhere.

A fenced block with the line `<!-- run -->` right above it is run, each in its own process and empty folder:
- ```python as a program, with a time-out;
- ```console line by line: what follows `$ ` goes to bash, with this environment's commands on the PATH;
  other lines are output for the reader and are not compared.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
TIMEOUT = 30.0
MARK = "<!-- run -->"
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`\n]*)$")
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: where its code starts, in which language, whether it is to be run."""

    path: str
    line: int
    language: str
    code: str
    run: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def blocks_of(text: str, path: str) -> list[Block]:
    """Every fenced block of a Markdown text, in order."""
    found: list[Block] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        if not opening:
            at += 1
            continue
        run = at > 0 and lines[at - 1].strip() == MARK
        end = at + 1
        while end < len(lines) and lines[end].strip() != opening["ticks"]:
            end += 1
        indent = len(opening["indent"])
        code = "\n".join(line[indent:] for line in lines[at + 1 : end]) + "\n"
        words = opening["info"].split()
        found.append(Block(path, at + 2, words[0] if words else "", code, run))
        at = end + 1
    return found


def documents() -> list[Path]:
    """The documents a reader meets."""
    top = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "protocol").rglob("*.md")]
    return sorted(top)


def all_blocks() -> list[Block]:
    return [b for p in documents() for b in blocks_of(p.read_text(), str(p.relative_to(ROOT)))]


RUNNABLE = [block for block in all_blocks() if block.run]


def commands_of(block: Block) -> list[str]:
    """The commands a block stands for; empty if it is of no language that can be run."""
    if block.language == "console":
        return [line[2:] for line in block.code.splitlines() if line.startswith("$ ")]
    return []


def execute(block: Block, folder: Path) -> None:
    """Run `block` in `folder`; fails with its output unless everything ends with 0 in time."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    if block.language == "python":
        program = folder / "example.py"
        program.write_text(block.code)
        commands = [[sys.executable, "-W", "error", str(program)]]
    else:
        commands = [["bash", "-euo", "pipefail", "-c", line] for line in commands_of(block)]
    assert commands, f"{block}: nothing to run in a {block.language!r} block"
    for command in commands:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired as expired:
            pytest.fail(f"{block}: {command[-1]} took more than {TIMEOUT:.0f} s; it said {expired.output!r}")
        assert done.returncode == 0, f"{block}: {command[-1]}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", RUNNABLE, ids=str)
def test_marked_examples_run(block: Block, tmp_path: Path) -> None:
    execute(block, tmp_path)


def test_there_are_marked_examples() -> None:
    assert RUNNABLE


def test_every_mark_stands_above_a_block() -> None:
    marks = sum(p.read_text().count(f"\n{MARK}\n") for p in documents())
    assert marks == len(RUNNABLE)


@pytest.mark.parametrize("document", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for block in blocks_of(text, ""):
        text = text.replace(block.code, "\n")
    dead = []
    for target in LINK.findall(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        goal = (document.parent / name).resolve() if name else document
        if not goal.exists() or not goal.is_relative_to(ROOT):
            dead.append(target)
        elif anchor and goal.suffix == ".md" and anchor not in anchors_of(goal.read_text()):
            dead.append(target)
    assert not dead


def anchors_of(text: str) -> set[str]:
    """The anchors a Markdown page offers: its headings as slugs, and explicit ids."""
    anchors = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
        anchors.add(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"))
    return anchors


# --- the test itself can fail ---------------------------------------------------------------------

SAMPLE = """\
Not marked:

```python
raise SystemExit(1)
```

<!-- run -->
```python
print("fine")
```

1. In a list:
   <!-- run -->
   ```console
   $ test -d .
   output
   $ false
   ```
"""


def test_blocks_are_found_with_their_marks() -> None:
    unmarked, python, console = blocks_of(SAMPLE, "sample.md")
    assert (unmarked.run, python.run, console.run) == (False, True, True)
    assert (python.language, python.code, python.line) == ("python", 'print("fine")\n', 9)
    assert commands_of(console) == ["test -d .", "false"]


def test_a_failing_example_fails(tmp_path: Path) -> None:
    unmarked, python, console = blocks_of(SAMPLE, "sample.md")
    execute(python, tmp_path)
    with pytest.raises(AssertionError, match=r"sample\.md:4"):
        execute(unmarked, tmp_path)
    with pytest.raises(AssertionError, match="false"):
        execute(console, tmp_path)
