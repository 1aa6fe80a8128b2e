"""`heartline prove`: the promise, and that it would notice if it were broken."""

import asyncio
import dataclasses
import itertools
import json
import os
import re
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from heartline.cli import main
from heartline.cli.arrivals import Arrivals
from heartline.cli.children import Child, Children
from heartline.cli.exits import Stop
from heartline.cli.killing import Lives, Standing, lifetimes
from heartline.cli.proof import Proof
from heartline.cli.tally import KILLED
from heartline.cli.terminal import StatusLine, say
from heartline.cli.texts import Difference, first_difference, given_text, standard_text

from .processes import PATIENCE, Running, numbers, run

NEVER = {f"--kill-{name}-every": "inf" for name in ("server", "sender", "listener")}


def kills(**every: float) -> list[str]:
    """The options that kill these and no others."""
    told = NEVER | {f"--kill-{name}-every": str(seconds) for name, seconds in every.items()}
    return [word for option in told.items() for word in option]


def proved(source: Path, *words: str) -> dict[str, Any]:
    """The result of a run that must be without a difference."""
    done = run("prove", "--input", str(source), "--json", "--quiet", *words, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["ok"] is True
    assert result["lines"] == result["sent"] == result["handled"] == result["received"]
    assert result["input_bytes"] == result["output_bytes"]
    return result


def test_prove_carries_a_text(tmp_path: Path) -> None:
    """Cuts, freezes, refused dials, and kills as they are without options."""
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text("".join(f"{i}: Zeile mit Umlaut ä und {i * 'x'}\n" for i in range(600)) + "unended")
    words = ("--rate", "150", "--refuse-every", "2", "--refuse-for", "0.3")
    done = run("prove", "--input", str(source), "--output", str(target), *words, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    assert target.read_bytes() == source.read_bytes() + b"\n"
    assert "kill -9:   server every 4 s, sender every 6 s, listener every 5 s or so" in done.stdout
    assert "kept: every line once, in order, byte for byte the same" in done.stdout
    assert re.search(r"^received \.+ 601$", done.stdout, re.MULTILINE)
    assert "links died" in done.stderr


@pytest.mark.parametrize("name", ["server", "sender", "listener"])
def test_prove_kills_one_of_them(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(numbers(2500))
    result = proved(tmp_path / "in", "--rate", "800", *kills(**{name: 0.8}))
    assert {each for each in KILLED if result[f"{each}_kills"]} == {name}
    assert result["links_died"] >= 2
    assert result[f"{name}_kills"] >= 2
    assert (result["lines_skipped"] > 0) is (name == "sender")
    assert result["sessions_resumed"] >= 2
    assert 0 < result["longest_outage"] < 30


def test_prove_kills_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(numbers(4000))
    broker = f"sqlite:///{tmp_path / 'server.db'}"
    words = ("--rate", "1000", "--broker", broker, *kills(server=1.2, sender=1.2, listener=1.2))
    for seed in ("1", "2"):  # the second finds what the first has left in the broker's file
        result = proved(tmp_path / "in", "--seed", seed, *words)
        assert all(result[f"{name}_kills"] >= 2 for name in KILLED)
        assert result["lines_skipped"] > 0


def test_prove_without_kills_in_memory(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(numbers(1000))
    result = proved(tmp_path / "in", "--broker", "memory://", "--rate", "0")
    assert result["server_kills"] == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("--broker", "memory://", "--kill-server-every", "2"),
            "--kill-server-every: a server with --broker memory://",
        ),
        (("--broker", "postgres://x"), "--broker must be 'memory://', 'sqlite:///app.db'"),
        (("--kill-sender-every", "0"), "expected a time above 0"),
    ],
)
def test_prove_refuses_what_cannot_be_kept(words: tuple[str, ...], text: str) -> None:
    done = run("prove", *words)
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stdout == ""


def test_prove_ends_when_a_process_fails(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(numbers(10))
    done = run("prove", "--input", str(tmp_path / "in"), "--broker", f"sqlite:///{tmp_path / 'no' / 'folder.db'}")
    assert done.returncode == 1
    assert "PROBLEM: the server did not start: " in done.stdout


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (b"1\n2\n3\n4\n4\n", ["DIFFERENCE at line 5:", "nothing: the input has ended", "'4\\n'"]),
        (b"1\n2\n3\n", ["DIFFERENCE at line 4:", "nothing: the output has ended"]),
    ],
)
def test_prove_finds_what_is_too_much_and_what_is_missing(
    change: bytes,
    shown: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the very end, where a count of lines would see neither, or wait for ever."""
    (tmp_path / "in").write_bytes(numbers(4))
    (tmp_path / "changed").write_bytes(change)
    send = Proof._send

    async def send_badly(self: Proof, children: Children) -> Child:
        self._text = dataclasses.replace(self._text, path=tmp_path / "changed")
        return await send(self, children)

    monkeypatch.setattr(Proof, "_send", send_badly)
    assert main(["prove", "--input", str(tmp_path / "in"), "--output", str(tmp_path / "kept")]) == 1
    assert (tmp_path / "kept").read_bytes() == change
    text = capsys.readouterr().out
    assert [part for part in shown if part not in text] == []
    assert "kept: every line" not in text


def test_prove_tells_programs_how_it_goes(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("".join(f"{n}\n" for n in range(500)))
    never = [word for name in ("server", "sender", "listener") for word in (f"--kill-{name}-every", "inf")]
    done = run(
        "prove", "--input", str(text), "--json", "--quiet", "--stats-every", "0.1", "--rate", "500", *never, timeout=90
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
    rows = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(rows) > 5
    assert [row["received"] for row in rows] == sorted(row["received"] for row in rows)
    assert (rows[-1]["lines"], rows[-1]["sent"], rows[-1]["received"]) == (500, 500, 500)


def test_prove_finds_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def carry_badly(self: Proof) -> int:
        self.output.write_bytes(b"1\n2\n3a\n4\n")
        self.stopped = False
        return 0

    monkeypatch.setattr(Proof, "run", carry_badly)
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
    words = ("--rate", "10", *kills(server=0.5, sender=0.5, listener=0.5))
    with Running("prove", "--input", str(tmp_path / "in"), *words, env={mark: "1"}) as proof:
        proof.err.until("links died")
        assert len(processes_of(mark)) >= 3, "it has its proxies at any rate"
        proof.signal(number)
        assert proof.end() == (-number if number is signal.SIGKILL else 128 + number)
    until = time.monotonic() + PATIENCE
    while processes_of(mark) and time.monotonic() < until:
        time.sleep(0.02)
    assert processes_of(mark) == []


# --- the pieces ---------------------------------------------------------------------------------


def test_kills_are_drawn_from_the_seed() -> None:
    def first(name: str, seed: int) -> list[float]:
        return list(itertools.islice(lifetimes(name, 4.0, seed), 20))

    assert first("server", 1) == first("server", 1)
    assert first("server", 1) != first("server", 2)
    assert first("server", 1) != first("sender", 1)
    assert all(2.0 <= each <= 6.0 for each in first("server", 1))


def test_a_process_that_ends_by_itself_is_not_started_again() -> None:
    commands = iter(["sleep 60", "sleep 60", "exit 3", "sleep 60"])
    told: list[bool] = []

    async def begin() -> Child:
        process = await asyncio.create_subprocess_exec("sh", "-c", f"exec 2>&1; {next(commands)}")
        return Child("sleeper", process)

    async def live() -> Lives:
        lives = Lives("sleeper", begin, 0.3, 0, told.append)
        with pytest.raises(Stop, match="the sleeper ended with status 3"):
            await lives.run()
        return lives

    lives = asyncio.run(live())
    assert (lives.kills, lives.standing, told) == (2, Standing.ENDED, [True, True, False])
    assert next(commands) == "sleep 60"


def test_arrivals_are_counted_over_take_backs(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    arrivals = Arrivals(tmp_path / "out", lambda lines, size: told.append((lines, size)))
    for content in (b"a\nb\nc\n", b"a\nb\nc\n", b"a\n", b"a\nb\nc\nd"):
        (tmp_path / "out").write_bytes(content)
        assert arrivals.look() is False
    assert told == [(3, 6), (1, 2), (3, 7)]


def test_the_mark_is_taken_away(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    arrivals = Arrivals(tmp_path / "out", lambda lines, size: told.append((lines, size)))
    (tmp_path / "out").write_bytes(b"a\nb\n" + arrivals.mark)
    asyncio.run(asyncio.wait_for(arrivals.complete(), PATIENCE))
    arrivals.finish()
    assert told == [(2, 4)]
    assert (tmp_path / "out").read_bytes() == b"a\nb\n"


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
