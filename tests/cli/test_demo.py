"""`heartline demo` as a command."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.cli.processes import PATIENCE, Running, run


def test_the_first_line_is_the_address(tmp_path: Path) -> None:
    with Running("demo", "--no-open", "--port", "0", "--data", str(tmp_path)) as demo:
        address = demo.line()
        assert address.startswith("http://127.0.0.1:")
        assert address.endswith("/")
        with urlopen(address, timeout=PATIENCE) as answer:
            assert b"<title>heartline</title>" in answer.read()
        demo.signal(signal.SIGTERM)
        assert demo.end() == 0
        assert demo.err.rest() == ["Ctrl-C ends it"]
    assert (tmp_path / "community").is_dir()


def test_an_address_for_everybody() -> None:
    with Running("demo", "--no-open", "--port", "0", "--host", "0.0.0.0") as demo:
        address = demo.line()
        assert address.startswith("http://127.0.0.1:")
        with urlopen(address, timeout=PATIENCE) as answer:
            assert answer.status == 200


def test_a_browser_is_opened(tmp_path: Path) -> None:
    """`BROWSER` names what Python's webbrowser runs."""
    told = tmp_path / "told"
    os.mkfifo(told)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {told}\n')
    browser.chmod(0o755)
    with (
        open(os.open(told, os.O_RDWR | os.O_NONBLOCK), "rb", buffering=0) as pipe,
        Running("demo", "--port", "0", env={"BROWSER": str(browser)}) as demo,
    ):
        address = demo.line()
        assert select.select([pipe], [], [], PATIENCE)[0], "no browser was run"
        assert pipe.read(1024).decode().strip() == address
        demo.signal()
        assert demo.end() == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--port", "70000"), "--port: expected 0 to 65535"),
        (("--port", "x"), "expected a whole number"),
        (("--host", "no.such.host.invalid"), "no such host"),
        (("--host", "203.0.113.7"), "is no address of this machine"),
        (("more",), "unrecognized arguments: more"),
    ],
)
def test_demo_errors_are_one_line(words: tuple[str, ...], part: str) -> None:
    done = run("demo", "--no-open", *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert part in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("demo", "--no-open", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "is in use" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = run("demo", "--no-open", "--port", "0", "--data", str(file))
    assert done.returncode == 2
    assert f"{file}/native cannot be made: Not a directory" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_package_that_is_missing_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sqlalchemy.py").write_text("raise ModuleNotFoundError('no sqlalchemy', name='sqlalchemy')")
    done = subprocess.run(
        [sys.executable, "-m", "heartline", "demo", "--no-open", "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "heartline demo: sqlalchemy is missing: pip install 'heartline[demo]'\n"


def test_help_tells_how() -> None:
    done = run("demo", "--help")
    assert done.returncode == 0
    for word in ("--host", "--port", "--no-open", "--data", "heartline[demo]"):
        assert word in done.stdout
