"""`heartline prove`: the promise, and that it would notice if it were broken."""

import json
import os
import signal
import sys
import time
import uuid
from pathlib import Path

import pytest

from heartline.cli import main
from heartline.cli import prove as prove_module
from heartline.cli.exits import Stop
from heartline.cli.terminal import StatusLine, say
from heartline.cli.texts import Difference, first_difference, given_text, standard_text

from .processes import PATIENCE, Running, numbers, run


def test_prove_carries_a_text(tmp_path: Path) -> None:
    """Cuts, freezes, refused dials, and a listener that is killed."""
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text("".join(f"{i}: Zeile mit Umlaut ä und {i * 'x'}\n" for i in range(600)) + "unended")
    words = ("--rate", "200", "--kill-listener-every", "1.2", "--refuse-every", "2", "--refuse-for", "0.3")
    done = run("prove", "--input", str(source), "--output", str(target), "--json", *words, timeout=90)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["ok"] is True
    assert result["lines"] == result["sent"] == result["handled"] == result["received"] == 601
    assert result["links_died"] >= 3
    assert result["cuts"] >= 2
    assert result["listener_kills"] >= 1
    assert result["input_bytes"] == result["output_bytes"]
    assert target.read_bytes() == source.read_bytes() + b"\n"
    assert "links died" in done.stderr


def test_prove_finds_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def carry_badly(self: prove_module.Proof) -> int:
        self.output.write_bytes(b"1\n2\n3a\n4\n")
        self.stopped = False
        return 0

    monkeypatch.setattr(prove_module.Proof, "run", carry_badly)
    (tmp_path / "in").write_bytes(numbers(4))
    kept = tmp_path / "kept"
    assert main(["prove", "--input", str(tmp_path / "in"), "--output", str(kept)]) == 1
    text = capsys.readouterr().out
    assert "DIFFERENCE at line 3:" in text
    assert "'3\\n'" in text
    assert "'3a\\n'" in text
    assert "kept: every line" not in text
    assert main(["prove", "--input", str(tmp_path / "in"), "--output", str(kept), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["ok"], result["difference"]["line"]) == (False, 3)


def test_prove_ends_in_time(tmp_path: Path) -> None:
    """Nothing gets through: it says so, and ends."""
    (tmp_path / "in").write_bytes(numbers(10))
    done = run("prove", "--input", str(tmp_path / "in"), "--refuse-chance", "1", "--timeout", "3", timeout=60)
    assert done.returncode == 1
    assert "PROBLEM: not through within 3 s" in done.stdout
    assert "DIFFERENCE at line 1" in done.stdout


def processes_of(mark: str) -> list[int]:
    """Processes that carry `mark` in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if mark.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                pass
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_prove_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.fail("this test reads /proc")
    mark = f"HEARTLINE_MARK_{uuid.uuid4().hex}"
    (tmp_path / "in").write_bytes(numbers(10_000))
    with Running("prove", "--input", str(tmp_path / "in"), "--rate", "10", env={mark: "1"}) as proof:
        proof.err.until("links died")
        assert len(processes_of(mark)) == 6
        proof.signal(number)
        assert proof.end() == (-number if number is signal.SIGKILL else 128 + number)
    until = time.monotonic() + PATIENCE
    while processes_of(mark) and time.monotonic() < until:
        time.sleep(0.02)
    assert processes_of(mark) == []


# --- the pieces ---------------------------------------------------------------------------------


def test_the_standard_text_is_the_same_each_time(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        text = standard_text(tmp_path / name)
        assert text.lines == 25_000
        texts.append(text.path.read_bytes())
    assert texts[0] == texts[1]
    assert texts[0].count(b"\n") == 25_000
    texts[0].decode()


@pytest.mark.parametrize(
    ("sent", "received", "line"),
    [
        (b"a\nb\n", b"a\nb\n", None),
        (b"a\nb", b"a\nb\n", None),
        (b"a\nb\n", b"a\nc\n", 2),
        (b"a\nb\n", b"a\n", 2),
        (b"a\nb\n", b"a\nb\nb\n", 3),
        (b"a\nb\n", b"", 1),
        (b"a\r\n", b"a\n", 1),
        (b"\n\n", b"\n", 2),
        (b"a\nb\nc\n", b"a\nc\nb\n", 2),
        (b"a\n", b"a", 1),
    ],
)
def test_every_difference_is_found(tmp_path: Path, sent: bytes, received: bytes, line: int | None) -> None:
    (tmp_path / "in").write_bytes(sent)
    (tmp_path / "out").write_bytes(received)
    found = first_difference(given_text(str(tmp_path / "in"), tmp_path), tmp_path / "out")
    assert (found.line if isinstance(found, Difference) else None) == line


def test_an_input_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"one\ntwo\xff\n")
    with pytest.raises(Stop, match="line 2 is not UTF-8"):
        given_text(str(tmp_path / "in"), tmp_path)


class _Terminal:
    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_a_status_line_is_cleared_for_other_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    status = StatusLine()
    status.show("half way", now=True)
    say("news")
    assert terminal.text == "\rhalf way\r        \rnews\n"
    status.show("x" * 500, now=True)
    assert len(terminal.text.splitlines()[-1]) < 500
    StatusLine(wanted=False).show("never", now=True)
    assert "never" not in terminal.text
