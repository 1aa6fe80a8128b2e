"""Compiled and pure are one thing: they differ in speed alone.

Run by `make compiled`, with heartline compiled; the other variant is the same installation with HEARTLINE_PURE=1, which
is also what shows that this works.
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hatch_build import cythonized, modules
from heartline.testing.simulator import SCENARIOS, simulate

pytestmark = pytest.mark.compiled

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SEEDS = 12

LOADED = """
import json, pkgutil, sys
from importlib.machinery import ExtensionFileLoader
import heartline
for module in pkgutil.walk_packages(heartline.__path__, "heartline."):
    if not module.name.startswith(("heartline.__main__", "heartline.examples")):
        __import__(module.name)
print(json.dumps(sorted(
    name for name, module in sys.modules.items()
    if name.startswith("heartline") and isinstance(module.__loader__, ExtensionFileLoader)
)))
"""
REPORTS = """
import json, sys
from dataclasses import asdict
from heartline.testing.simulator import simulate
print(json.dumps([asdict(simulate(seed, scenario=sys.argv[1])) for seed in range(int(sys.argv[2]))], default=repr))
"""


def told(*words: str, pure: bool) -> str:
    """What a Python program says in one of the variants."""
    environment = {**os.environ, "HEARTLINE_PURE": str(int(pure))}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pure_loads_no_library() -> None:
    assert json.loads(told("-c", LOADED, pure=True)) == []
    assert "(compiled)" not in told("-m", "heartline", "--version", pure=True)


def test_what_pyproject_names_is_compiled() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    hook = config["hooks"]["custom"]
    files = [*modules(ROOT / "src", hook), *cythonized(hook)]
    names = {file.removesuffix(".py").replace("/", ".") for file in files}
    loaded = json.loads(told("-c", LOADED, pure=False))
    assert {name for name in loaded if name != "heartline__mypyc"} == names
    assert "heartline__mypyc" in loaded
    assert "(compiled)" in told("-m", "heartline", "--version", pure=False)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_seed_takes_the_same_course(scenario: str) -> None:
    """Steps, counts, and the digest of every line of the trace."""
    compiled, pure = (json.loads(told("-c", REPORTS, scenario, str(SEEDS), pure=pure)) for pure in (False, True))
    assert len(compiled) == SEEDS
    assert compiled == pure


def test_a_compiled_core_is_not_broken() -> None:
    with pytest.raises(RuntimeError, match="HEARTLINE_PURE=1"):
        simulate(0, core="no-window")


def test_public_names_look_the_same() -> None:
    compiled, pure = (json.loads(told(str(HERE / "faces.py"), pure=pure)) for pure in (False, True))
    assert len(compiled) > 60
    assert compiled == pure


def test_wrong_arguments_are_refused_in_the_same_words() -> None:
    compiled, pure = (json.loads(told(str(HERE / "arguments.py"), pure=pure)) for pure in (False, True))
    assert compiled == pure
