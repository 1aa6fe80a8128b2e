"""Getting the peers: Python's into an environment of their own, Node's by npm, a broker by the system's packages.

Everything is pinned (requirements.txt by hashes, package-lock.json), and kept in `build/` until a pin changes.
`python -m benchmarks.harness.install lock` pins the newest versions again. What cannot be had ends the run: a table with
a blank in it would say nothing about the peer.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .build import BUILD, HERE

ROOT = HERE.parent
VENV = BUILD / "venv"
NODE = BUILD / "node"
NODE_SOURCES = HERE / "peers" / "node"
WITH_NODE = str(ROOT / "scripts" / "with_node")
SBIN = Path("/usr/sbin")


def peer_python(module: str, *words: str) -> tuple[str, ...]:
    """The command that runs a peer in the environment of the peers."""
    return (str(VENV / "bin" / "python"), "-m", module, *words)


def peer_node(program: str, *words: str) -> tuple[str, ...]:
    """The command that runs one of `peers/node`."""
    return (WITH_NODE, "node", str(NODE / program), *words)


def install(packages: Iterable[str]) -> None:
    """Have all of these: "pip:NAME", "npm:NAME" and "apt:NAME"; what has no prefix is heartline's own environment."""
    kinds = {"pip": _python, "npm": _node}
    wanted = {package.partition(":")[0] for package in packages if ":" in package}
    for kind, put in kinds.items():
        if kind in wanted:
            _unless_done(*put())
    for package in sorted(set(packages)):
        if package.startswith("apt:"):
            _system(package.removeprefix("apt:"))


def version_of(package: str) -> str:
    """The version that is measured."""
    kind, _, name = package.rpartition(":")
    if kind == "pip":
        return _told(
            [str(VENV / "bin" / "python"), "-c", f"from importlib.metadata import *; print(version({name!r}))"]
        )
    if kind == "npm":
        package_json = NODE / "node_modules" / name / "package.json"
        return str(json.loads(package_json.read_text(encoding="utf-8"))["version"])
    if kind == "apt":
        return _told(["dpkg-query", "-W", "-f", "${Version}", name])
    raise ValueError(f"package: expected pip:, npm: or apt: and a name, not {package!r}")


def node_version() -> str:
    """Node's own."""
    return _told([WITH_NODE, "node", "--version"]).removeprefix("v")


def system_program(name: str) -> str:
    """Where a program of the system is; servers may not be on the PATH."""
    found = shutil.which(name) or shutil.which(name, path=str(SBIN))
    if found is None:
        sys.exit(f"benchmarks: {name} is missing: apt-get install {name}")
    return found


def _python() -> tuple[Path, Sequence[Path], Callable[[], None]]:
    pins = HERE / "requirements.txt"

    return VENV, [pins], lambda: _environment(VENV, pins)


def _environment(place: Path, pins: Path) -> None:
    """A new environment with what is pinned and nothing else."""
    shutil.rmtree(place, ignore_errors=True)
    venv.create(place, with_pip=True)
    _run([*_pip(place), "--require-hashes", "--only-binary", ":all:", "-r", str(pins)])


def _pip(place: Path) -> list[str]:
    return [str(place / "bin" / "python"), "-Im", "pip", "install", "-q", "--disable-pip-version-check"]


def alone(package: str) -> Path:
    """A Python that has heartline, compiled, or another package and nothing but what it needs, as pip installs it."""
    from scripts.wheels import compiled_wheel  # peers import this module where nothing of heartline's is installed

    place = BUILD / f"alone-{package}"
    pins = ROOT / "requirements" / ("runtime.txt" if package == "heartline" else "dev.txt")
    wheel = compiled_wheel() if package == "heartline" else None

    def put() -> None:
        wanted = BUILD / f"{place.name}.txt"
        wanted.write_text(pins.read_text() if wheel else _pins_of(package, pins))
        _environment(place, wanted)
        if wheel:
            _run([*_pip(place), "--no-deps", str(wheel)])

    _unless_done(place, [pins, *([wheel.with_name(".seal")] if wheel else [])], put)
    return place / "bin" / "python"


def _pins_of(package: str, file: Path) -> str:
    """The lines of one package that needs no other."""
    [lines] = re.findall(rf"^{package}==(?:.*\\\n)*.*\n", file.read_text(), re.MULTILINE)
    return str(lines)


def _node() -> tuple[Path, Sequence[Path], Callable[[], None]]:
    def put() -> None:
        shutil.rmtree(NODE, ignore_errors=True)
        shutil.copytree(NODE_SOURCES, NODE, ignore=shutil.ignore_patterns("node_modules"))
        _run([WITH_NODE, "npm", "--prefix", str(NODE), "ci", "--ignore-scripts", "--loglevel=error"])

    return NODE, sorted(path for path in NODE_SOURCES.iterdir() if path.is_file()), put


def _unless_done(place: Path, sources: Sequence[Path], put: Callable[[], None]) -> None:
    seal = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources) + sys.version.encode()).hexdigest()
    stamp = place / ".seal"
    if stamp.exists() and stamp.read_text() == seal:
        return
    print(f"benchmarks: installing what {place.name} of the peers needs …", file=sys.stderr, flush=True)
    BUILD.mkdir(exist_ok=True)
    put()
    stamp.write_text(seal)


def _system(name: str) -> None:
    if shutil.which(name) or shutil.which(name, path=str(SBIN)):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(f"benchmarks: {name} is missing: install it (Debian: apt-get install {name})")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "update", "-q"], environment)
    _run(["apt-get", "install", "-y", "-q", "--no-install-recommends", name], environment)


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"benchmarks: `{' '.join(command)}` failed:\n{done.stdout}{done.stderr}")


def _told(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"benchmarks: `{' '.join(command)}` failed:\n{done.stderr}")
    return done.stdout.strip()


def lock() -> None:
    """Pin the newest fitting versions again."""
    words = "--quiet --no-config --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-build"
    command = [str(Path(sys.executable).parent / "uv"), "pip", "compile", *words.split(), "--upgrade"]
    command += ["requirements.in", "-o", "requirements.txt"]
    subprocess.run(
        command,
        cwd=HERE,
        check=True,
        env={**os.environ, "UV_CUSTOM_COMPILE_COMMAND": f"python -m {__spec__.name} lock"},
    )
    _run([WITH_NODE, "npm", "--prefix", str(NODE_SOURCES), "update", "--package-lock-only", "--ignore-scripts"])


if __name__ == "__main__":
    if sys.argv[1:] != ["lock"]:
        sys.exit("usage: python -m benchmarks.harness.install lock")
    lock()
