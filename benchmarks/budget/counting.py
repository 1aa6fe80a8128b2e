"""Running the paths under callgrind, and reading what it counted."""

import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.harness.build import BUILD, compiler
from benchmarks.harness.install import install
from benchmarks.harness.measure import ROOT
from scripts.wheels import use_compiled

HERE = Path(__file__).resolve().parent
PACKAGES = ("heartline", "msgspec", "picows")
LIMIT = 600.0


def made_with() -> dict[str, str]:
    """What else decides about the counts."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}}


def count() -> dict[str, int]:
    """Instructions for one message of each path."""
    install(["apt:valgrind"])
    switch = _switch()
    with tempfile.TemporaryDirectory(dir=BUILD) as folder:
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-line=no", "--quiet"]
        command += [f"--callgrind-out-file={folder}/out", sys.executable, "-m", "benchmarks.budget.paths", str(switch)]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        use_compiled(environment)
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT)
        if done.returncode:
            sys.exit(f"benchmarks.budget: {done.stderr or done.stdout}")
        found = dict(_read(file) for file in sorted(Path(folder).iterdir()) if file.suffix)
    if not found:
        sys.exit(f"benchmarks.budget: callgrind wrote nothing: {done.stderr}")
    return found


def _read(file: Path) -> tuple[str, int]:
    """The name of a path and what a message of it costs."""
    text = file.read_text(encoding="utf-8", errors="replace")
    asked = re.search(r"^desc: Trigger: Client Request: (\d+) (.+)$", text, re.MULTILINE)
    total = re.search(r"^(?:summary|totals): (\d+)$", text, re.MULTILINE)
    if asked is None or total is None:
        sys.exit(f"benchmarks.budget: cannot read {file}")
    return asked[2], round(int(total[1]) / int(asked[1]))


def _switch() -> Path:
    library = BUILD / "switch.so"
    source = HERE / "switch.c"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        done = subprocess.run(
            [compiler(), "-O2", "-shared", "-fPIC", "-o", library, source], capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"benchmarks.budget: valgrind's headers are missing, or the compiler fails:\n{done.stderr}")
    return library
