"""Choices that make no sense are refused where they are made."""

import math
from typing import Any

import pytest

from heartline.core.policy import BackOff, ClientPolicy, Full, Heartbeat, OutboxLimits, ServerLimits


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (Heartbeat, "interval"),
        (Heartbeat, "timeout"),
        (BackOff, "base"),
        (BackOff, "cap"),
        (BackOff, "stable"),
        (OutboxLimits, "messages"),
        (OutboxLimits, "bytes"),
        (ClientPolicy, "connect_timeout"),
        (ClientPolicy, "hello_timeout"),
        (ClientPolicy, "max_attempts"),
        *((ServerLimits, name) for name in ServerLimits.__struct_fields__),
    ],
)
def test_policies_refuse_nonsense(kind: type[Any], field: str) -> None:
    for value in (0, -1, -0.5, math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"{kind.__name__}\.{field} must be above 0"):
            kind(**{field: value})
    for value in ("5", True, [1]):
        with pytest.raises(TypeError, match=rf"{kind.__name__}\.{field} must be a number"):
            kind(**{field: value})


def test_counts_and_sizes_are_whole() -> None:
    """Compiled code takes nothing else for them."""
    for wrong in (lambda: ServerLimits(message=1e6), lambda: ClientPolicy(max_attempts=2.5)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="must be a whole number"):
            wrong()
    with pytest.raises(TypeError, match=r"ServerLimits\.message must be a number"):
        ServerLimits(message=None)  # type: ignore[arg-type]
    assert ServerLimits(rate=5, session_ttl=None).rate == 5


def test_policies_are_made_of_policies() -> None:
    with pytest.raises(TypeError, match=r"ClientPolicy\.back_off must be of BackOff, not 1.5"):
        ClientPolicy(back_off=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"ClientPolicy\.heartbeat must be of Heartbeat, not 25"):
        ClientPolicy(heartbeat=25)  # type: ignore[arg-type]


def test_cap_is_not_below_base() -> None:
    with pytest.raises(ValueError, match="cap"):
        BackOff(base=2.0, cap=1.0)


@pytest.mark.parametrize(
    ("least", "error"), [(-0.1, ValueError), (1.1, ValueError), ("1", TypeError), (True, TypeError)]
)
def test_a_share_is_from_nought_to_one(least: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"BackOff\.least must be"):
        BackOff(least=least)
    assert BackOff(least=1).least == 1


def test_a_heartbeat_fits_into_hello() -> None:
    Heartbeat(86_400, 86_400)
    with pytest.raises(ValueError, match="86400 seconds"):
        Heartbeat(interval=86_401)
    with pytest.raises(ValueError, match="86400 seconds"):
        Heartbeat(timeout=1e6)


def test_a_window_is_no_wider_than_the_span_of_numbers() -> None:
    ServerLimits(window=256)
    with pytest.raises(ValueError, match="window"):
        ServerLimits(window=257)


def test_words_for_a_full_outbox() -> None:
    assert OutboxLimits(full="wait").full is Full.WAIT  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        OutboxLimits(full="explode")  # type: ignore[arg-type]


def test_defaults() -> None:
    policy = ClientPolicy()
    assert (policy.heartbeat, policy.max_attempts, policy.outbox.full) == (None, None, Full.REFUSE)
    assert (policy.back_off.base, policy.back_off.cap, policy.back_off.stable) == (0.25, 30.0, 30.0)
