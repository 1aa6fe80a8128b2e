"""`heartline send`: every line, in order, accounted for."""

import asyncio
import json
import os
import select
import signal
import time
from pathlib import Path

import pytest

from heartline.cli.ledger import Ledger
from heartline.cli.lines import PIECE, Lines

from .processes import PATIENCE, Running, free_port, numbers, relay, run

APP = """\
import asyncio, heartline

app = heartline.Server(limits=heartline.ServerLimits(message=1000))
channel = app.channel("{name}")

@channel.on_publish
async def judge(name: str) -> None:
    if name == "stuck":
        await asyncio.Event().wait()
    if name == "refused":
        raise heartline.Refuse("closed", "come back on Monday")
"""


def test_every_line_is_accounted_for(tmp_path: Path) -> None:
    """Handled, or named with its outcome; the others are not kept from being sent."""
    (tmp_path / "app.py").write_text(APP)
    with Running("serve", "app:app", "--port", "0", cwd=tmp_path) as server:
        url = server.line()
        done = run("send", url, "--channel", "c", stdin=f"one\n{'x' * 2000}\nthree\n{'y' * 999}\nfive")
        assert done.returncode == 1
        assert "line 2: refused: too_big" in done.stderr
        assert "line 4: refused: too_big" in done.stderr
        assert "3 of 5 lines handled" in done.stderr
        assert run("listen", url, "c", "--count", "3").stdout == "one\nthree\nfive\n"
        done = run("send", url, "--channel", "refused", "--stats-every", "10", stdin=numbers(100))
        assert done.returncode == 1
        assert "line 20: refused: closed: come back on Monday" in done.stderr
        assert "and 80 more lines" in done.stderr
        assert json.loads(done.stderr.splitlines()[-1])["failed"] == 100


def test_nothing_to_send_is_done() -> None:
    with relay() as url:
        assert run("send", url, "--channel", "c").returncode == 0


@pytest.mark.parametrize("option", [(), ("--repeat-unknown",)], ids=["unknown", "repeated"])
def test_a_server_that_lost_its_memory(tmp_path: Path, option: tuple[str, ...]) -> None:
    """A line under way when the server was killed is unknown, or is sent again: as the sender chose."""
    (tmp_path / "app.py").write_text(APP)
    port = free_port()
    url = f"ws://127.0.0.1:{port}/"
    words = ("send", url, "--channel", "stuck", "--stats-every", "0.1", *option)
    with Running("serve", "app:app", "--port", str(port), cwd=tmp_path) as server:
        server.line()
        read, write = os.pipe()
        with Running(*words, stdin=read) as sender:
            os.close(read)
            os.write(write, b"in doubt\n")
            _until_started(url)
            server.signal(signal.SIGKILL)
            server.end()
            with relay(port=port):
                os.close(write)
                assert sender.end() == (0 if option else 1)
                said = "\n".join(sender.err.rest())
    if option:
        assert "1 lines handled" in said
    else:
        assert "line 1: unknown" in said


def _until_started(url: str) -> None:
    """Wait until the server has begun with a message."""
    import urllib.request

    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with urllib.request.urlopen(url.replace("ws://", "http://") + "health", timeout=10) as answer:
            if json.load(answer)["messages_started"]:
                return
        time.sleep(0.02)
    pytest.fail("the server started nothing")


@pytest.mark.parametrize(
    ("words", "lines", "part"),
    [
        ((), b"one\ntwo\xff\nthree\n", "line 2 is not UTF-8 (byte 4)"),
        (("--json",), b'"one"\n{"two":\nthree\n', "line 2 is not JSON"),
        (("--json",), b'"one"\n\n"three"\n', "line 2 is empty"),
        (("--json",), b'"one"\n' + b"[" * 5000 + b"\n", "line 2 is not JSON"),
    ],
    ids=["utf-8", "json", "empty", "deep"],
)
def test_a_bad_line_stops_there(words: tuple[str, ...], lines: bytes, part: str) -> None:
    with relay() as url:
        done = run("send", url, "--channel", "c", *words, stdin=lines)
        assert done.returncode == 2
        assert part in done.stderr
        assert "Traceback" not in done.stderr
        assert run("send", url, "--channel", "c", stdin=b"end\n").returncode == 0
        assert run("listen", url, "c", "--count", "2").stdout == "one\nend\n"


def test_lines_are_kept_as_they_are() -> None:
    """Carriage returns, blanks, NULs, tabs, quotes, any script: a line is what is between line feeds."""
    text = 'a\r\n\n  b\t\x00"\\ \x1b[31m\n\u2028\x85\n漢字 🙂 é\n' + "long " * 20_000 + "\n"
    with relay() as url:
        assert run("send", url, "--channel", "c", stdin=text).returncode == 0
        with Running("listen", url, "c", "--count", "6") as listener:
            assert listener.end() == 0
            assert listener.out is not None
            assert "\n".join(listener.out.rest()) + "\n" == text


def test_json_is_published_as_it_is() -> None:
    rows = ['{"a": 1.50, "b": [1,  2]}', "12345678901234567890", '"x\\ny"', "null"]
    with relay() as url:
        assert run("send", url, "--channel", "c", "--json", "--event", "e", stdin="\n".join(rows)).returncode == 0
        done = run("listen", url, "c", "--count", "4", "--json")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["data"] for row in found] == [json.loads(row) for row in rows]
        assert [row["offset"] for row in found] == [1, 2, 3, 4]
        assert {row["event"] for row in found} == {"e"}
        assert run("listen", url, "c", "--count", "2").stdout.splitlines() == rows[:2]


