"""Checks of a broker's session records: compare-and-set, forgetting, release. See `heartline.testing.contracts`.

Invariant: each check leaves alone what another may have written (test_every_check_has_a_fresh_broker).
"""

from typing import Final

from .bench import NODE, Bench, Check, record


async def a_record_comes_back_whole(bench: Bench) -> None:
    """What was written is loaded with every field; of a session never written there is nothing."""
    assert await bench.load("s1") is None, "a record of a session nobody wrote"
    assert await bench.swap(record("s1"), None) is True, "the first write was refused"
    assert await bench.load("s1") == record("s1"), f"another record came back: {await bench.load('s1')}"
    assert await bench.load("s2") is None, "one session's record is another's"
    bare = record("s2", results={}, started=[], inbox_epoch="", identity="")
    assert await bench.swap(bare, None) is True, "a second session was refused"
    assert await bench.load("s2") == bare, "an empty record came back otherwise"
    assert await bench.load("s1") == record("s1"), "writing one session changed another"


async def swap_compares_the_generation(bench: Bench) -> None:
    """A record is written only over the generation expected; None means that none is stored."""
    assert await bench.swap(record("s", 2), 1) is False, "written over a record that is not there"
    assert await bench.load("s") is None, "refused, and written all the same"
    assert await bench.swap(record("s", 1), None) is True, "the first write was refused"
    assert await bench.swap(record("s", 9), None) is False, "None expected, and written over a record"
    assert await bench.swap(record("s", 9), 7) is False, "another generation expected, and written"
    assert await bench.load("s") == record("s", 1), "refused, and written all the same"
    assert await bench.swap(record("s", 1, done=5), 1) is True, "a write within the same generation was refused"
    assert await bench.swap(record("s", 2), 1) is True, "the next generation was refused"
    assert await bench.swap(record("s", 1, done=6), 1) is False, "an old owner wrote over a new one"
    assert await bench.load("s") == record("s", 2), "another record is stored than the last one written"


async def one_of_many_swaps_wins(bench: Bench) -> None:
    """Of many that take a session over at once exactly one does, and its record is the one stored."""
    for expected in (None, 1):
        generation = (expected or 0) + 1
        tries = [record("s", generation, owner=f"node-{i}") for i in range(20)]
        written = await bench.wait_all([bench.broker.swap(one, expected) for one in tries])
        assert written.count(True) == 1, f"{written.count(True)} of 20 swaps at once were written"
        assert await bench.load("s") == tries[written.index(True)], "a record is stored that was refused"


async def swaps_keep_their_order(bench: Bench) -> None:
    """Writes of one session that are begun at once take effect in the order of the calls."""
    await bench.swap(record("s", 1), None)
    tries = [record("s", 1, done=i) for i in range(20)]
    assert all(await bench.wait_all([bench.broker.swap(one, 1) for one in tries])), "a write of the owner was refused"
    assert await bench.load("s") == tries[-1], "an earlier write came after a later one"


async def forget_deletes_one_generation(bench: Bench) -> None:
    """A record is deleted if its generation is still the one named, and the answer tells whether it was."""
    forget = bench.broker.forget
    assert await bench.wait(forget("s")) is False, "deleted what is not there"
    await bench.swap(record("s", 3), None)
    await bench.swap(record("other", 3), None)
    assert await bench.wait(forget("s", 2)) is False, "another generation was deleted"
    assert await bench.load("s") == record("s", 3), "refused, and deleted all the same"
    assert await bench.wait(forget("s", 3)) is True, "this generation was not deleted"
    assert await bench.load("s") is None, "deleted, and still there"
    assert await bench.wait(forget("s", 3)) is False, "deleted twice"
    assert await bench.swap(record("s", 1), None) is True, "a forgotten session cannot be written anew"
    assert await bench.wait(forget("s")) is True, "None names any generation"
    assert await bench.load("other") == record("other", 3), "another session was forgotten too"


async def release_answers(bench: Bench) -> None:
    """Asking an owner that does not exist to let go is answered, and changes no record."""
    await bench.swap(record("s", 1, owner="gone"), None)
    answer = await bench.wait(bench.broker.release("s", "gone"))
    assert answer is True or answer is False, f"the answer is {answer!r}, not True or False"
    assert await bench.load("s") == record("s", 1, owner="gone"), "release changed the record"
    assert await bench.swap(record("s", 2, owner=NODE), 1) is True, "the session cannot be taken over after release"


RECORD_CHECKS: Final[tuple[Check, ...]] = (
    a_record_comes_back_whole,
    swap_compares_the_generation,
    one_of_many_swaps_wins,
    swaps_keep_their_order,
    forget_deletes_one_generation,
    release_answers,
)
