"""The import rule of CONTRIBUTING.md holds, and each tool that enforces it really can fail.

- core and dialects reach no scheduling, sockets or threads, not even through something they import;
- `import heartline` stays lazy, and every public name resolves;
- the import-linter contract is kept, and broken by each kind of forbidden import;
- the ban list of the pure rooms bites.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "heartline"
BIN = Path(sys.executable).parent

IMPURE = {
    "asyncio",
    "concurrent.futures",
    "multiprocessing",
    "picows",
    "selectors",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "threading",
    "uvloop",
}
SHELLS = {
    f"heartline.{room}"
    for room in ("brokers", "cli", "client", "faults", "observe", "server", "storage", "testing", "transports")
}


def modules_of(room: str) -> list[str]:
    """Every module of `room`, by its dotted name."""
    names = []
    for path in sorted((PACKAGE / room).rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def loaded_by(statement: str) -> set[str]:
    """The modules that `statement` brings into a fresh interpreter."""
    program = (
        f"import sys, json; before = set(sys.modules)\n{statement}\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("room", ["core", "dialects"])
def test_pure_rooms_load_no_shell(room: str) -> None:
    modules = modules_of(room)
    assert modules, f"src/heartline/{room} has no modules"
    loaded = loaded_by("import " + ", ".join(modules))
    assert not loaded & (IMPURE | SHELLS)


def test_core_does_not_load_dialects() -> None:
    assert "heartline.dialects" not in loaded_by("import " + ", ".join(modules_of("core")))


def test_the_fault_model_loads_no_shell() -> None:
    loaded = loaded_by("import heartline.faults.model")
    assert not loaded & (IMPURE | (SHELLS - {"heartline.faults"}))


def test_import_heartline_is_lazy() -> None:
    loaded = loaded_by("import heartline")
    assert not loaded & (IMPURE | SHELLS)


def test_every_public_name_resolves() -> None:
    loaded = loaded_by(
        "import heartline\n"
        "assert heartline.__all__, 'nothing is public'\n"
        "for name in heartline.__all__: getattr(heartline, name)\n"
        "assert set(heartline.__all__) <= set(dir(heartline))"
    )
    assert "asyncio" in loaded  # or the laziness test above proves nothing


# --- import-linter --------------------------------------------------------------------------------


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def copy_of_the_tree(folder: Path) -> Path:
    """The package, copied into `folder` together with the contract."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    return Path(shutil.copytree(PACKAGE, folder / "src" / "heartline"))


def test_every_layer_exists() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    rooms = {name.strip(" ()") for layer in contract["layers"] for name in layer.split("|")}
    assert {r for r in rooms if not list(PACKAGE.glob(f"{r}.py")) + list(PACKAGE.glob(f"{r}/__init__.py"))} == set()


def test_the_import_contract_is_kept() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("core", "dialects"),
        ("core", "transports"),
        ("dialects", "transports"),
        ("transports", "brokers"),
        ("brokers", "transports"),
        ("faults", "transports"),
        ("transports", "server"),
        ("client", "server"),
        ("server", "client"),
        ("server", "observe"),
        ("client", "testing"),
        ("testing", "cli"),
    ],
)
def test_the_import_contract_can_break(tmp_path: Path, importer: str, imported: str) -> None:
    package = copy_of_the_tree(tmp_path)
    target = f"heartline.{imported}"
    (package / importer / "zz_violation.py").write_text(f"import {target}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"heartline.{importer}.zz_violation -> {target}" in done.stdout


def test_a_room_without_a_layer_breaks_the_contract(tmp_path: Path) -> None:
    (copy_of_the_tree(tmp_path) / "helpers.py").write_text("")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert "helpers" in done.stdout + done.stderr


# --- the ban list of the pure rooms ---------------------------------------------------------------


def bans(path: str, source: str) -> list[str]:
    """The banned names ruff reports for `source`, were it at `path`."""
    done = subprocess.run(
        [
            str(BIN / "ruff"),
            "check",
            "--no-cache",
            "--output-format=json",
            "--select=TID251",
            f"--stdin-filename={ROOT / path}",
            "-",
        ],
        input=source,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode in (0, 1), done.stderr
    return [row["message"] for row in json.loads(done.stdout)]


@pytest.mark.parametrize("path", ["core/x.py", "core/deep/x.py", "dialects/x.py", "faults/model.py"])
@pytest.mark.parametrize(
    "source",
    [
        "import asyncio",
        "from asyncio import sleep",
        "import socket",
        "import threading",
        "import time",
        "from time import monotonic",
        "import random\nrandom.random()",
        "from random import choice",
        "import secrets",
        "import uuid",
        "import os",
        "import picows",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.now()",
    ],
)
def test_pure_rooms_ban(path: str, source: str) -> None:
    assert bans(f"src/heartline/{path}", source), f"{source!r} went unnoticed in {path}"


@pytest.mark.parametrize("path", ["core/x.py", "dialects/x.py", "faults/model.py"])
def test_pure_rooms_may_name_an_injected_random(path: str) -> None:
    source = "from random import Random\n\ndef pick(r: Random) -> float:\n    return r.random()\n"
    assert bans(f"src/heartline/{path}", source) == []


@pytest.mark.parametrize("path", ["faults/proxy.py", "client/x.py", "transports/x.py"])
def test_shells_are_not_banned(path: str) -> None:
    assert bans(f"src/heartline/{path}", "import asyncio, socket, time") == []
