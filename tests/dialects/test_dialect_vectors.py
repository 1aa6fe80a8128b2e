"""Every case of protocol/vectors/dialects, each as a test of its own, and the runner's own honesty."""

import copy
from typing import Any

import pytest

from heartline.dialects import presets
from heartline.testing import dialect_vectors as vectors

SCENARIOS = list(vectors.scenarios())


def name_of(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", vectors.form_cases(), ids=name_of)
def test_forms(case: dict[str, Any]) -> None:
    vectors.check_form(case)


@pytest.mark.parametrize("case", vectors.spec_cases(), ids=name_of)
def test_spec(case: dict[str, Any]) -> None:
    vectors.check_spec(case)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name_of)
def test_client(scenario: dict[str, Any]) -> None:
    vectors.check_scenario(scenario)


def test_every_name_is_used_once() -> None:
    for cases in (vectors.form_cases(), vectors.spec_cases(), SCENARIOS):
        names = [name_of(case) for case in cases]
        assert sorted(names) == sorted(set(names))


def test_every_preset_is_used() -> None:
    used = {d if isinstance(d, str) else d.get("like") for d in (scenario["dialect"] for scenario in SCENARIOS)}
    assert used >= set(presets.NAMES)


# the runner can fail


@pytest.mark.parametrize(
    ("what", "wrong"), [("expect", [["leave"]]), ("deadline", -1), ("ignored", True), ("kept", {"a": 1})]
)
def test_a_wrong_expectation_fails(what: str, wrong: Any) -> None:
    scenario = copy.deepcopy(SCENARIOS[0])
    scenario["steps"][0][what] = wrong
    with pytest.raises(AssertionError, match=f"step 1 .*{what} is"):
        vectors.check_scenario(scenario)


def test_a_wrong_form_or_spec_fails() -> None:
    with pytest.raises(AssertionError, match="x: found"):
        vectors.check_form({"name": "x", "form": {"a": 1}, "message": '{"a":1}', "found": None})
    with pytest.raises(AssertionError, match="x: said"):
        vectors.check_form({"name": "x", "form": {"a": 1}, "variables": {}, "text": "{}"})
    with pytest.raises(AssertionError, match="x: refused"):
        vectors.check_form({"name": "x", "form": {"a": "$no"}, "allowed": [], "refused": False})
    with pytest.raises(AssertionError, match="x: not refused"):
        vectors.check_spec({"name": "x", "dialect": {"name": "x"}, "refused": True})
    with pytest.raises(AssertionError, match="x: refused"):
        vectors.check_spec({"name": "x", "dialect": {}, "refused": False})
