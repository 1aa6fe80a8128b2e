"""Do the wheels work for somebody who installs one and has nothing else?

Builds both from this tree and installs heartline from the folder that holds them, with its locked runtime dependencies,
into a fresh virtual environment: pip has to choose the compiled one. Runs `wheel_smoke_inside.py` there from an empty
folder, with the source tree out of reach, compiled and with HEARTLINE_PURE=1; then puts the pure wheel in its place and
runs it again. The source distribution has to hold what the wheel is made of. Run by `make smoke`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from scripts.wheels import ROOT, compiled_wheel, pure_wheel, source_distribution

SHIPPED = {
    "heartline/py.typed",
    "heartline/protocol/PROTOCOL.md",
    "heartline/protocol/close_codes.json",
    "heartline/examples/echo/server.py",
    "heartline/examples/echo/page/page.js",
    "heartline/examples/gallery/kit/kit.css",
}
LOCK = ROOT / "requirements" / "runtime.txt"


def run(*command: str | Path, cwd: Path, timeout: float = 300, pure: bool = False) -> None:
    """Run `command` in `cwd` with nothing of ours in its environment; end the script if it fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "HEARTLINE"))}
    if pure:
        environment["HEARTLINE_PURE"] = "1"
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, timeout=timeout)
    if done.returncode:
        sys.exit(f"wheel smoke: {' '.join(map(str, command))} ended with {done.returncode}")


def contents(wheel: Path) -> set[str]:
    """The names of the files in it."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def check_contents(pure: Path, compiled: Path) -> None:
    """Ends the script if a wheel lacks what it must ship, or ships what it must not."""
    names = contents(pure)
    if missing := SHIPPED - names:
        sys.exit(f"wheel smoke: not in the wheel: {sorted(missing)}")
    foreign = [n for n in names if not n.startswith(("heartline/", "heartline-")) or n.endswith((".so", "ruff.toml"))]
    if foreign:
        sys.exit(f"wheel smoke: should not be in the wheel: {foreign}")
    added = contents(compiled) - names
    odd = names - contents(compiled) | {name for name in added if not name.endswith((".so", ".pyd"))}
    if odd:
        sys.exit(f"wheel smoke: the compiled wheel should be the pure one and libraries, but for {sorted(odd)}")
    if not any(name.startswith("heartline__mypyc") for name in added):
        sys.exit("wheel smoke: the compiled wheel has no heartline__mypyc library")


def check_source(folder: Path, pure: Path) -> None:
    """Ends the script if the wheel that the source distribution makes is another one."""
    run("tar", "-xzf", source_distribution(folder), cwd=folder)
    [source] = (path for path in folder.iterdir() if path.is_dir())
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=source)
    [wheel] = folder.glob("*.whl")
    if contents(wheel) != contents(pure):
        sys.exit(f"wheel smoke: missing from the source distribution: {contents(wheel) ^ contents(pure)}")


def pinned(requirements: Path) -> set[str]:
    """The names a lock file pins."""
    lines = requirements.read_text().splitlines()
    return {line.partition("==")[0].strip() for line in lines if "==" in line and not line.startswith("#")}


def main() -> None:
    """Build, inspect, install, use."""
    with tempfile.TemporaryDirectory(prefix="heartline-smoke-") as name:
        folder = Path(name)
        pure = pure_wheel(folder / "dist")
        compiled = Path(shutil.copy(compiled_wheel(), folder / "dist"))
        check_contents(pure, compiled)
        check_source(folder / "source", pure)

        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        pip: list[str | Path] = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        run(*pip, "--require-hashes", "--only-binary", ":all:", "-r", LOCK, cwd=folder)

        empty = folder / "empty"
        empty.mkdir()
        inside = folder / "inside.py"
        inside.write_text((ROOT / "scripts" / "wheel_smoke_inside.py").read_text())
        came_with_venv = {"setuptools"}  # before Python 3.12
        unwanted = sorted(pinned(ROOT / "requirements" / "dev.txt") - pinned(LOCK) - came_with_venv)

        run(*pip, "--no-deps", "--no-index", "-f", folder / "dist", "heartline", cwd=folder)
        run(python, "-I", inside, "compiled", *unwanted, cwd=empty, timeout=60)
        run(python, "-I", inside, "source of compiled", *unwanted, cwd=empty, timeout=60, pure=True)
        run(*pip, "--no-deps", "--no-index", "--force-reinstall", pure, cwd=folder)
        run(python, "-I", inside, "pure", *unwanted, cwd=empty, timeout=60)
    print("wheel smoke: passed")


if __name__ == "__main__":
    main()
