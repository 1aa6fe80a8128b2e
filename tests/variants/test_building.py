"""What is missing to compile heartline is installed, or told in a sentence before the time that compiling takes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hatch_build import try_compiler

ROOT = Path(__file__).resolve().parents[2]


def test_there_is_a_compiler(tmp_path: Path) -> None:
    try_compiler(tmp_path)
    assert (tmp_path / "probe.o").exists()


@pytest.mark.parametrize("compiler", ["no-such-compiler -O2", f"{shutil.which('false')} -O2"])
def test_a_missing_compiler_is_told(compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(
        SystemExit, match=r"(?s)^compiling heartline needs a C compiler, .* apt-get install gcc"
    ) as ended:
        try_compiler(tmp_path)
    assert f"python{sys.version_info.major}.{sys.version_info.minor}-dev" in str(ended.value)


def told_by_system_packages(folder: Path, *, headers: str) -> str:
    """What scripts/system_packages says where there is neither compiler nor apt."""
    for name in ("bash", "id", "uname"):
        program = shutil.which(name)
        assert program is not None
        (folder / name).symlink_to(program)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\ncase "$2" in *include*) echo {headers};; *) echo python3.99-dev;; esac\n')
    python.chmod(0o755)
    done = subprocess.run(
        [ROOT / "scripts" / "system_packages", "compiler"],
        env={**os.environ, "PATH": str(folder), "PYTHON": str(python)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    return done.stderr


def test_make_tells_what_apt_would_install(tmp_path: Path) -> None:
    (tmp_path / "Python.h").touch()
    assert "missing: gcc python3.99-dev" in told_by_system_packages(tmp_path, headers="/nowhere")


def test_headers_that_are_there_are_not_missed(tmp_path: Path) -> None:
    (tmp_path / "Python.h").touch()
    assert "missing: gcc;" in told_by_system_packages(tmp_path, headers=str(tmp_path))
