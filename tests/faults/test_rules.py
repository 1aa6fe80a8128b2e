"""The rules check themselves and explain themselves."""

import math
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from heartline.faults import Direction, FaultRules, rule_fields

PERIODS = ["cut_every", "freeze_every", "refuse_every"]
LASTING = ["freeze_for", "refuse_for"]
DELAYS = ["latency", "jitter"]
SHARES = ["refuse_chance", "hang_chance", "spread"]


def bad_values() -> list[tuple[str, Any, type[Exception]]]:
    cases: list[tuple[str, Any, type[Exception]]] = []
    for name in PERIODS:
        cases += [(name, v, ValueError) for v in (0, -1, 0.0009, math.inf, math.nan)]
    for name in LASTING:
        cases += [(name, v, ValueError) for v in (0, -1, math.nan)] + [(name, None, TypeError)]
    for name in DELAYS:
        cases += [(name, v, ValueError) for v in (-0.001, math.inf, math.nan)] + [(name, None, TypeError)]
    for name in SHARES:
        cases += [(name, v, ValueError) for v in (-0.1, 1.1, math.nan)] + [(name, None, TypeError)]
    cases += [("bandwidth", v, ValueError) for v in (0, 0.5, math.inf)]
    cases += [("kind_after", v, ValueError) for v in (-1, math.inf, math.nan)]
    numbers = [*PERIODS, *LASTING, *DELAYS, *SHARES, "bandwidth", "kind_after"]
    cases += [(name, v, TypeError) for name in numbers for v in ("1", True, [1])]
    cases += [(name, v, TypeError) for name in ("cut_loses_data", "freeze_kills") for v in (1, None, "no")]
    cases += [("freeze_direction", v, TypeError) for v in ("up", 1)]
    return cases


@pytest.mark.parametrize(("name", "value", "error"), bad_values())
def test_every_field_is_checked(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{name} must be"):
        FaultRules(**{name: value})


def test_chances_share_one_dial() -> None:
    with pytest.raises(ValueError, match="refuse_chance and hang_chance"):
        FaultRules(refuse_chance=0.6, hang_chance=0.6)
    FaultRules(refuse_chance=0.5, hang_chance=0.5)


def test_infinity_where_it_means_for_ever() -> None:
    rules = FaultRules(freeze_for=math.inf, refuse_for=math.inf, freeze_direction=Direction.UP)
    assert rules.freeze_for == math.inf


def test_every_field_explains_itself() -> None:
    told = rule_fields()
    assert list(told) == [f.name for f in fields(FaultRules)]
    for name, (text, unit) in told.items():
        assert text.endswith("."), name
        assert len(text) < 110, name
        assert unit in {"s", "bytes/s", "share", ""}, name


def test_rules_are_values() -> None:
    assert FaultRules(cut_every=5) == FaultRules(cut_every=5)
    with pytest.raises(FrozenInstanceError):
        FaultRules().latency = 1.0  # type: ignore[misc]
