"""Where and with what a run was made."""

import os
import platform
import sqlite3
import subprocess
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .install import node_version, version_of


def describe(packages: Iterable[str]) -> dict[str, Any]:
    """The machine, the system and the versions."""
    return {
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "commit": _commit(),
        "packages": {name.rpartition(":")[2]: _version(name) for name in sorted(set(packages))},
    }


def load_average() -> float:
    """How busy the machine was over the last minute."""
    return os.getloadavg()[0]


def _version(package: str) -> str:
    if package == "node":
        return node_version()
    return version_of(package) if ":" in package else version(package)


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"
