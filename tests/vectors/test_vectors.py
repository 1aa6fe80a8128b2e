"""Every case of protocol/vectors, each as a test of its own, and the runner's own honesty."""

import copy
import re
from typing import Any

import pytest

from heartline.testing import vectors

CASES = vectors.codec_cases()
SCENARIOS = vectors.scenarios()


def name_of(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_codec(case: dict[str, Any]) -> None:
    vectors.check_codec(case)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name_of)
def test_client(scenario: dict[str, Any]) -> None:
    vectors.check_scenario(scenario)


def test_every_name_is_used_once() -> None:
    for cases in (CASES, SCENARIOS):
        names = [name_of(case) for case in cases]
        assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("section", ["2", "3", "4", "5", "6", "7"])
def test_every_section_is_named_by_a_scenario(section: str) -> None:
    """`about` ends with the sections it speaks of: (PROTOCOL 2.4, 3.2)."""
    named = {
        number.split(".")[0]
        for scenario in SCENARIOS
        for number in re.findall(r"\d(?:\.\d+)?", re.search(r"\(PROTOCOL ([\d., ]+)\)", scenario["about"])[1])
    }
    assert section in named


def test_every_kind_is_read_and_refused() -> None:
    kinds = {(c["direction"], c["frame"][0]) for c in CASES if "frame" in c}
    up = {"hello", "login", "call", "send", "pub", "settled", "sub", "unsub", "at", "ping", "pong", "bye"}
    down = {"welcome", "refused", "expiring", "reply", "fail", "ack", "ok", "no", "msg", "now", "gap", "move"}
    wanted = {("up", kind) for kind in up} | {("down", kind) for kind in down | {"ping", "pong"}}
    assert kinds == wanted


# --- the runner can fail --------------------------------------------------------------------------


def test_a_wrong_expectation_fails() -> None:
    scenario = copy.deepcopy(SCENARIOS[0])
    scenario["steps"][0]["expect"] = [["dial", 99]]
    with pytest.raises(AssertionError, match=r"step 1 .*expect is"):
        vectors.check_scenario(scenario)
    scenario = copy.deepcopy(SCENARIOS[0])
    scenario["steps"][0]["deadline"] = -1
    with pytest.raises(AssertionError, match=r"step 1 .*deadline is"):
        vectors.check_scenario(scenario)


def test_draws_are_counted() -> None:
    drawing = next(s for s in SCENARIOS if s.get("random"))
    with pytest.raises(AssertionError, match="never drawn"):
        vectors.check_scenario(drawing | {"random": [*drawing["random"], 0.5]})
    with pytest.raises(AssertionError, match="does not have"):
        vectors.check_scenario(drawing | {"random": []})


def test_a_wrong_frame_fails() -> None:
    case = next(c for c in CASES if "frame" in c)
    with pytest.raises(AssertionError, match="read as"):
        vectors.check_codec({**case, "frame": ["x"]})
    with pytest.raises(AssertionError, match="refused with"):
        vectors.check_codec({**case, "text": "["})


def test_one_is_not_true() -> None:
    assert not vectors.same([1], [True])
    assert vectors.same({"a": 1.0}, {"a": 1})
    assert not vectors.same({"a": 1}, {"a": 1, "b": 2})
    assert vectors.expand([{"$for": [1, 3], "of": ["$i"]}, {"$repeat": ["ab", 2]}]) == [[1], [2], [3], "abab"]
