"""Checks of a broker's channels: order, reading, following, history, epochs. See `heartline.testing.contracts`.

Invariant: a check demands nothing that `heartline.core.ports` does not promise (test_brokers_may_differ).
"""

import asyncio
from itertools import pairwise
from typing import Final

from heartline.core.ports import History, LogEntry

from .bench import Bench, Check


def _offsets(entries: list[LogEntry]) -> list[int]:
    return [entry.offset for entry in entries]


def _shown(entries: list[LogEntry]) -> list[tuple[int, int, str, bytes]]:
    return [(entry.offset, entry.prev, entry.event, entry.data) for entry in entries]


def _is_chain(entries: list[LogEntry]) -> bool:
    """Whether offsets rise and each entry names the one before it."""
    return all(old.offset < new.offset and new.prev == old.offset for old, new in pairwise(entries))


async def offsets_rise(bench: Bench) -> None:
    """Offsets begin at 1 or above and rise, each entry names the one before, and what was given comes back."""
    entries = await bench.fill("order/a", 20)
    assert entries[0].offset >= 1, f"the first offset is {entries[0].offset}"
    assert entries[0].prev == 0, f"prev of the first entry is {entries[0].prev}, not 0"
    assert _is_chain(entries), f"not a chain of rising offsets: {[(e.prev, e.offset) for e in entries]}"
    assert [e.data for e in entries] == [b"%d" % i for i in range(20)], "append answers with other data"
    assert {e.event for e in entries} == {"e"}, "append answers with another event"
    read = await bench.read_all("order/a")
    assert [(e.offset, e.prev, e.event, e.data) for e in read] == [
        (e.offset, e.prev, e.event, e.data) for e in entries
    ], "the log has other entries than append told of"


async def appends_keep_their_order(bench: Bench) -> None:
    """Many appends begun at once, over several channels, take effect in the order of the calls."""
    calls = [(f"order/{i % 3}", b"%d" % i) for i in range(90)]
    answers = await bench.wait_all([bench.broker.append(channel, "e", data, History()) for channel, data in calls])
    for channel in ("order/0", "order/1", "order/2"):
        mine = [entry for (name, _), (_, entry) in zip(calls, answers, strict=True) if name == channel]
        assert _is_chain(mine), f"answers out of order: {_offsets(mine)}"
        logged = [e.data for e in await bench.read_all(channel)]
        assert logged == [data for name, data in calls if name == channel], f"the log is out of order: {logged}"


async def a_key_makes_one_entry(bench: Bench) -> None:
    """The same key again returns the entry there is; the key is the channel's own."""
    await bench.follow("key/a")
    first = await bench.append("key/a", b"1", key="k")
    assert await bench.append("key/a", b"2", key="k") == first, "the same key made another entry"
    other = await bench.append("key/a", b"3", key="l")
    assert other.offset > first.offset, "another key made no entry"
    assert await bench.append("key/a", b"4", key="k") == first, "a key was forgotten at once"
    assert (await bench.append("key/b", b"5", key="k")).data == b"5", "a key of one channel counts in another"
    at_once = await bench.wait_all([bench.broker.append("key/c", "e", b"%d" % i, History(), key="k") for i in range(9)])
    assert len({entry.offset for _, entry in at_once}) == 1, "one key, begun many times at once, made several entries"
    assert [e.data for e in await bench.read_all("key/a")] == [b"1", b"3"], "the log has entries nobody was told of"
    await bench.hears("key/a", other.offset)
    assert [e.data for e in bench.heard("key/a")] == [b"1", b"3"], "a repeated key was announced"


async def an_unused_channel_has_a_head(bench: Bench) -> None:
    """A channel never used has an epoch and the offset 0, and its first entry is of that epoch."""
    epoch, offset = await bench.head("unused/a")
    assert offset == 0, f"the head of an unused channel is {offset}"
    assert 1 <= len(epoch) <= 64, f"an epoch has 1 to 64 characters, not {len(epoch)}"
    piece = await bench.read("unused/a")
    assert (piece.epoch, list(piece.entries), piece.trimmed, piece.head) == (epoch, [], 0, 0), "reading it differs"
    assert (await bench.append("unused/a")).epoch == epoch, "the first entry begins another epoch than head told"


async def head_is_the_last_entry(bench: Bench) -> None:
    """The head is the offset of the last entry, whatever happens in other channels."""
    for _ in range(3):
        entry = await bench.append("head/a")
        await bench.append("head/b")
        await bench.append("head/b")
        assert await bench.head("head/a") == (entry.epoch, entry.offset), "the head is not the last entry"
        assert (await bench.read("head/a", 0, 1)).head == entry.offset, "read tells another head"


