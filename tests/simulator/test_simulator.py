"""The simulator itself: it repeats, it keeps its own rules, and it tells how to repeat what it found."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest

from heartline.core.effects import Forget, MoveCursor, Persist, Remember
from heartline.core.outbox import Kind, Message
from heartline.core.ports import SessionRecord
from heartline.core.server.session import Session
from heartline.faults.model import FaultModel
from heartline.faults.rules import Direction, FaultRules
from heartline.testing.simulator import BROKEN, SCENARIOS, draw, main_json, run_many, seeds_to_catch, simulate
from heartline.testing.simulator.broken import MOST_SEEDS, broken
from heartline.testing.simulator.clock import Actor, Naps, Violation, World
from heartline.testing.simulator.commits import Call, Transactions
from heartline.testing.simulator.disk import Disk
from heartline.testing.simulator.ledger import Ledger, Word
from heartline.testing.simulator.network import SimLink
from heartline.testing.simulator.store import Store


class Nobody(Actor):
    """An actor without a machine."""

    up = True

    def deadline(self) -> None:
        return None

    def turn(self) -> None:
        pass


def nobody(world: World) -> Nobody:
    return Nobody(world, "nobody", Naps(Random(1)))


def run_out(world: World) -> None:
    while world.step():
        pass


# it repeats


def test_same_seed_same_digest() -> None:
    for scenario in SCENARIOS:
        first, second = simulate(7, scenario=scenario), simulate(7, scenario=scenario)
        assert first == second
        assert first.digest != simulate(8, scenario=scenario).digest


def test_same_seed_same_digest_whatever_the_hash_seed_is() -> None:
    script = (
        "from heartline.testing.simulator import SCENARIOS, simulate\n"
        "print([simulate(seed, scenario=s).digest for s in sorted(SCENARIOS) for seed in (3, 4)])"
    )
    seen = set()
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout)
    assert len(seen) == 1


def test_same_seed_same_plan() -> None:
    for scenario in SCENARIOS:
        assert draw(5, scenario) == draw(5, scenario)
        assert draw(5, scenario).scenario == scenario
    assert draw(5) == draw(5, "mix")
    with pytest.raises(ValueError, match="scenario must be one of"):
        draw(5, "sunshine")


def test_many_seeds_come_in_their_order() -> None:
    alone = list(run_many(range(6), scenario="calm"))
    together = list(run_many(range(6), scenario="calm", jobs=2))
    assert [r.seed for r in alone] == list(range(6))
    assert alone == together


def test_the_summary_has_no_violation_when_all_is_well() -> None:
    summary, status = main_json(range(3), scenario="cuts")
    assert status == 0
    assert summary["violation"] is None
    assert summary["schedules"] == 3
    assert summary["counts"]["handled"] > 0
    assert summary["virtual_seconds"] > 30


@pytest.mark.pure
def test_a_violation_tells_how_to_see_it_again() -> None:
    summary, status = main_json(range(50), scenario="floods", core="no-window")
    assert status == 1
    found = summary["violation"]
    assert found["invariant"] == "flight"
    assert found["repeat"] == f"heartline simulate --seed {found['seed']} --scenario floods --broken no-window"
    assert 10 < len(found["trace"]) <= 120
    again = simulate(found["seed"], scenario="floods", core="no-window")
    assert again.violation is not None
    assert again.digest == found["digest"]
    assert again.violation.message == found["message"]


# broken cores


@pytest.mark.pure
@pytest.mark.parametrize("core", sorted(BROKEN))
def test_every_broken_core_is_caught(core: str) -> None:
    caught = seeds_to_catch(core, MOST_SEEDS)
    assert caught is not None, f"{core}: not caught within {MOST_SEEDS} seeds"
    seeds, report = caught
    assert report.violation is not None
    print(f"{core}: {seeds} seeds, {report.violation.invariant}: {report.violation.message}")
    assert report.violation.invariant != "no_crash"


@pytest.mark.pure
def test_the_core_is_whole_again() -> None:
    before = {name: [(o, a, o.__dict__[a]) for o, a, _ in core.patches()] for name, core in BROKEN.items()}
    for name, kept in before.items():
        with broken(name):
            assert all(owner.__dict__[attribute] is not value for owner, attribute, value in kept)
        assert all(owner.__dict__[attribute] is value for owner, attribute, value in kept)
    with pytest.raises(RuntimeError), broken("no-window"):
        raise RuntimeError
    assert simulate(1, scenario="floods").violation is None
    with pytest.raises(ValueError, match="core must be one of"), broken("perfect"):
        pass
    assert isinstance(Session.done, property)


# its parts


def test_events_keep_their_order() -> None:
    world = World()
    seen: list[Any] = []
    world.at(2.0, lambda: seen.append("late"))
    world.at(1.0, lambda: seen.append("first"))
    world.at(1.0, lambda: seen.append("second"))
    world.at(1.0, lambda: world.at(0.5, lambda: seen.append("never in the past")))
    run_out(world)
    assert seen == ["first", "second", "never in the past", "late"]
    assert world.now == 2.0


def test_running_in_circles_is_a_violation() -> None:
    world = World()

    def again() -> None:
        world.at(world.now, again)

    again()
    with pytest.raises(Violation, match="circles") as caught:
        run_out(world)
    assert caught.value.name == "progress"


def test_a_sleeper_does_everything_when_it_wakes() -> None:
    world = World()
    seen: list[Any] = []
    actor = nobody(world)
    actor.sleep(5.0)
    actor.at(1.0, lambda: seen.append(("a", world.now)))
    actor.at(2.0, lambda: seen.append(("b", world.now)))
    actor.at(6.0, lambda: seen.append(("c", world.now)))
    run_out(world)
    assert seen == [("a", 5.0), ("b", 5.0), ("c", 6.0)]


def test_a_new_life_forgets_what_was_planned() -> None:
    world = World()
    seen: list[Any] = []
    actor = nobody(world)
    actor.at(1.0, lambda: seen.append("old"))
    actor.new_life()
    actor.at(1.0, lambda: seen.append("new"))
    run_out(world)
    assert seen == ["new"]


class _Net:
    def __init__(self, world: World) -> None:
        self.world = world


@pytest.mark.parametrize("seed", range(20))
def test_the_network_keeps_order(seed: int) -> None:
    world = World()
    rules = FaultRules(latency=0.1, jitter=0.5, freeze_every=1.0, freeze_for=0.7)
    faults = FaultModel(rules, Random(seed)).link(0.0)
    link = SimLink(_Net(world), 1, None, 1, faults)  # type: ignore[arg-type]
    seen: list[int] = []
    for i in range(30):
        world.at(i * 0.1, partial(link.carry, Direction.UP, 10, partial(seen.append, i)))
    world.at(3.0, lambda: link.end(Direction.UP, lambda: seen.append(99)))
    world.at(3.1, lambda: link.carry(Direction.UP, 10, lambda: seen.append(100)))
    run_out(world)
    assert seen == [*range(30), 99]


def message(n: int) -> Message:
    return Message(n, Kind.SEND, "e", b'"x"')


@pytest.mark.parametrize("seed", range(30))
def test_a_crash_keeps_a_prefix(seed: int) -> None:
    world = World()
    owner = nobody(world)
    disk = Disk(Random(seed), 1.0)
    landed: list[int] = []
    effects = [
        Persist(message(1), 1025),
        Remember("s", "k"),
        Persist(message(2), 1025),
        Forget(1),
        MoveCursor("c", "E", 4),
        MoveCursor("c", "E", 5),
    ]
    committed: list[int] = []
    for i, effect in enumerate(effects):
        disk.write(owner, effect, partial(landed.append, i), partial(committed.append, i))
    world.at(seed / 20, owner.new_life)
    run_out(world)
    assert landed == list(range(len(landed)))
    assert committed == list(range(len(committed)))
    assert len(landed) <= len(committed)
    expected = Disk(Random(0), 0.0)
    for effect in effects[: len(committed)]:
        expected.apply(effect)
    assert disk.saved().cursors == expected.cursors
    assert (disk.session, sorted(disk.messages)) == (expected.session, sorted(expected.messages))
    assert disk.saved().next_number == (1025 if committed else 1)


@pytest.mark.parametrize("seed", range(20))
def test_late_answers_are_for_the_living(seed: int) -> None:
    plan = replace(draw(0, "restart-durable"), durable_broker=True, broker_seconds=1.0)
    world = World()
    store = Store(world, plan, Ledger(world, plan), Random(seed))
    node = nobody(world)
    done: list[int] = []
    told: list[int] = []
    for i in range(5):
        store.call(node, "c", partial(done.append, i), lambda _, i=i: told.append(i))  # type: ignore[arg-type, misc]

    def die() -> None:
        store.node_died(node)  # type: ignore[arg-type]
        node.new_life()

    world.at(1.0, die)
    run_out(world)
    assert done == list(range(len(done)))
    assert told == list(range(len(told)))
    assert len(told) <= len(done)


# what the ledger demands of an ack


def record_of(session: str, *, done: int, floor: int, results: dict[int, bytes]) -> SessionRecord:
    return SessionRecord(session, "k", "u", "i", 1, "n0", floor, done, done, results, [])


def test_an_ack_may_cover_holes_and_what_the_floor_has_passed_but_nothing_else() -> None:
    world = World()
    ledger = Ledger(world, replace(draw(0, "restart-durable"), copy_at=None))
    for n in (1, 2, 3, 5, 7):
        word = Word(f"w{n}", 0, 1, Kind.SEND, "s")
        ledger.sent(word)
        ledger.wrote("s", n, f'"{word.token}:"'.encode(), "c0#1")
    ledger.recorded(record_of("s", done=2, floor=4, results={5: b""}))
    ledger.said("s", "ack", 6)  # 3 is below the floor, 4 and 6 were never written, 5 is in the record
    with pytest.raises(Violation, match="ack 7 of session s was said before"):
        ledger.said("s", "ack", 7)
    with pytest.raises(Violation, match="fail 7 of session s was said before"):
        ledger.said("s", "fail", 7)
    ledger.recorded(record_of("s", done=2, floor=1, results={7: b""}))
    with pytest.raises(Violation, match="ack 7 of session s was said before"):
        ledger.said("s", "ack", 7)  # 7 is recorded, but 3 and 5 are not


@pytest.mark.parametrize(("scenario", "seed"), [("trimmed", 20), ("mix", 6471), ("mix", 9431)])
def test_acks_that_were_blamed_wrongly(scenario: str, seed: int) -> None:
    assert simulate(seed, scenario=scenario).violation is None


# the broker's steps


@pytest.mark.parametrize("seed", range(20))
def test_a_transaction_is_whole(seed: int) -> None:
    world = World()
    dice = Random(seed)
    done: list[int] = []
    told: list[int] = []
    transactions = Transactions(world, 1.0, dice, lambda _what: None)

    def ask(i: int) -> None:
        call = Call("c", partial(done.append, i), lambda _: None, lambda: None, writes=True)
        transactions.apply(call, lambda _: told.append(i))

    for i in range(30):
        world.at(i // 5 * 0.3, partial(ask, i))
    world.at(dice.uniform(0.0, 3.0), transactions.crash)
    before: list[int] = []
    world.at(2.0, lambda: before.extend(done))
    run_out(world)
    assert done == told == sorted(done)
    assert before == done[: len(before)]
    lost = sorted(set(range(30)) - set(done))
    assert lost == list(range(lost[0], lost[-1] + 1)) if lost else True
    assert len(lost) % 5 == 0


def told_of(ends: list[tuple[int, str]], i: int, _answer: object) -> None:
    ends.append((i, "told"))


def test_calls_fail_once_when_the_broker_dies() -> None:
    for seed in range(20):
        plan = replace(draw(0, "crash-points"), broker_seconds=0.3, commit_seconds=0.3)
        world = World()
        store = Store(world, plan, Ledger(world, plan), Random(seed))
        node = nobody(world)
        done: list[int] = []
        ends: list[tuple[int, str]] = []
        for i in range(8):
            told, failed = partial(told_of, ends, i), partial(ends.append, (i, "failed"))
            store.call(node, "c", partial(done.append, i), told, failed, writes=True)  # type: ignore[arg-type]
        world.at(seed / 20, store.die)
        world.at(2.0, store.come_back)
        run_out(world)
        assert sorted(i for i, _ in ends) == list(range(8))
        assert done == list(range(len(done)))
        assert {i for i, how in ends if how == "told"} <= set(done)


@pytest.mark.parametrize("seed", [851, 1571])
def test_schedules_that_found_something(seed: int) -> None:
    """A takeover whose answer was lost was taken for another node's; a dead process's unfollow hit the living."""
    assert simulate(seed, scenario="crash-points").violation is None
