"""`heartline faults`: the proxy as a process."""

import json
import re
import signal

from .processes import Running, faults, numbers, relay, run, summary_of


def test_faults_tells_its_address_first() -> None:
    with relay() as url, Running("faults", "--to", url.removeprefix("ws://").rstrip("/")) as proxy:
        address = proxy.line()
        assert re.fullmatch(r"127\.0\.0\.1:\d+", address)
        assert run("send", f"ws://{address}/", "--channel", "n", stdin="x\n").returncode == 0
        assert re.fullmatch(r" +\d+\.\d{3} s  link 1: open", proxy.line())


def test_faults_ends_with_a_summary() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        with relay() as url, Running("faults", "--to", url.removeprefix("ws://").rstrip("/"), "--quiet") as proxy:
            address = proxy.line()
            assert run("send", f"ws://{address}/", "--channel", "n", stdin=numbers(100)).returncode == 0
            proxy.signal(number)
            assert proxy.end() == 0
            assert proxy.line().startswith("1 dials, 1 links opened, 0 cut; ")


def test_events_as_json() -> None:
    with relay() as url, faults(url, "--cut-every", "0.2", "--spread", "0") as (road, proxy):
        with Running("listen", road, "n", "--stats-every", "0.1") as listener:
            while json.loads(listener.err.line())["lost"] < 2:
                pass
        summary = summary_of(proxy)
        assert summary["cut"] >= 2
        assert summary["opened"] >= 2


def test_the_same_seed_gives_the_same_faults() -> None:
    def cuts(seed: str) -> list[float]:
        """When each of the first three links is cut, from its opening on."""
        opened: dict[int, float] = {}
        found: list[float] = []
        with relay() as url, Running("faults", "--to", url.removeprefix("ws://").rstrip("/"), "--cut-every", "0.3",
                                     "--json", "--seed", seed) as proxy:  # fmt: skip
            road = f"ws://{json.loads(proxy.line())['address']}/"
            with Running("listen", road, "n"):
                while len(found) < 3:
                    event = json.loads(proxy.line())
                    if event["what"] == "opened":
                        opened[event["link"]] = event["at"]
                    elif event["what"] == "cut":
                        found.append(event["at"] - opened[event["link"]])
        return found

    first, again, other = cuts("5"), cuts("5"), cuts("6")
    assert all(abs(one - two) < 0.1 for one, two in zip(first, again, strict=True))
    assert any(abs(one - two) > 0.02 for one, two in zip(first, other, strict=True))


def test_an_address_in_use_is_explained() -> None:
    with relay() as url:
        where = url.removeprefix("ws://").rstrip("/")
        done = run("faults", "--listen", where, "--to", where)
        assert done.returncode == 2
        assert "is in use" in done.stderr
        done = run("faults", "--listen", "no.such.host.invalid:80", "--to", where)
        assert done.returncode == 2
        assert "no such host" in done.stderr