def test_input_is_read_with_back_pressure() -> None:
    """Without a server nothing can be sent, and little is read."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    taken = 0
    with Running("send", f"ws://127.0.0.1:{free_port()}/", "--channel", "c", "--quiet", stdin=read) as sender:
        os.close(read)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and select.select([], [write], [], 1.5)[1]:  # full, and stays full
            taken += os.write(write, b"0123456789abcdef\n" * 200)
        os.close(write)
        assert PIECE <= taken < 16 * PIECE
        sender.signal()
        assert sender.end() == 130


def test_interrupting_send_tells_how_far_it_came() -> None:
    with relay() as url:
        read, write = os.pipe()
        with Running("send", url, "--channel", "c", stdin=read) as sender:
            os.close(read)
            os.write(write, b"one\ntwo\n")
            assert run("listen", url, "c", "--count", "2").returncode == 0
            sender.signal()
            assert sender.end() == 130
            os.close(write)
            assert sender.err.rest() == ["interrupted: 2 lines handled, up to line 2"]


def test_rate() -> None:
    with relay() as url:
        began = time.monotonic()
        assert run("send", url, "--channel", "c", "--rate", "200", stdin=numbers(200)).returncode == 0
        assert time.monotonic() - began > 0.9


def test_giving_up_after_a_time() -> None:
    done = run("send", f"ws://127.0.0.1:{free_port()}/", "--channel", "c", "--give-up-after", "0.3", stdin="x\n")
    assert done.returncode == 1
    assert "line 1: expired" in done.stderr
    assert "gave up after 0.3 s without a link (connection refused)" in done.stderr.splitlines()[-1]


def test_giving_up_after_attempts() -> None:
    url = f"ws://127.0.0.1:{free_port()}/"
    for words in (("send", url, "--channel", "c"), ("listen", url, "c")):
        done = run(*words, "--max-attempts", "2", stdin="x\n")
        assert done.returncode == 1
        assert "attempt 2 of 2" in done.stderr.splitlines()[-1]


def test_a_long_outage_is_told() -> None:
    port = free_port()
    with Running("send", f"ws://127.0.0.1:{port}/", "--channel", "c", stdin=subprocess_pipe()) as sender:
        assert "no link for 2 s (connection refused); still trying" in sender.err.line()
        with relay(port=port):
            assert "connected after" in sender.err.line()
            assert sender.end() == 0


def subprocess_pipe() -> int:
    """A pipe with one line in it, its end closed."""
    read, write = os.pipe()
    os.write(write, b"x\n")
    os.close(write)
    return read


def test_a_login_that_is_refused_is_told(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import heartline\napp = heartline.Server()\napp.channel('c', publish=True)\n"
        "@app.login\ndef who(key: str) -> heartline.Identity:\n"
        "    if key != 'hunter2':\n        raise heartline.Refuse('wrong_key', 'no')\n"
        "    return heartline.Identity('me')\n"
    )
    (tmp_path / "login").write_text('"hunter2"')
    (tmp_path / "wrong").write_text('"hunter3"')
    with Running("serve", "app:app", "--port", "0", cwd=tmp_path) as server:
        url = server.line()
        for name, status in (("login", 0), ("wrong", 1)):
            done = run("send", url, "--channel", "c", "--login-file", str(tmp_path / name), stdin="x\n")
            assert done.returncode == status
            assert "hunter" not in done.stderr
        assert "wrong_key" in done.stderr


# --- the pieces ---------------------------------------------------------------------------------


def read_all(data: bytes, longest: int = 1 << 20) -> list[tuple[int, bytes | None]]:
    """What `Lines` makes of a pipe with `data` in it."""

    async def collect() -> list[tuple[int, bytes | None]]:
        read, write = os.pipe()
        writing = asyncio.get_running_loop().run_in_executor(None, _write_all, write, data)
        found = [line async for batch in Lines(read, longest) for line in batch]
        await writing
        os.close(read)
        return found

    return asyncio.run(collect())


def _write_all(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"one",
        b"one\n",
        b"one\n\ntwo",
        b"\r\n\x00\x0b\x0c\n\xff",
        b"x" * 200_000 + b"\ny\n",
        numbers(50_000),
    ],
    ids=["nothing", "empty", "unended", "one", "empty between", "controls", "long", "many"],
)
def test_lines_are_kept_byte_for_byte(data: bytes) -> None:
    wanted = data.split(b"\n")
    if not wanted[-1]:
        wanted.pop()
    assert read_all(data) == list(enumerate(wanted, 1))


def test_a_line_without_end_is_not_held() -> None:
    limit = 100_000
    assert read_all(b"a\n" + b"x" * 300_000 + b"\nb\n", limit) == [(1, b"a"), (2, None), (3, b"b")]
    assert read_all(b"x" * 300_000, limit) == [(1, None)]


class _Receipt:
    def __init__(self, outcome: object) -> None:
        self.outcome = outcome

    def __await__(self):  # type: ignore[no-untyped-def]
        from heartline.core.errors import Rejected

        yield from ()
        raise Rejected("busy", "later")


def test_failures_are_bounded() -> None:
    from heartline.core.enums import Outcome

    ledger = Ledger()
    for number in range(1, 1001):
        outcome = Outcome.REJECTED if number % 2 else Outcome.HANDLED
        ledger.add(number, _Receipt(outcome), 10)  # type: ignore[arg-type]
    ledger.add(1001, _Receipt(None), 10)  # type: ignore[arg-type]
    asyncio.run(ledger.collect())
    assert (ledger.handled, ledger.failed, len(ledger.open), ledger.sent) == (500, 500, 1, 1001)
    assert (ledger.open_bytes, ledger.last_handled) == (10, 1000)
    assert len(ledger.failures()) == 21
    assert ledger.failures()[0] == "line 1: refused: busy: later"
    assert ledger.failures()[-1] == "and 480 more lines"
