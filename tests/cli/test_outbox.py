"""`send --outbox` and `listen --cursor --output`: killed at random, each line once."""

import json
import random
import sqlite3
import time
from pathlib import Path
from subprocess import DEVNULL

import pytest

from .processes import Running, numbers, relay, run

MEMORY = ("--broker", "memory://")
LINES = 30_000


def done_lines(file: Path) -> int:
    """How long the input was that `file` knows to be done; the messages of it must be gone."""
    db = sqlite3.connect(file)
    try:
        assert db.execute("SELECT count(*) FROM messages").fetchone() == (0,)
        ((value,),) = db.execute("SELECT value FROM marks")
    finally:
        db.close()
    kept = json.loads(value)
    assert "first" in kept
    lines: int = kept["lines"]
    return lines


def seeded() -> random.Random:
    seed = random.randrange(2**32)
    print("seed", seed)
    return random.Random(seed)


def killed(dice: random.Random, *words: str, stdin: Path | None = None, wait_for: Path | None = None) -> None:
    """Run a command and kill it a moment after it has begun to do something."""
    with (
        (stdin or Path("/dev/null")).open("rb") as lines,
        Running(*words, stdin=lines, stdout=DEVNULL) as command,
    ):
        before = wait_for.stat().st_mtime_ns if wait_for is not None and wait_for.exists() else 0
        until = time.monotonic() + 10
        while wait_for is not None and time.monotonic() < until and command.process.poll() is None:
            if wait_for.exists() and wait_for.stat().st_mtime_ns != before:
                break
            time.sleep(0.005)
        time.sleep(dice.uniform(0.0, 0.25))
        command.process.kill()


def test_a_killed_send_goes_on_with_each_line_once(tmp_path: Path) -> None:
    dice = seeded()
    file, lines = tmp_path / "o.db", tmp_path / "in"
    lines.write_bytes(numbers(LINES))
    with relay(*MEMORY) as url:
        words = ("send", url, "--channel", "n", "--outbox", str(file))
        for _ in range(5):
            killed(dice, *words, stdin=lines, wait_for=tmp_path / "o.db-wal")
        done = run(*words, stdin=lines.read_bytes())
        assert done.returncode == 0, done.stderr
        assert f"{LINES:,} lines handled" in done.stderr
        assert done_lines(file) == LINES
        assert run("listen", url, "n", "--count", str(LINES)).stdout.encode() == numbers(LINES)
        # The file is free for another input.
        assert run("send", url, "--channel", "m", "--outbox", str(file), stdin="a\nb\n").returncode == 0
        assert run("listen", url, "m", "--count", "2").stdout == "a\nb\n"


def test_an_input_that_was_done_is_not_sent_again(tmp_path: Path) -> None:
    """Who restarts a command that was killed at its very end cannot know that all was done."""
    with relay(*MEMORY) as url:
        words = ("send", url, "--channel", "n", "--outbox", str(tmp_path / "o.db"))
        for lines, taken in ((3, 0), (3, 3), (5, 3), (5, 5)):
            done = run(*words, stdin=numbers(lines))
            assert done.returncode == 0, done.stderr
            assert f"{lines} lines handled" in done.stderr
            assert (f"{taken} of them had been taken over" in done.stderr) is (taken > 0)
        for other in ("1\n2\n", "1\n2\n3\n4\nfive\n"):
            refused = run(*words, stdin=other)
            assert refused.returncode == 2
            assert "another input of 5 lines, which began like this one and was done" in refused.stderr
            assert "--anew" in refused.stderr
        assert run(*words, "--anew", stdin="1\n2\n").returncode == 0
        assert run("listen", url, "n", "--count", "7").stdout.split() == ["1", "2", "3", "4", "5", "1", "2"]


def test_after_one_that_was_done_another_input_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "o.db"
    with relay(*MEMORY) as url:
        words = ("send", url, "--outbox", str(file), "--channel")
        assert run(*words, "n", stdin=numbers(30)).returncode == 0
        for channel, lines in (("n", "a\nb\n"), ("n", ""), ("m", "a\nb\nc\n"), ("n", "a\n")):
            done = run(*words, channel, stdin=lines)
            count = len(lines.split())
            assert (done.returncode, f"{count} lines handled" in done.stderr) == (0, True), done.stderr
            assert "taken over" not in done.stderr
        assert run("listen", url, "n", "--count", "33").stdout == numbers(30).decode() + "a\nb\na\n"
        assert run("listen", url, "m", "--count", "3").stdout == "a\nb\nc\n"


def test_another_input_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "o.db"
    with relay(*MEMORY) as url:
        words = ("send", url, "--channel", "n", "--outbox", str(file))
        bad = run(*words, stdin=b"one\ntwo\n\xff\n")
        assert bad.returncode == 2
        assert "line 3 is not UTF-8" in bad.stderr
        assert "the same command goes on" in bad.stderr
        for other in (b"one\nTWO\nthree\n", b"one\n"):
            refused = run(*words, stdin=other)
            assert refused.returncode == 2
            assert "of another input" in refused.stderr
            assert "--anew" in refused.stderr
        refused = run("send", url, "--channel", "m", "--outbox", str(file), stdin="one\ntwo\n")
        assert refused.returncode == 2
        assert "for another place (channel 'n')" in refused.stderr
        # What is behind the lines taken over may have been mended.
        assert run(*words, stdin="one\ntwo\nthree\n").returncode == 0
        assert run(*words, stdin=b"uno\n\xff\n").returncode == 2
        assert run(*words, "--anew", stdin="eins\n").returncode == 0
        assert run("listen", url, "n", "--count", "5").stdout == "one\ntwo\nthree\nuno\neins\n"