async def read_begins_behind_after(bench: Bench) -> None:
    """Reading gives exactly what lies behind `after`, also where no entry has that offset."""
    offsets = _offsets(await bench.fill("read/a", 8))
    for after in {0, *offsets, *(offset - 1 for offset in offsets), offsets[-1] + 5}:
        piece = await bench.read("read/a", after)
        expected = [offset for offset in offsets if offset > after]
        assert _offsets(list(piece.entries)) == expected, f"behind {after}: {_offsets(list(piece.entries))}"
        assert piece.trimmed == 0, f"nothing was trimmed, but `trimmed` is {piece.trimmed}"
        assert piece.head == offsets[-1], f"the head is {offsets[-1]}, not {piece.head}"
        assert piece.kept, "history is kept here"


async def read_keeps_its_limits(bench: Bench) -> None:
    """At most `limit` entries and about `max_bytes`, but at least one if there is one; reading on reaches the head."""
    offsets = _offsets(await bench.fill("limit/a", 12, size=1000))
    for limit in (1, 5, 12, 50):
        piece = await bench.read("limit/a", 0, limit)
        assert _offsets(list(piece.entries)) == offsets[: min(limit, 12)], (
            f"limit {limit}: {len(piece.entries)} entries"
        )
    for max_bytes in (1, 1000, 3500):
        piece = await bench.read("limit/a", 0, 50, max_bytes)
        size = sum(len(entry.data) for entry in piece.entries)
        assert piece.entries, f"max_bytes {max_bytes}: no entry, though there is one"
        assert size <= max_bytes + 1000, f"max_bytes {max_bytes}: {size} bytes"
    assert _offsets(await bench.read_all("limit/a", limit=5)) == offsets, "reading on by count skips something"
    assert _offsets(await bench.read_all("limit/a", max_bytes=2500)) == offsets, "reading on by bytes skips something"


async def following_leaves_no_hole(bench: Bench) -> None:
    """Follow, then ask for the head: what lies up to it can be read, everything behind it is announced, in order."""
    channel = "live/a"
    await bench.fill(channel, 10)

    async def write() -> None:
        for i in range(10, 60):
            await bench.append(channel, b"%d" % i)
            await asyncio.sleep(0)

    writer = asyncio.create_task(write())
    try:
        await asyncio.sleep(0)
        await bench.follow(channel)
        _, head = await bench.head(channel)
        await writer
    finally:
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
    last = (await bench.append(channel, b"60")).offset
    await bench.hears(channel, last)
    past = [entry for entry in await bench.read_all(channel) if entry.offset <= head]
    live = [entry for entry in bench.heard(channel) if entry.offset > head]
    assert [e.data for e in past + live] == [b"%d" % i for i in range(61)], (
        f"{len(past)} entries up to the head {head}, {len(live)} announced behind it: not each once and in order"
    )


async def what_is_announced_is_what_was_appended(bench: Bench) -> None:
    """Followers get entries as append told of them, each once, in order, with their epoch; nobody else's."""
    await bench.follow("live/a")
    answers = await bench.wait_all([bench.broker.append("live/a", "e", b"%d" % i, History()) for i in range(40)])
    await bench.append("live/b")
    entries = [entry for _, entry in answers]
    await bench.hears("live/a", entries[-1].offset)
    shown = [(e.offset, e.prev, e.event, e.data, e.epoch) for e in bench.heard("live/a")]
    assert shown == [(e.offset, e.prev, e.event, e.data, e.epoch) for e in entries], "announced otherwise than appended"
    assert not bench.heard("live/b"), "a channel was announced that nobody follows"


async def announced_means_readable(bench: Bench) -> None:
    """An entry is announced only after it can be read."""
    looks: list[asyncio.Task[bool]] = []

    async def look(entry: LogEntry) -> bool:
        return entry.offset in _offsets(list((await bench.read("live/a", entry.prev)).entries))

    bench.on_announced = lambda _channel, entry: looks.append(asyncio.ensure_future(look(entry)))
    await bench.follow("live/a")
    for entry in await bench.fill("live/a", 10):
        await bench.hears("live/a", entry.offset)
    assert all(await asyncio.gather(*looks)), "an entry was announced before it could be read"


