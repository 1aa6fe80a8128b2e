"""heartline as a compiled wheel has it: built once for each state of the source, and unpacked where peers find it."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import MutableMapping
from pathlib import Path

from .build import BUILD, HERE

ROOT = HERE.parent
UNPACKED = BUILD / "heartline"
RECIPE = ("hatch_build.py", "pyproject.toml")


def use_compiled(environment: MutableMapping[str, str]) -> None:
    """Have the programs of this environment import the compiled heartline before any other."""
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(compiled()), environment.get("PYTHONPATH", "")]))


def compiled() -> Path:
    """The folder that holds it."""
    seal = _seal()
    stamp = UNPACKED / ".seal"
    if stamp.exists() and stamp.read_text() == seal:
        return UNPACKED
    print("benchmarks: compiling heartline …", file=sys.stderr, flush=True)
    folder = BUILD / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    environment = {**os.environ, "HEARTLINE_COMPILE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"benchmarks: {done.stdout}{done.stderr}")
    [wheel] = folder.glob("heartline-*.whl")
    shutil.rmtree(UNPACKED, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(UNPACKED)
    stamp.write_text(seal)
    return UNPACKED


def _seal() -> str:
    found = hashlib.sha256(sys.version.encode())
    for path in sorted([*(ROOT / name for name in RECIPE), *(ROOT / "src").rglob("*.py")]):
        found.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return found.hexdigest()
