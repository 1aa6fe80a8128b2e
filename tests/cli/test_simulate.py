"""`heartline simulate`: summary, trace, the way to see it again."""

import json

import pytest

from heartline.cli import main
from heartline.testing import simulator

from .processes import run


def test_simulate_prints_a_summary() -> None:
    done = run("simulate", "--seeds", "6", "--scenario", "cuts", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    summary = json.loads(done.stdout)
    assert (summary["schedules"], summary["scenario"], summary["violation"]) == (6, "cuts", None)


def test_simulate_runs_one_seed() -> None:
    one, same = (json.loads(run("simulate", "--seed", "7", "--scenario", "calm").stdout) for _ in range(2))
    assert (one["schedules"], one["steps"]) == (1, same["steps"])
    assert (
        json.loads(run("simulate", "--seeds", "1", "--seed", "7", "--scenario", "calm").stdout)["steps"] == one["steps"]
    )


def test_simulate_shows_a_violation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    violation = {
        "seed": 3,
        "invariant": "in_order",
        "message": "2 before 1",
        "at": 1.5,
        "digest": "d",
        "repeat": "heartline simulate --seed 3 --scenario mix",
        "trace": ["    1.5000  c0       received 2"],
    }
    monkeypatch.setattr(simulator, "main_json", lambda seeds, **_: ({"schedules": 1, "violation": violation}, 1))
    assert main(["simulate", "--seeds", "2"]) == 1
    out, err = capsys.readouterr()
    assert "trace" not in json.loads(out)["violation"]
    assert err.splitlines() == [
        "    1.5000  c0       received 2",
        "violation of in_order at 1.5000 s, seed 3: 2 before 1",
        "again: heartline simulate --seed 3 --scenario mix",
    ]
    assert main(["simulate", "--seeds", "2", "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["violation"]["trace"] == violation["trace"]
    assert err == ""


def test_simulate_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--list"]) == 0
    assert "scenarios: calm" in capsys.readouterr().out