async def unfollowed_is_silent(bench: Bench) -> None:
    """After unfollow nothing of the channel is announced; following it again begins anew."""
    await bench.follow("live/a")
    await bench.follow("live/mark")
    await bench.hears("live/a", (await bench.append("live/a", b"1")).offset)
    await bench.unfollow("live/a")
    await bench.unfollow("live/never")
    await bench.append("live/a", b"2")
    await bench.hears("live/mark", (await bench.append("live/mark")).offset)
    assert [e.data for e in bench.heard("live/a")] == [b"1"], "announced after unfollow"
    await bench.follow("live/a")
    await bench.hears("live/a", (await bench.append("live/a", b"3")).offset)
    assert bench.heard("live/a")[-1].data == b"3", "followed again, and not announced"


async def history_by_count(bench: Bench) -> None:
    """Of a channel that keeps 10 entries the last 10 are there; `trimmed` says what is not."""
    offsets = _offsets(await bench.fill("kept/a", 25, History(10)))
    piece = await bench.read("kept/a")
    assert _offsets(list(piece.entries)) == offsets[-10:], f"{len(piece.entries)} entries are kept, not the last 10"
    assert offsets[14] <= piece.trimmed < offsets[15], f"`trimmed` is {piece.trimmed}, the first kept {offsets[15]}"
    assert piece.head == offsets[-1], "the head is another"
    assert piece.kept, "history is kept here"


async def history_by_bytes(bench: Bench) -> None:
    """Data kept are never more than the bytes allowed; the newest are kept."""
    offsets = _offsets(await bench.fill("kept/a", 30, History(1000, bytes=8000), size=1000))
    piece = await bench.read("kept/a")
    count = len(piece.entries)
    assert 1 <= count <= 8, f"{count} entries of 1000 bytes are kept where 8000 bytes may be"
    assert _offsets(list(piece.entries)) == offsets[-count:], "not the newest are kept"
    assert offsets[-count - 1] <= piece.trimmed < offsets[-count], f"`trimmed` is {piece.trimmed}"


async def history_by_age(bench: Bench) -> None:
    """What is older than `age` can be read no more, and is named by `trimmed`; the head stays."""
    age = 0.2 if bench.advance is None else 60.0
    last = (await bench.fill("kept/a", 5, History(100, age)))[-1]
    passed, most = 0.0, 2 * age if bench.advance is not None else age + bench.patience
    piece = await bench.read("kept/a")
    while piece.entries and passed < most:
        await bench.pass_time(age * 1.01)
        passed += age
        piece = await bench.read("kept/a")
    assert not piece.entries, f"{len(piece.entries)} entries are older than {age} s and still there"
    assert (piece.trimmed, piece.head) == (last.offset, last.offset), "trimmed and head are not the last entry"
    assert await bench.head("kept/a") == (last.epoch, last.offset), "the head went with the entries"
    fresh = await bench.append("kept/a", history=History(100, age))
    assert fresh.prev == last.offset, "the next entry does not name the one before"


async def history_none(bench: Bench) -> None:
    """A channel without history has a head and gaps only, and is announced all the same."""
    await bench.follow("none/a")
    entries = await bench.fill("none/a", 5, History(0))
    head = entries[-1].offset
    assert _is_chain(entries), "offsets do not rise"
    piece = await bench.read("none/a")
    assert not piece.entries, "entries are kept that should not be"
    assert (piece.trimmed, piece.head, piece.kept) == (head, head, False), (
        f"trimmed {piece.trimmed}, head {piece.head}, kept {piece.kept} instead of {head}, {head}, False"
    )
    assert await bench.head("none/a") == (entries[-1].epoch, head), "the head did not move"
    await bench.hears("none/a", head)
    assert _offsets(bench.heard("none/a")) == _offsets(entries), "not every entry was announced"


async def a_drop_begins_another_epoch(bench: Bench) -> None:
    """An epoch stays while the log does; a dropped channel begins anew under another one, its keys too."""
    await bench.follow("drop/a")
    old = await bench.append("drop/a", key="k")
    await bench.append("drop/b")
    kept = await bench.head("drop/b")
    for _ in range(3):
        epochs = {
            (await bench.head("drop/a"))[0],
            (await bench.read("drop/a")).epoch,
            (await bench.append("drop/a")).epoch,
        }
        assert epochs == {old.epoch}, f"the epoch changed though nothing was dropped: {sorted({old.epoch, *epochs})}"
    await bench.wait(bench.broker.drop("drop/a"))
    epoch, head = await bench.head("drop/a")
    assert epoch != old.epoch, "a dropped channel has the same epoch again"
    assert head == 0, f"a dropped channel has the head {head}"
    piece = await bench.read("drop/a")
    assert (piece.epoch, list(piece.entries), piece.head) == (epoch, [], 0), "a dropped channel still has entries"
    new = await bench.append("drop/a", b"9", key="k")
    assert (new.epoch, new.data, new.prev) == (epoch, b"9", 0), "the key of a dropped log still counts"
    await bench.hears("drop/a", new.offset)
    assert (await bench.read("drop/a")).epoch == epoch, "the epoch moves from reading to reading"
    assert await bench.head("drop/b") == kept, "another channel was dropped too"


