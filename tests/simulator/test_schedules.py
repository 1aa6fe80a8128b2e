"""Two thousand schedules and more: every scenario, and the mix. A failure names seed, invariant and the command."""

import pytest

from heartline.testing.simulator import SCENARIOS, simulate

BLOCK = 25
MIXED = 1000
EACH = 75
BLOCKS = [("mix", first) for first in range(0, MIXED, BLOCK)] + [
    (name, first) for name in SCENARIOS if name != "mix" for first in range(0, EACH, BLOCK)
]


@pytest.mark.parametrize(("scenario", "first"), BLOCKS)
def test_the_promise_holds(scenario: str, first: int) -> None:
    for seed in range(first, first + BLOCK):
        report = simulate(seed, scenario=scenario)
        violation = report.violation
        if violation is not None:
            trace = "\n".join(violation.lines()[-60:])
            pytest.fail(
                f"{violation.invariant}: {violation.message}\n{trace}\nagain: {violation.repeat}", pytrace=False
            )


def test_there_are_two_thousand_schedules() -> None:
    assert len(BLOCKS) * BLOCK >= 2000


def test_schedules_cover_what_they_are_for() -> None:
    """Each trouble really happens: a simulator in which nothing breaks proves nothing."""
    counts: dict[str, int] = {}
    for scenario in SCENARIOS:
        for seed in range(1000, 1012):
            report = simulate(seed, scenario=scenario)
            assert report.violation is None, report.violation
            for what, n in report.counts.items():
                counts[what] = counts.get(what, 0) + n
    rare = ("reply_lost", "unknown by fail", "OutboxFull", "server crashes", "client crashes", "sessions lost")
    common = ("handled", "rejected", "expired", "unknown", "gaps", "dead links found", "handed over", "starts")
    assert {what: counts.get(what, 0) for what in rare if counts.get(what, 0) < 3} == {}
    assert {what: counts.get(what, 0) for what in common if counts.get(what, 0) < 20} == {}
    points = ["crashes with calls asked", "crashes before a commit", "crashes before an announcement"]
    points += [
        "crashes before an answer",
        "disk crashes before a commit",
        "disk crashes before the word",
        "broker crashes",
        "broker errors",
    ]
    assert {what: counts.get(what, 0) for what in [*points, "group commits"] if counts.get(what, 0) < 3} == {}
    assert counts["dials"] > counts["links"]
