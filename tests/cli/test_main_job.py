"""The main job, seen from outside: lines through a bad network, byte for byte the same."""

import signal
import subprocess
from pathlib import Path

from .processes import COMMAND, PATIENCE, Running, faults, numbers, relay, run, summary_of

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


def test_two_listeners_get_the_same(tmp_path: Path) -> None:
    with relay() as url:
        assert run("send", url, "--channel", "n", stdin=numbers(2000)).returncode == 0
        outputs = {run("listen", url, "n", "--count", "2000").stdout for _ in range(2)}
    assert outputs == {numbers(2000).decode()}