async def inboxes_have_epochs_of_their_own(bench: Bench) -> None:
    """An inbox is a channel, and its epoch is no other inbox's: an entry is known by ("@", epoch, offset)."""
    names = ["@s1", "@s2", f"@{'x' * 63}1", f"@{'x' * 63}2"]
    epochs = {name: (await bench.head(name))[0] for name in names}
    assert len(set(epochs.values())) == len(names), f"two inboxes share an epoch: {sorted(epochs.values())}"
    assert all(1 <= len(epoch) <= 64 for epoch in epochs.values()), "an epoch has 1 to 64 characters"
    for name in names:
        entries = await bench.fill(name, 3)
        assert {e.epoch for e in entries} == {epochs[name]}, "an inbox begins another epoch than head told"
        assert _shown(await bench.read_all(name)) == _shown(entries), "an inbox has other entries than were appended"


async def presence_is_a_channel(bench: Bench) -> None:
    """The companion `@who/<channel>` is a log of its own, which can be followed and dropped like any."""
    await bench.follow("@who/room/1")
    beside = await bench.append("room/1", b"1")
    entries = await bench.fill("@who/room/1", 3)
    await bench.hears("@who/room/1", entries[-1].offset)
    assert _shown(bench.heard("@who/room/1")) == _shown(entries), "announced otherwise than appended"
    assert _shown(await bench.read_all("@who/room/1")) == _shown(entries), "the log has other entries"
    assert await bench.head("room/1") == (beside.epoch, beside.offset), "the channel and its companion are one log"
    await bench.wait(bench.broker.drop("@who/room/1"))
    epoch, head = await bench.head("@who/room/1")
    assert (epoch != entries[0].epoch, head) == (True, 0), "a companion that was dropped did not begin anew"
    assert await bench.head("room/1") == (beside.epoch, beside.offset), "the channel was dropped with its companion"


async def all_is_well_after_a_write(bench: Bench) -> None:
    """`trouble` is words for a person, and there are none once a write was acknowledged."""
    await bench.append("well/a")
    trouble = bench.broker.trouble
    assert isinstance(trouble, str), f"`trouble` is {trouble!r}, not a str"
    assert not trouble, f"a write was acknowledged, and the trouble is {trouble!r}"


async def a_hundred_thousand_channels(bench: Bench) -> None:
    """So many channels of one entry each are there, each with its own."""
    for start in range(0, 100_000, 5000):
        names = range(start, start + 5000)
        await bench.wait_all([bench.broker.append(f"many/{i}", "e", b"%d" % i, History(10)) for i in names])
    for i in range(0, 100_000, 997):
        assert [e.data for e in await bench.read_all(f"many/{i}")] == [b"%d" % i], f"channel {i} has other entries"


async def a_thousand_are_followed(bench: Bench) -> None:
    """So many channels are followed at once, and each is announced."""
    names = [f"many/{i}" for i in range(1000)]
    await bench.wait_all([bench.broker.follow(name) for name in names])
    answers = await bench.wait_all([bench.broker.append(name, "e", b"1", History(10)) for name in names])
    for name, (_, entry) in zip(names, answers, strict=True):
        await bench.hears(name, entry.offset)
    assert len(bench.announced) == 1000, f"{len(bench.announced)} announcements of 1000 entries"


CHANNEL_CHECKS: Final[tuple[Check, ...]] = (
    offsets_rise,
    appends_keep_their_order,
    a_key_makes_one_entry,
    an_unused_channel_has_a_head,
    head_is_the_last_entry,
    read_begins_behind_after,
    read_keeps_its_limits,
    following_leaves_no_hole,
    what_is_announced_is_what_was_appended,
    announced_means_readable,
    unfollowed_is_silent,
    history_by_count,
    history_by_bytes,
    history_by_age,
    history_none,
    a_drop_begins_another_epoch,
    inboxes_have_epochs_of_their_own,
    presence_is_a_channel,
    all_is_well_after_a_write,
    a_thousand_are_followed,
    a_hundred_thousand_channels,
)
