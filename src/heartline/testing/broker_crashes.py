"""Checks of what a durable broker keeps over crashes and restarts. See `heartline.testing.contracts`.

Invariants: a check demands only what was answered or announced before the crash, and of the rest that it is a prefix
(test_brokers_that_write_in_groups_pass).
"""

import asyncio
from itertools import pairwise
from typing import Final

from heartline.core.ports import History, LogEntry

from .bench import Bench, Check, record

CRASH_POINTS: Final = (0, 1, 2, 3, 5, 8)
"""Turns of the event loop between the calls and the crash: before, among and after the answers."""


def _shown(entries: list[LogEntry]) -> list[tuple[int, int, str, bytes]]:
    return [(e.offset, e.prev, e.event, e.data) for e in entries]


async def _some_turns(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    if turns > CRASH_POINTS[-2]:
        await asyncio.sleep(0.005)  # a disk's turn


async def what_was_answered_survives(bench: Bench) -> None:
    """Entries that append told of are there after a crash, with the same head, trimming and chain."""
    kept = await bench.fill("crash/a", 12)
    short = await bench.fill("crash/short", 12, History(5))
    none = await bench.fill("crash/none", 5, History(0))
    before = await bench.read("crash/short")
    await bench.crash()
    assert _shown(await bench.read_all("crash/a")) == _shown(kept), "entries that were acknowledged are not there"
    for channel, entries in (("crash/a", kept), ("crash/short", short), ("crash/none", none)):
        assert await bench.head(channel) == (entries[-1].epoch, entries[-1].offset), f"the head of {channel} moved"
    after = await bench.read("crash/short")
    assert _shown(list(after.entries)) == _shown(list(before.entries)), "another piece of history is kept"
    assert after.trimmed == before.trimmed, f"`trimmed` was {before.trimmed} and is {after.trimmed}"
    fresh = await bench.append("crash/a")
    assert (fresh.prev, fresh.offset > kept[-1].offset) == (kept[-1].offset, True), "the log does not go on"


async def epochs_survive(bench: Bench) -> None:
    """The epoch of a channel is the same after crashes and restarts: of one used, one never used, an inbox."""
    await bench.append("crash/a")
    await bench.append("@crash")
    heads = {channel: await bench.head(channel) for channel in ("crash/a", "crash/unused", "@crash")}
    for again in (bench.crash, bench.restart, bench.crash):
        await again()
        for channel, head in heads.items():
            assert await bench.head(channel) == head, (
                f"the head of {channel} was {head}, is {await bench.head(channel)}"
            )


async def a_drop_survives(bench: Bench) -> None:
    """A channel that was dropped is empty after a crash too, under the epoch that it has had since."""
    old = await bench.append("crash/a", key="k")
    await bench.wait(bench.broker.drop("crash/a"))
    await bench.crash()
    epoch, head = await bench.head("crash/a")
    assert epoch != old.epoch, "a dropped channel has its old epoch again"
    assert head == 0, f"a dropped channel has the head {head}"
    new = await bench.append("crash/a", b"9", key="k")
    assert (new.epoch, new.data) == (epoch, b"9"), "the key of a dropped log counts again"
    await bench.crash()
    assert await bench.head("crash/a") == (epoch, new.offset), "the epoch after a drop did not last"


async def keys_survive(bench: Bench) -> None:
    """A key counts after a crash: of an application's own word, and of a client's message; answered or not."""
    for key in ("k", ("session", 7)):
        channel = f"crash/{key[0]}"
        first = await bench.append(channel, b"1", key=key)
        begun = bench.begin(bench.broker.append(channel, "e", b"2", History(), key=("session", 8)))
        await asyncio.sleep(0)
        await bench.crash()
        again = await bench.append(channel, b"3", key=key)
        assert _shown([again]) == _shown([first]), f"the key {key!r} was forgotten"
        repeat = await bench.append(channel, b"2", key=("session", 8))
        answers = [answer for answer in bench.told([begun]) if answer is not None]
        assert all(entry.offset == repeat.offset for _, entry in answers), "an answered key made another entry"
        assert [e.data for e in await bench.read_all(channel)] == [b"1", b"2"], "a repeated key made another entry"


async def what_was_begun_is_a_prefix(bench: Bench) -> None:
    """Wherever a crash falls, what was answered or announced is there, and of the rest the first calls, in order.

    No offset is given twice, and the next entry is behind all.
    """
    channels = ("crash/a", "crash/b")
    calls: dict[str, list[bytes]] = {channel: [] for channel in channels}
    seen: dict[str, dict[int, bytes]] = {channel: {} for channel in channels}
    for turn, point in enumerate(CRASH_POINTS):
        for channel in channels:
            await bench.follow(channel)
        names = [(channels[i % 2], b"%d" % (turn * 100 + i)) for i in range(40)]
        begun = [bench.begin(bench.broker.append(name, "e", data, History())) for name, data in names]
        for name, data in names:
            calls[name].append(data)
        await _some_turns(point)
        certain = {name: {e.offset: e.data for e in bench.heard(name)} for name in channels}
        answers: list[tuple[str, LogEntry] | None] = bench.told(begun)
        for (name, _), answer in zip(names, answers, strict=True):
            if answer is not None:
                certain[name][answer[1].offset] = answer[1].data
        await bench.crash()
        for channel in channels:
            logged = await bench.read_all(channel)
            now = {entry.offset: entry.data for entry in logged}
            for offset, data in (seen[channel] | certain[channel]).items():
                assert now.get(offset) == data, (
                    f"offset {offset} of {channel} was told as {data!r} and is {now.get(offset)!r} after a crash"
                )
            mine = [data for data in calls[channel] if data in now.values()]
            assert [e.data for e in logged] == mine, f"out of order: {[e.data for e in logged]}"
            round_calls = calls[channel][-20:]
            there = [data in now.values() for data in round_calls]
            assert there == sorted(there, reverse=True), f"a hole among what was begun before a crash: {there}"
            calls[channel] = mine
            assert all(old.offset < new.offset and new.prev == old.offset for old, new in pairwise(logged)), "no chain"
            next_one = await bench.append(channel, b"%d" % (turn * 100 + 99))
            assert next_one.offset > max(now, default=0), "an offset was given twice, or went back"
            calls[channel].append(next_one.data)
            seen[channel] = now | {next_one.offset: next_one.data}


async def records_survive_whole(bench: Bench) -> None:
    """A record that swap told of is there after a crash; of later ones, the last that was written, whole."""
    await bench.swap(record("s", 1), None)
    await bench.swap(record("gone", 1), None)
    await bench.wait(bench.broker.forget("gone", 1))
    stored = record("s", 1)
    for point in CRASH_POINTS:
        tries = [stored]  # and twelve writes, each third by another owner
        tries += [
            record("s", stored.generation + i // 3, done=stored.done + i, received=stored.done + i + 9)
            for i in range(1, 13)
        ]
        begun = [bench.begin(bench.broker.swap(new, old.generation)) for old, new in pairwise(tries)]
        await _some_turns(point)
        told: list[bool | None] = bench.told(begun)
        last = max((i for i, written in enumerate(told, 1) if written), default=0)
        await bench.crash()
        found = await bench.load("s")
        assert found in tries[last:], f"after a crash the record is {found}, acknowledged was {tries[last]}"
        assert await bench.load("gone") is None, "a record that was forgotten is back"
        stored = found
    assert await bench.swap(record("s", stored.generation + 5), stored.generation - 1) is False, "compares no more"
    assert await bench.swap(record("s", stored.generation + 1), stored.generation) is True, "cannot be taken over"


async def a_stop_loses_nothing(bench: Bench) -> None:
    """What was begun before stop and answered, before or during it, is there when the broker starts again."""
    begun = [bench.begin(bench.broker.append("stop/a", "e", b"%d" % i, History())) for i in range(30)]
    swapped = bench.begin(bench.broker.swap(record("s", 1), None))
    await asyncio.sleep(0)
    await bench.stop()
    await asyncio.wait(begun, timeout=bench.patience)
    await asyncio.wait([swapped], timeout=bench.patience)
    told = [answer[1] for answer in bench.told(begun) if answer is not None]
    written = bench.told([swapped])[0]
    await bench.crash()
    logged = await bench.read_all("stop/a")
    assert [e for e in _shown(told) if e not in _shown(logged)] == [], "acknowledged before the end of stop, and lost"
    assert written is not True or await bench.load("s") == record("s", 1), "a record was lost by stopping"
    kept = await bench.fill("stop/b", 3)
    await bench.restart()
    assert _shown(await bench.read_all("stop/b")) == _shown(kept), "a stop lost entries"
    await bench.restart()
    assert (await bench.append("stop/b")).prev == kept[-1].offset, "after two restarts the log does not go on"


CRASH_CHECKS: Final[tuple[Check, ...]] = (
    what_was_answered_survives,
    epochs_survive,
    a_drop_survives,
    keys_survive,
    what_was_begun_is_a_prefix,
    records_survive_whole,
    a_stop_loses_nothing,
)
"""Checks that need `crash`; `check_broker` leaves them out for brokers that are not durable."""
