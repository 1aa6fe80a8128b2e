"""`heartline listen`: once, in order, and nothing missing without a word."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heartline.cli.listen import _harmless
from heartline.cli.output import ATOMIC, Output

from .processes import COMMAND, PATIENCE, Running, numbers, relay, run


def test_since() -> None:
    with relay() as url:
        assert run("send", url, "--channel", "n", stdin=numbers(10)).returncode == 0
        assert run("listen", url, "n", "--count", "10").stdout == numbers(10).decode()
        assert run("listen", url, "n", "--since", "8", "--count", "2").stdout == "9\n10\n"
        place = run("listen", url, "n", "--count", "3", "--print-offsets").stdout.splitlines()[-1].split("\t")[0]
        assert run("listen", url, "n", "--since", place, "--count", "1").stdout == "4\n"
        row = json.loads(run("listen", url, "n", "--since", place, "--count", "1", "--json").stdout)
        assert f"{row['epoch']}:{row['offset'] - 1}" == place
        with Running("listen", url, "n", "--since", "now", "--verbose", "--count", "1") as listener:
            listener.err.until("-> open")
            for line in ("11\n", "12\n"):  # the subscription may stand a moment after the link
                run("send", url, "--channel", "n", stdin=line)
            assert listener.line() in {"11", "12"}
            assert listener.end() == 0


def test_a_gap_is_told() -> None:
    with relay("--history", "5") as url:
        assert run("send", url, "--channel", "n", stdin=numbers(20)).returncode == 0
        gap = "gap: entries 3 to 15 of 'n' may be lost: the server keeps them no longer"
        done = run("listen", url, "n", "--since", "2", "--count", "5")
        assert (done.returncode, done.stdout) == (0, "16\n17\n18\n19\n20\n")
        assert done.stderr.startswith(gap)
        done = run("listen", url, "n", "--since", "2", "--fail-on-gap")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(gap)
        done = run("listen", url, "n", "--since", "elsewhere:4", "--fail-on-gap")
        assert done.returncode == 1
        assert "the server lost its log and began a new one" in done.stderr


def test_a_closed_stdout_ends_quietly() -> None:
    """The reader leaves: at once while there is something to print, soon when there is nothing."""
    with relay() as url:
        assert run("send", url, "--channel", "n", stdin=numbers(50_000)).returncode == 0
        for channel, lines in (("n", 3), ("silence", 0)):
            listener = subprocess.Popen(
                [*COMMAND, "listen", url, channel], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            assert listener.stdout is not None
            assert listener.stderr is not None
            assert [listener.stdout.readline() for _ in range(lines)] == [b"1\n", b"2\n", b"3\n"][:lines]
            listener.stdout.close()
            assert listener.wait(PATIENCE) == 0
            assert listener.stderr.read() == b""
            listener.stderr.close()


def test_a_closed_stdout_is_no_traceback_elsewhere() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m heartline --help | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.stderr == b""


def test_a_full_disk_is_told() -> None:
    with relay() as url, open("/dev/full", "wb") as full:
        assert run("send", url, "--channel", "n", stdin=numbers(10)).returncode == 0
        with Running("listen", url, "n", stdout=full) as listener:
            assert listener.end() == 2
            assert listener.err.rest() == ["heartline listen: stdout cannot be written: No space left on device"]


def test_a_stalled_reader_costs_no_link() -> None:
    """Nobody reads stdout for several heartbeats; the link stays, and nothing is missing."""
    with relay("--heartbeat", "0.2,0.2") as url:
        assert run("send", url, "--channel", "n", stdin=numbers(50_000)).returncode == 0
        listener = subprocess.Popen(
            [*COMMAND, "listen", url, "n", "--count", "50000", "--stats-every", "0.2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert listener.stdout is not None
        assert listener.stderr is not None
        counts: list[dict[str, float]] = []
        while len(counts) < 12 or counts[-1]["received"] != counts[-8]["received"]:
            counts.append(json.loads(listener.stderr.readline()))
        assert 0 < counts[-1]["received"] < 50_000
        assert listener.stdout.read() == numbers(50_000)
        assert listener.wait(PATIENCE) == 0
        last = json.loads(listener.stderr.read().splitlines()[-1])
        assert (last["received"], last["links"], last["lost"]) == (50_000, 1, 0)
        listener.stdout.close()
        listener.stderr.close()


def test_an_entry_longer_than_its_publication() -> None:
    """Whatever size of line the server takes, a listener takes too."""
    with relay() as url:
        assert run("send", url, "--channel", "n", stdin=numbers(5000)).returncode == 0
        sizes = range((1 << 20) - 200, (1 << 20) + 20, 20)
        sent = run("send", url, "--channel", "n", "--stats-every", "9", stdin="".join(f"{'x' * n}\n" for n in sizes))
        handled = json.loads(sent.stderr.splitlines()[-1])["handled"]
        assert 0 < handled < len(sizes)
        done = run("listen", url, "n", "--since", "5000", "--count", str(handled))
        assert [len(line) for line in done.stdout.splitlines()] == list(sizes)[:handled]


def test_json_of_many_lines_is_printed_on_one() -> None:
    """As a client other than ours may publish it; the line feeds of a string are its own."""
    import websockets.sync.client as foreign

    with relay() as url:
        with foreign.connect(url, subprotocols=["heartline.1"], proxy=None) as socket:  # type: ignore[list-item]
            socket.send('["pub",1,"n","e",{"a":\n[1,\r\n 2]}]')
            socket.send(r'["pub",2,"n","e","a\nb"]')
            while json.loads(socket.recv(timeout=10)) != ["ack", 2]:
                pass
        assert run("listen", url, "n", "--count", "2").stdout == '{"a":[1,2]}\na\nb\n'
        rows = run("listen", url, "n", "--count", "2", "--json").stdout.splitlines()
        assert [json.loads(row)["data"] for row in rows] == [{"a": [1, 2]}, "a\nb"]


def test_interrupting_listen() -> None:
    with relay() as url:
        assert run("send", url, "--channel", "n", stdin="1\n").returncode == 0
        for number in (signal.SIGINT, signal.SIGTERM):
            with Running("listen", url, "n") as listener:
                assert listener.line() == "1"
                listener.signal(number)
                assert listener.end() == 128 + number
                assert listener.err.rest() == []


# --- the pieces ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, ATOMIC, 3 * ATOMIC])
def test_handled_means_written(size: int) -> None:
    """When `write` has returned the bytes are with the system."""

    async def check() -> None:
        read, write = os.pipe()
        output = Output(write)
        await output.write(b"x" * size)
        assert os.read(read, 1 << 20) == b"x" * size
        output.close()
        os.close(read)
        os.close(write)

    asyncio.run(check())


def test_a_reader_that_does_not_read_holds_up_nothing_else() -> None:
    async def check() -> None:
        read, write = os.pipe()
        output = Output(write)
        wanted = bytes(range(256)) * 4096
        writing = asyncio.ensure_future(output.write(wanted))
        began = time.monotonic()
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert time.monotonic() - began < 1
        assert not writing.done()
        loop = asyncio.get_running_loop()
        found = b""
        while len(found) < len(wanted):
            found += await loop.run_in_executor(None, os.read, read, 1 << 16)
        await writing
        assert found == wanted
        os.close(read)
        with pytest.raises(BrokenPipeError):
            await output.write(b"x")
        await asyncio.wait_for(output.gone, PATIENCE)
        output.close()
        os.close(write)

    asyncio.run(check())


def test_a_file_is_written_at_once(tmp_path: Path) -> None:
    async def check() -> None:
        with (tmp_path / "out").open("wb") as file:
            output = Output(file.fileno())
            await output.write(b"x" * (1 << 20))
            output.close()

    asyncio.run(check())
    assert (tmp_path / "out").stat().st_size == 1 << 20


def test_a_terminal_is_not_steered() -> None:
    assert _harmless("a\tb\x1b[2J\x07\r 漢字 \u202e\n".encode()) == "a\tb\\x1b[2J\\x07\\x0d 漢字 \\x202e\n".encode()
