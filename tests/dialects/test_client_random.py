"""Somebody else's server over links that die, freeze and hang: what must hold, whatever happens."""

import msgspec
import pytest

from heartline.core.enums import Outcome, State
from heartline.core.outbox import Kind

from .client_world import STRANGE, World

MESSAGES = 300


def played(seed: int, **options: object) -> World:
    world = World(seed, **options)  # type: ignore[arg-type]
    for number in range(1, MESSAGES + 1):
        world.say(world.dice.choice((Kind.SEND, Kind.CALL)), number)
        world.publish()
        world.run_until(world.now + world.dice.expovariate(1.0))
    world.kind_from = world.now
    world.run_until(world.now + 200)
    return world


@pytest.mark.parametrize("seed", range(40))
def test_one_outcome_for_each_number(seed: int) -> None:
    """And what it says is true; what is at most once is never said twice, what is at least once is said at last."""
    world = played(seed)
    assert world.machine.state is State.OPEN
    assert sorted(world.outcomes) == list(range(1, MESSAGES + 1))
    assert world.links > 5, "this network was too kind"
    for n, outcome in world.outcomes.items():
        times = world.executed[n]
        if n in world.again:
            assert outcome is (Outcome.REJECTED if n % 17 == 0 else Outcome.HANDLED)
            assert times >= 1
        else:
            assert times <= 1
            assert outcome is not Outcome.EXPIRED
            assert outcome is Outcome.UNKNOWN or times == 1
    assert world.firsts == sorted(world.firsts), "order"
    assert sum(outcome is Outcome.UNKNOWN for outcome in world.outcomes.values()) < MESSAGES / 2


@pytest.mark.parametrize("seed", range(40))
def test_items_are_each_once_and_in_order_or_a_gap_comes_first(seed: int) -> None:
    world = played(seed)
    last_offset, last_item, gap = 0, 0, False
    for item in world.items:
        if isinstance(item, str):
            gap = True
            continue
        offset, number = item
        assert offset > last_offset
        assert number > last_item
        assert gap or number == last_item + 1 or last_item == 0
        last_offset, last_item, gap = offset, number, False
    assert last_item > MESSAGES / 2
    assert world.news == sorted(set(world.news))


@pytest.mark.parametrize("seed", range(10))
def test_at_least_once_without_confirmation_by_the_server(seed: int) -> None:
    """Answered beats show what has arrived."""
    assert STRANGE.send is not None
    silent = msgspec.structs.replace(STRANGE, send=msgspec.structs.replace(STRANGE.send, ok=msgspec.UNSET))
    world = played(seed, dialect=silent, confirms=False)
    assert sorted(world.outcomes) == list(range(1, MESSAGES + 1))
    assert all(world.executed[n] >= 1 for n in world.again)
    assert all(world.executed[n] <= 1 for n in world.outcomes if n not in world.again)
    assert world.firsts == sorted(world.firsts)
