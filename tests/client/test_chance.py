"""Chance and ids that come from the system."""

import pytest

from heartline.client import chance
from heartline.client.chance import SystemChance, token


@pytest.mark.pure
@pytest.mark.parametrize(("drawn", "number"), [(b"\x00" * 8, 2.0), (b"\x80" + b"\x00" * 7, 3.0), (b"\xff" * 8, 4.0)])
def test_chance_stays_within_its_range(monkeypatch: pytest.MonkeyPatch, drawn: bytes, number: float) -> None:
    monkeypatch.setattr(chance, "urandom", lambda size: drawn[:size])
    assert SystemChance().uniform(2.0, 4.0) == number


def test_chance_is_spread() -> None:
    draw = SystemChance().uniform
    tenths = {int(draw(0.0, 10.0)) for _ in range(1000)}  # one is missing once in 10**44
    assert tenths >= set(range(10))
    assert draw(5.0, 5.0) == 5.0


def test_tokens_are_new_and_may_stand_in_a_url() -> None:
    tokens = {token(16) for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(made) == 22 and made.replace("-", "a").replace("_", "a").isalnum() for made in tokens)
