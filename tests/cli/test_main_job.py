"""The main job, seen from outside: lines through a bad network, byte for byte the same."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .processes import COMMAND, PATIENCE, Running, faults, free_port, numbers, relay, run, summary_of

HEARTBEAT = ("--heartbeat", "0.4,0.4")


def carried(url: str, lines: bytes, folder: Path, rate: int) -> tuple[bytes, dict[str, object], dict[str, object]]:
    """Send `lines` while a listener writes to a file: what arrived, and the last counts of both.

    `rate`, lines a second, gives the faults time to happen however fast the machine is.
    """
    source, target = folder / "in", folder / "out"
    source.write_bytes(lines)
    options = ("--stats-every", "10", "--quiet", "--connect-timeout", "2")
    with source.open("rb") as stdin, target.open("wb") as stdout:
        count = str(lines.count(b"\n"))
        with (
            Running("listen", url, "numbers", "--count", count, *options, stdout=stdout) as listener,
            Running("send", url, "--channel", "numbers", "--rate", str(rate), *options, stdin=stdin) as sender,
        ):
            assert sender.end(80) == 0
            assert listener.end(80) == 0
            return target.read_bytes(), sender.err.stats(), listener.err.stats()


def test_a_hundred_thousand_lines_through_cuts(tmp_path: Path) -> None:
    lines = numbers(100_000)
    with relay(*HEARTBEAT) as url, faults(url, "--cut-every", "0.5", "--latency", "1ms") as (road, proxy):
        arrived, sent, received = carried(road, lines, tmp_path, rate=25_000)
        summary = summary_of(proxy)
    assert arrived == lines
    assert sent["handled"] == 100_000
    assert received["received"] == 100_000
    assert summary["cut"] >= 4, "hardly anything happened"
    assert summary["bytes_lost"] > 0, "the cuts lost nothing"


def test_frozen_links(tmp_path: Path) -> None:
    """Links that stay open and carry nothing, some for ever: the heartbeat leaves them."""
    lines = numbers(30_000)
    with (
        relay(*HEARTBEAT) as url,
        faults(url, "--freeze-every", "0.5", "--freeze-for", "inf", "--seed", "4") as (road, proxy),
    ):
        arrived, sent, received = carried(road, lines, tmp_path, rate=6_000)
        summary = summary_of(proxy)
    assert arrived == lines
    assert summary["opened"] >= 4, "hardly anything happened"
    # Found within interval + timeout, and then a dial or two; never the ten seconds of a system's own patience.
    assert max(sent["longest_outage"], received["longest_outage"]) < 4.0  # type: ignore[type-var]


def test_a_killed_listener_goes_on(tmp_path: Path) -> None:
    """SIGKILL, and a new start behind the place printed last: nothing twice, nothing missing."""
    lines = numbers(40_000)
    source = tmp_path / "in"
    source.write_bytes(lines)
    arrived: list[bytes] = []
    kills, since = 0, "beginning"
    with (
        relay(*HEARTBEAT) as url,
        faults(url, "--cut-every", "0.5", "--latency", "1ms") as (road, _),
        source.open("rb") as stdin,
        Running("send", road, "--channel", "n", "--quiet", stdin=stdin) as sender,
    ):
        while len(arrived) < 40_000:
            left = str(40_000 - len(arrived))
            words = ("listen", road, "n", "--print-offsets", "--quiet", "--since", since, "--count", left)
            listener = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE)
            assert listener.stdout is not None
            for taken, line in enumerate(listener.stdout):
                if line.endswith(b"\n"):  # a last line without was cut off by the kill
                    place, _, text = line.partition(b"\t")
                    since = place.decode()
                    arrived.append(text)
                if taken == 6000:
                    listener.send_signal(signal.SIGKILL)
                    kills += 1
            listener.stdout.close()
            assert listener.wait(PATIENCE) in {0, -signal.SIGKILL}
        assert sender.end() == 0
    assert kills >= 4, "hardly anything happened"
    assert b"".join(arrived) == lines


class Killed:
    """A command that gets SIGKILL after `every` seconds each time it stands, and is begun again as it was."""

    def __init__(self, every: float, words: tuple[str, ...], stdin: Path = Path("/dev/null")) -> None:
        self.kills = 0
        self._every = every
        self._words = words
        self._stdin = stdin
        self._begin()

    def ended(self) -> bool:
        """Whether it has ended by itself; kills it when its time has come."""
        if self._running.process.poll() is not None:
            return True
        if time.monotonic() < self._due:
            return False
        self._running.signal(signal.SIGKILL)
        if self._running.end() != -signal.SIGKILL:
            return True
        self.kills += 1
        self.close()
        self._begin()
        return False

    def status(self) -> int:
        return self._running.end()

    def close(self) -> None:
        self._running.__exit__()

    def _begin(self) -> None:
        with self._stdin.open("rb") as stdin:
            self._running = Running(*self._words, stdin=stdin)
        # It stands when it says its first word: a server its address, a client its counts.
        assert self._running.line() if self._words[0] == "serve" else self._running.err.line()
        self._due = time.monotonic() + self._every


@contextmanager
def killed(every: float, *words: str, stdin: Path = Path("/dev/null")) -> Iterator[Killed]:
    command = Killed(every, words, stdin)
    try:
        yield command
    finally:
        command.close()


def test_a_hundred_thousand_lines_over_kills_of_all(tmp_path: Path) -> None:
    """Sender, server and listener get SIGKILL, links are cut: each line once, byte for byte."""
    lines, source, out, end = numbers(100_000), tmp_path / "in", tmp_path / "out", b"the end\n"
    source.write_bytes(lines)
    port = free_port()
    server_words = ("serve", "--port", str(port), "--broker", f"sqlite:///{tmp_path / 'server.db'}", *HEARTBEAT)
    options = ("--stats-every", "60", "--quiet", "--connect-timeout", "2")
    with (
        killed(2.0, *server_words) as server,
        faults(f"ws://127.0.0.1:{port}/", "--cut-every", "0.5") as (url, proxy),
        killed(
            2.5, "listen", url, "n", "--cursor", str(tmp_path / "listen.db"), "--output", str(out), *options
        ) as listener,
    ):
        # The rate gives everything time to happen, however fast the machine is.
        words = ("send", url, "--channel", "n", "--outbox", str(tmp_path / "send.db"), "--rate", "12500", *options)
        with killed(2.0, *words, stdin=source) as sender:
            until = time.monotonic() + 90
            while not sender.ended():
                assert not server.ended()
                assert not listener.ended()
                assert time.monotonic() < until, "not through"
                time.sleep(0.02)
            assert sender.status() == 0
        assert run("send", url, "--channel", "n", stdin=end).returncode == 0
        # Behind the end nothing comes that was sent before: what came twice or is missing shows.
        while not out.read_bytes().endswith(end):
            assert not server.ended()
            assert not listener.ended()
            assert time.monotonic() < until, "not through"
            time.sleep(0.05)
        summary = summary_of(proxy)
    assert out.read_bytes() == lines + end
    assert sender.kills >= 2
    assert server.kills >= 3
    assert listener.kills >= 2
    assert summary["cut"] >= 4, "hardly anything happened"


def test_two_listeners_get_the_same(tmp_path: Path) -> None:
    with relay() as url:
        assert run("send", url, "--channel", "n", stdin=numbers(2000)).returncode == 0
        outputs = {run("listen", url, "n", "--count", "2000").stdout for _ in range(2)}
    assert outputs == {numbers(2000).decode()}
