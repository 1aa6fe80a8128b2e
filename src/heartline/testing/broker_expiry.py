"""Checks of records that a broker deletes by itself, after a time. See `heartline.testing.contracts`.

Invariants: with a clock that can be moved no check waits longer than `patience` (test_expiry_in_moved_time).
"""

import asyncio
from typing import Final

from .bench import Bench, Check, record


async def a_held_record_stays(bench: Bench) -> None:
    """What this node has written does not expire while the node runs, however long nothing is written."""
    ttl = _ttl(bench)
    await bench.swap(record("held"), None)
    for _ in range(8):
        await bench.pass_time(ttl / 3)
        await asyncio.sleep(0)
        assert await bench.load("held") is not None, "a record expired while the node that wrote it runs"
    assert await bench.swap(record("held", 2), 1) is True, "a record is there and cannot be written over"


async def an_unclaimed_record_expires(bench: Bench) -> None:
    """After a restart a record that nobody writes again is deleted after its time, and one that is written stays."""
    ttl = _ttl(bench)
    await bench.swap(record("left"), None)
    await bench.swap(record("claimed"), None)
    await bench.crash()
    assert await bench.load("left") is not None, "a record went with the crash"
    assert await bench.swap(record("claimed", 2), 1) is True, "a record cannot be taken over after a crash"
    for _ in range(8):
        await bench.pass_time(ttl / 3)
    try:
        async with asyncio.timeout(bench.patience):
            while await bench.load("left") is not None:  # noqa: ASYNC110 - a broker tells nobody
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"a record nobody holds is still there long after {ttl} s") from None
    assert await bench.load("claimed") is not None, "a record expired that a running node holds"


def _ttl(bench: Bench) -> float:
    if bench.session_ttl is None:
        raise TypeError("session_ttl must be the seconds after which the broker deletes a record")
    return bench.session_ttl


EXPIRY_CHECKS: Final[tuple[Check, ...]] = (a_held_record_stays, an_unclaimed_record_expires)
"""Checks that need `session_ttl`; the second of them `crash` too."""
