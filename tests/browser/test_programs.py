"""Somebody without the browsers learns what to install."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import programs
from tests.browser.stage import BROWSERS, Stage


def test_a_missing_browser_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(programs.Missing, match=r"firefox.*apt-get install .*firefox-esr"):
        programs.program("firefox")


@pytest.mark.parametrize("name", BROWSERS)
def test_a_test_without_its_browser_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setattr(
        programs, "PROGRAMS", {key: (("nowhere",), what) for key, (_, what) in programs.PROGRAMS.items()}
    )
    stage = Stage()
    stage.start()
    try:
        with pytest.raises(programs.Missing):
            stage.run(stage.browser(name))
    finally:
        stage.stop()


def test_the_command_names_all_that_is_missing(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.browser.programs"],
        cwd=root,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "chromium firefox-esr" in done.stderr
    there = subprocess.run([sys.executable, "-m", "tests.browser.programs"], cwd=root, capture_output=True, text=True)
    assert there.returncode == 0, there.stderr


def test_make_installs_them() -> None:
    script = (Path(__file__).resolve().parents[2] / "scripts" / "system_packages").read_text()
    for _, package in programs.PROGRAMS.values():
        assert f"missing+=({package})" in script
