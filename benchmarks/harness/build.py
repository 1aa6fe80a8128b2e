"""Building the load generator with the system's compiler, again whenever a source has changed."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
SOURCES = HERE / "loadgen"
BUILD = HERE / "build"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")


def compiler() -> str:
    """The system's, or what CC says; ends this program with a sentence when there is none."""
    names = [os.environ["CC"]] if "CC" in os.environ else ["cc", "gcc", "clang"]
    found = next((found for name in names if (found := shutil.which(name))), None)
    if found is None:
        sys.exit(
            "benchmarks: no C compiler found (apt install gcc, or set CC): the load generator is built on the spot"
        )
    return found


def load_generator() -> Path:
    """The path of the program; ends this one with a sentence when it cannot be built."""
    command = compiler()
    sources = sorted(SOURCES.glob("*.c"))
    seal = hashlib.sha256(b"\0".join([p.read_bytes() for p in sorted(SOURCES.iterdir())] + [command.encode()]))
    program = BUILD / f"loadgen-{seal.hexdigest()[:12]}"
    if not program.exists():
        BUILD.mkdir(exist_ok=True)
        fresh = program.with_suffix(".new")
        done = subprocess.run([command, *FLAGS, "-o", fresh, *sources], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"benchmarks: {command} could not build the load generator:\n{done.stderr}")
        fresh.rename(program)
    return program
