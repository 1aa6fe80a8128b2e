"""Does the wheel work for somebody who installs it and has nothing else?

Builds the wheel from this tree, installs it with its locked runtime dependencies into a fresh virtual
environment in a temporary folder, and runs `wheel_smoke_inside.py` there from an empty folder, with the
source tree out of reach. Run by `make smoke`.
"""

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = {
    "heartline/py.typed",
    "heartline/protocol/PROTOCOL.md",
    "heartline/protocol/close_codes.json",
    "heartline/examples/echo/server.py",
    "heartline/examples/echo/page/page.js",
    "heartline/examples/gallery/kit/kit.css",
}


def run(*command: str | Path, cwd: Path, timeout: float = 300) -> None:
    """Run `command` in `cwd` with nothing of ours in its environment; end the script if it fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, timeout=timeout)
    if done.returncode:
        sys.exit(f"wheel smoke: {' '.join(map(str, command))} ended with {done.returncode}")


def build(folder: Path) -> Path:
    """The wheel of this tree, built in `folder` without network."""
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    [wheel] = folder.glob("heartline-*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    """Ends the script if the wheel lacks what it must ship, or ships what it must not."""
    names = set(zipfile.ZipFile(wheel).namelist())
    if missing := SHIPPED - names:
        sys.exit(f"wheel smoke: not in the wheel: {sorted(missing)}")
    foreign = [n for n in names if not n.startswith(("heartline/", "heartline-"))]
    if foreign or any(n.endswith("ruff.toml") for n in names):
        sys.exit(f"wheel smoke: should not be in the wheel: {foreign or 'ruff.toml'}")


def pinned(requirements: Path) -> set[str]:
    """The names a lock file pins."""
    lines = requirements.read_text().splitlines()
    return {line.partition("==")[0].strip() for line in lines if "==" in line and not line.startswith("#")}


def main() -> None:
    """Build, inspect, install, use."""
    with tempfile.TemporaryDirectory(prefix="heartline-smoke-") as name:
        folder = Path(name)
        wheel = build(folder / "dist")
        check_contents(wheel)

        venv.create(folder / "venv", with_pip=True)
        bin_folder = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        pip: list[str | Path] = [
            bin_folder / "python",
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
        ]
        lock = ROOT / "requirements" / "runtime.txt"
        run(*pip, "--require-hashes", "--only-binary", ":all:", "-r", lock, cwd=folder)
        run(*pip, "--no-deps", "--no-index", wheel, cwd=folder)

        empty = folder / "empty"
        empty.mkdir()
        inside = folder / "inside.py"
        inside.write_text((ROOT / "scripts" / "wheel_smoke_inside.py").read_text())
        unwanted = pinned(ROOT / "requirements" / "dev.txt") - pinned(lock)
        run(bin_folder / "python", "-I", inside, *sorted(unwanted), cwd=empty, timeout=60)
    print("wheel smoke: passed")


if __name__ == "__main__":
    main()