APP = """\
import heartline

app = heartline.Server()
channel = app.channel("{name}")

asked = 0

@channel.on_publish
def judge(name: str) -> None:
    global asked
    asked += 1
    if asked in {2, 4}:
        raise heartline.Refuse("closed", "not this one")
"""


def test_failures_of_an_earlier_run_are_named(tmp_path: Path) -> None:
    """Lines of a run that ended before it had a link keep their numbers."""
    (tmp_path / "app.py").write_text(APP)
    file = tmp_path / "o.db"
    with Running("serve", "app:app", "--port", "0", cwd=tmp_path) as server:
        url = server.line()
        words = ("--channel", "n", "--outbox", str(file))
        port = url.removesuffix("/").rsplit(":", 1)[1]
        server.signal()
        server.end()
        away = run("send", url, *words, "--give-up-after", "0.5", stdin="1\n2\n3\n4\n")
        assert away.returncode == 1
        assert "keeps 4 lines under way" in away.stderr
        with Running("serve", "app:app", "--port", port, cwd=tmp_path) as again:
            again.line()
            done = run("send", url, *words, stdin="1\n2\n3\n4\n5\n")
    assert done.returncode == 1
    assert "line 2: refused: closed" in done.stderr
    assert "line 4: refused: closed" in done.stderr
    assert "3 of 5 lines handled" in done.stderr
    assert done_lines(file) == 5


def test_a_second_send_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "o.db"
    with relay(*MEMORY) as url:
        words = ("send", url, "--channel", "n", "--outbox", str(file))
        with Running(*words, stdin=-1) as first:
            assert first.process.stdin is not None
            first.process.stdin.write(b"one\n")
            first.process.stdin.flush()
            run("listen", url, "n", "--count", "1")
            second = run(*words, stdin="two\n")
            assert second.returncode == 2
            assert "is in use by another process" in second.stderr
            first.process.stdin.close()
            assert first.end() == 0


def test_anew_needs_an_outbox() -> None:
    done = run("send", "ws://127.0.0.1:1/", "--channel", "n", "--anew")
    assert done.returncode == 2
    assert "--anew goes with --outbox" in done.stderr


def test_a_killed_listener_writes_each_line_once(tmp_path: Path) -> None:
    dice = seeded()
    file, out = tmp_path / "c.db", tmp_path / "out"
    out.write_text("what was there before\n")
    with relay(*MEMORY) as url:
        assert run("send", url, "--channel", "n", stdin=numbers(LINES)).returncode == 0
        words = ("listen", url, "n", "--cursor", str(file), "--output", str(out))
        for _ in range(5):
            killed(dice, *words, wait_for=out)
        with Running(*words, "--stats-every", "0.1") as last:
            last.err.until("{")  # it runs, and takes signals
            until = time.monotonic() + 20
            whole = b"what was there before\n" + numbers(LINES)
            while out.stat().st_size < len(whole) and time.monotonic() < until:
                time.sleep(0.02)
            last.signal()
            assert last.end() == 130
        assert out.read_bytes() == whole
        # A last one finds nothing to take back, and goes on.
        assert run("send", url, "--channel", "n", stdin="more\n").returncode == 0
        done = run(*words, "--count", "1")
        assert (done.returncode, done.stderr) == (0, "")
        assert out.read_bytes() == whole + b"more\n"


def test_a_changed_output_is_left_alone(tmp_path: Path) -> None:
    file, out = tmp_path / "c.db", tmp_path / "out"
    with relay(*MEMORY) as url:
        assert run("send", url, "--channel", "n", stdin=numbers(10)).returncode == 0
        words = ("listen", url, "n", "--cursor", str(file), "--count", "1", "--output")
        assert run(*words, str(out)).returncode == 0
        assert run(*words, str(out)).returncode == 0
        assert out.read_text() == "1\n2\n"
        for changed in ("1\nX\n", "1\n"):
            out.write_text(changed)
            refused = run(*words, str(out))
            assert refused.returncode == 2
            assert "was changed since" in refused.stderr
            assert out.read_text() == changed
        refused = run(*words, str(tmp_path / "other"))
        assert refused.returncode == 2
        assert "goes with" in refused.stderr


def test_a_killed_listener_repeats_a_window_at_most(tmp_path: Path) -> None:
    """To stdout: what comes again has the same places, and nothing is missing."""
    dice = seeded()
    file = tmp_path / "c.db"
    seen: list[str] = []
    with relay(*MEMORY) as url:
        assert run("send", url, "--channel", "n", stdin=numbers(5000)).returncode == 0
        words = ("listen", url, "n", "--cursor", str(file), "--print-offsets")
        for _ in range(3):
            with Running(*words) as listener:
                lines = [listener.line()]
                time.sleep(dice.uniform(0.0, 0.1))
                listener.process.kill()
                listener.end()
                assert listener.out is not None
                lines += listener.out.rest()
            if seen:
                begin = seen.index(lines[0]) if lines[0] in seen else len(seen)
                assert len(seen) - begin <= 256
                assert lines[: len(seen) - begin] == seen[begin : begin + len(lines)]
                del seen[begin:]
            seen += lines
            if len(seen) >= 4900:
                break
    assert [line.split("\t")[1] for line in seen] == [str(n) for n in range(1, len(seen) + 1)]


@pytest.mark.parametrize("what", ["folder", "pipe"])
def test_an_output_that_is_no_file_is_refused(tmp_path: Path, what: str) -> None:
    out = str(tmp_path) if what == "folder" else "/dev/null"
    done = run("listen", "ws://127.0.0.1:1/", "n", "--output", out)
    assert done.returncode == 2
    assert done.stderr.startswith("heartline listen: --output")
