"""What the compiler takes and gets wrong, so that no compiled module may contain it."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from hatch_build import modules

ROOT = Path(__file__).resolve().parents[2]
WAITS = (ast.Await, ast.Yield, ast.YieldFrom, ast.AsyncFor, ast.AsyncWith)


def compiled() -> list[str]:
    """The files that mypyc compiles."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    return modules(ROOT / "src", config["hooks"]["custom"])


def waits_in_finally(source: str) -> Iterator[int]:
    """The lines that wait inside a `finally`: mypyc raises there again whatever its caller is just handling."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Try):
            yield from (x.lineno for part in node.finalbody for x in ast.walk(part) if isinstance(x, WAITS))


def test_nothing_compiled_waits_in_a_finally() -> None:
    found = {name: list(waits_in_finally((ROOT / "src" / name).read_text())) for name in compiled()}
    assert len(found) > 20
    assert not {name: lines for name, lines in found.items() if lines}


def test_it_would_be_found() -> None:
    source = "async def f():\n    try:\n        pass\n    finally:\n        await g()\n"
    assert list(waits_in_finally(source)) == [5]
