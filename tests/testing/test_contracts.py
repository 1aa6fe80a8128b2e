"""The contract suite: it lets good brokers pass, and each wrong one fails the check that is meant for it."""

import asyncio
import inspect
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from heartline.brokers.memory import MemoryBroker
from heartline.core.errors import BrokerError
from heartline.core.ports import Broker, History, Key, LogEntry, SessionRecord, Slice
from heartline.testing.bench import Bench
from heartline.testing.broker_channels import CHANNEL_CHECKS
from heartline.testing.broker_crashes import CRASH_CHECKS
from heartline.testing.broker_expiry import EXPIRY_CHECKS
from heartline.testing.broker_records import RECORD_CHECKS
from heartline.testing.contracts import BROKER_CHECKS, check_broker, run_check

names = itertools.count()


class Hand:
    """A clock that a check can move, of the broker made last."""

    now = 1_000_000.0

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Suspending:
    """A broker around another: every method suspends before it acts and before it answers."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self.durable = broker.durable
        self.trouble = broker.trouble

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._broker, name)

        async def call(*args: Any, **more: Any) -> Any:
            await asyncio.sleep(0)
            answer = method(*args, **more)
            await asyncio.sleep(0)
            return answer

        return call


@pytest.mark.parametrize(
    ("durable", "step", "wrap"),
    [(False, 1, None), (True, 7, None), (True, 1, Suspending), (False, 7, Suspending)],
)
def test_the_memory_broker_passes(durable: bool, step: int, wrap: Callable[[MemoryBroker], Broker] | None) -> None:
    hand = Hand()

    def make() -> Broker:
        broker = MemoryBroker(durable=durable, step=lambda: step, clock=lambda: hand.now)
        return wrap(broker) if wrap is not None else broker

    asyncio.run(check_broker(make, crash=lambda broker: broker if durable else None, advance=hand.advance))


def test_brokers_may_differ() -> None:
    # Uneven holes, a first offset far from 1, real time, and one that is made with a wait.
    steps = itertools.cycle([5, 1, 3])

    async def make() -> Broker:
        await asyncio.sleep(0)
        return MemoryBroker(epoch="E", step=lambda: next(steps))

    quick = [check for check in BROKER_CHECKS if check not in EXPIRY_CHECKS]
    asyncio.run(check_broker(make, checks=quick))


def test_a_broker_in_real_time_passes_the_check_of_ages() -> None:
    check = next(check for check in BROKER_CHECKS if check.__name__ == "history_by_age")
    asyncio.run(run_check(check, MemoryBroker))


def test_every_check_has_a_fresh_broker() -> None:
    made: list[MemoryBroker] = []
    seen: list[Broker] = []

    def make() -> Broker:
        made.append(MemoryBroker())
        return made[-1]

    async def look(bench: Bench) -> None:
        assert bench.announced == []
        seen.append(bench.broker)

    asyncio.run(check_broker(make, checks=[look, look, look]))
    assert seen == made
    assert len(made) == 3


def test_every_check_says_what_it_demands() -> None:
    shown = [check.__name__ for check in BROKER_CHECKS]
    assert len(set(shown)) == len(shown) == sum(map(len, (CHANNEL_CHECKS, RECORD_CHECKS, CRASH_CHECKS, EXPIRY_CHECKS)))
    assert all(inspect.getdoc(check) for check in BROKER_CHECKS)


# brokers that are wrong in one respect


class FirstOffsetZero(MemoryBroker):
    def append(
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> tuple[str, LogEntry]:
        epoch, entry = super().append(channel, event, data, history, key=key)
        return epoch, LogEntry(entry.offset - 1, max(0, entry.prev - 1), event, data, entry.at, epoch)


class Reordering(MemoryBroker):
    """Whoever comes later may overtake."""

    async def append(  # type: ignore[override]
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> tuple[str, LogEntry]:
        for _ in range(4 - int(data) % 4 if data.isdigit() else 0):
            await asyncio.sleep(0)
        return super().append(channel, event, data, history, key=key)


class Keyless(MemoryBroker):
    def append(
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> tuple[str, LogEntry]:
        return super().append(channel, event, data, history)


class KeyForAll(MemoryBroker):
    """A key counts in every channel."""

    def append(
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> tuple[str, LogEntry]:
        for (_, known), entry in self._keys.items():
            if known == key:
                return entry.epoch, entry
        return super().append(channel, event, data, history, key=key)


class RestlessEpoch(MemoryBroker):
    """A channel never used has another epoch each time."""

    def head(self, channel: str) -> tuple[str, int]:
        epoch, offset = super().head(channel)
        return (epoch if offset else f"{epoch}-{next(names)}"), offset


class Unheard(MemoryBroker):
    """Knows nothing of channels that were never used."""

    def head(self, channel: str) -> tuple[str, int]:
        if channel not in self._logs:
            raise KeyError(channel)
        return super().head(channel)


class Inclusive(MemoryBroker):
    def read(self, channel: str, after: int, limit: int, max_bytes: int) -> Slice:
        return super().read(channel, after - 1 if after else 0, limit, max_bytes)


class Counting(MemoryBroker):
    """Takes offsets for positions."""

    def read(self, channel: str, after: int, limit: int, max_bytes: int) -> Slice:
        piece = super().read(channel, 0, 1_000_000, 1 << 40)
        return Slice(piece.epoch, piece.entries[after : after + limit], piece.trimmed, piece.head, piece.kept)


class Stingy(MemoryBroker):
    """Gives nothing where the first entry is above the limit."""

    def read(self, channel: str, after: int, limit: int, max_bytes: int) -> Slice:
        piece = super().read(channel, after, limit, max_bytes)
        fits = piece.entries if not piece.entries or len(piece.entries[0].data) <= max_bytes else ()
        return Slice(piece.epoch, fits, piece.trimmed, piece.head, piece.kept)


class Generous(MemoryBroker):
    def read(self, channel: str, after: int, limit: int, max_bytes: int) -> Slice:
        return super().read(channel, after, limit + 1, max_bytes)


class LateFollower(MemoryBroker):
    """Says that it follows before it does."""

    async def follow(self, channel: str) -> None:  # type: ignore[override]
        follow = super().follow
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, loop.call_soon, lambda: follow(channel))


class Hasty(MemoryBroker):
    """Announces what it has not written yet."""

    async def append(  # type: ignore[override]
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> tuple[str, LogEntry]:
        epoch, head = self.head(channel)
        if channel in self._followed:
            for on_entry, _ in self._nodes.values():
                on_entry(channel, LogEntry(head + 1, head, event, data, 0.0, epoch))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        followed, self._followed = self._followed, {}
        try:
            return super().append(channel, event, data, history, key=key)
        finally:
            self._followed = followed


class Backwards(MemoryBroker):
    """Announces in pairs, the later one first."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[LogEntry] = []

    def start(self, node: str, on_entry: Callable[[str, LogEntry], None], on_release: Any) -> None:
        def swapped(channel: str, entry: LogEntry) -> None:
            self._kept.append(entry)
            if len(self._kept) == 2:
                for one in reversed(self._kept):
                    on_entry(channel, one)
                self._kept.clear()

        super().start(node, swapped, on_release)


class Nameless(MemoryBroker):
    """Announces entries without their epoch."""

    def start(self, node: str, on_entry: Callable[[str, LogEntry], None], on_release: Any) -> None:
        def bare(channel: str, entry: LogEntry) -> None:
            on_entry(channel, LogEntry(entry.offset, entry.prev, entry.event, entry.data, entry.at))

        super().start(node, bare, on_release)


class Clinging(MemoryBroker):
    def unfollow(self, channel: str) -> None:
        pass


class Hoarder(MemoryBroker):
    """Keeps what history lets go of."""

    def append(
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> tuple[str, LogEntry]:
        return super().append(channel, event, data, History(1_000_000, None, 1 << 40), key=key)


class Untold(MemoryBroker):
    """Lets go of entries and says nothing of it."""

    def read(self, channel: str, after: int, limit: int, max_bytes: int) -> Slice:
        piece = super().read(channel, after, limit, max_bytes)
        return Slice(piece.epoch, piece.entries, 0, piece.head, piece.kept)


class AlwaysKept(MemoryBroker):
    def read(self, channel: str, after: int, limit: int, max_bytes: int) -> Slice:
        piece = super().read(channel, after, limit, max_bytes)
        return Slice(piece.epoch, piece.entries, piece.trimmed, piece.head)


class OneEpoch(MemoryBroker):
    def drop(self, channel: str) -> None:
        self._logs.pop(channel, None)


class DropsAll(MemoryBroker):
    def drop(self, channel: str) -> None:
        for name in list(self._logs):
            super().drop(name)


class Small(MemoryBroker):
    def __init__(self) -> None:
        super().__init__(most_channels=500)


class LastWriteWins(MemoryBroker):
    def swap(self, record: SessionRecord, expected: int | None) -> bool:
        self._records[record.session] = record
        return True


class Blind(MemoryBroker):
    """Takes None for "whatever is there"."""

    def swap(self, record: SessionRecord, expected: int | None) -> bool:
        if expected is None:
            self._records[record.session] = record
            return True
        return super().swap(record, expected)


class Racing(MemoryBroker):
    """Compares, waits, sets."""

    async def swap(self, record: SessionRecord, expected: int | None) -> bool:  # type: ignore[override]
        stored = self._records.get(record.session)
        if (stored.generation if stored is not None else None) != expected:
            return False
        await asyncio.sleep(0)
        self._records[record.session] = record
        return True


class Shuffled(MemoryBroker):
    """Writes of one session overtake each other."""

    async def swap(self, record: SessionRecord, expected: int | None) -> bool:  # type: ignore[override]
        for _ in range(record.done % 3):
            await asyncio.sleep(0)
        return super().swap(record, expected)


class Lossy(MemoryBroker):
    """Leaves out what has not ended."""

    def load(self, session: str) -> SessionRecord | None:
        stored = super().load(session)
        if stored is None:
            return None
        fields = {name: getattr(stored, name) for name in stored.__struct_fields__}
        return SessionRecord(**(fields | {"started": []}))


class ForgetsAnything(MemoryBroker):
    def forget(self, session: str, generation: int | None = None) -> bool:
        return super().forget(session)


class ReleasesNobody(MemoryBroker):
    def release(self, session: str, owner: str) -> bool:
        raise BrokerError("no such owner")


class OneInboxEpoch(MemoryBroker):
    def _epoch_of(self, channel: str) -> str:
        return super()._epoch_of(channel) if channel not in ("@s1", "@s2") else self._epoch


class LongInboxEpoch(MemoryBroker):
    def _epoch_of(self, channel: str) -> str:
        return f"{super()._epoch_of(channel)}{channel}"


class LastingCompanion(MemoryBroker):
    """Takes a companion channel for an inbox, which does not come again."""

    def drop(self, channel: str) -> None:
        if channel.startswith("@"):
            self._logs.pop(channel, None)
        else:
            super().drop(channel)


class Gloomy(MemoryBroker):
    trouble = "the disk was full yesterday"


WRONG: list[tuple[type[MemoryBroker], str]] = [
    (FirstOffsetZero, "offsets_rise"),
    (Reordering, "appends_keep_their_order"),
    (Keyless, "a_key_makes_one_entry"),
    (KeyForAll, "a_key_makes_one_entry"),
    (RestlessEpoch, "an_unused_channel_has_a_head"),
    (Unheard, "an_unused_channel_has_a_head"),
    (Inclusive, "read_begins_behind_after"),
    (Stingy, "read_keeps_its_limits"),
    (Generous, "read_keeps_its_limits"),
    (LateFollower, "following_leaves_no_hole"),
    (Hasty, "announced_means_readable"),
    (Backwards, "what_is_announced_is_what_was_appended"),
    (Nameless, "what_is_announced_is_what_was_appended"),
    (Clinging, "unfollowed_is_silent"),
    (Hoarder, "history_by_count"),
    (Hoarder, "history_by_bytes"),
    (Hoarder, "history_none"),
    (Untold, "history_by_count"),
    (AlwaysKept, "history_none"),
    (OneEpoch, "a_drop_begins_another_epoch"),
    (DropsAll, "a_drop_begins_another_epoch"),
    (Small, "a_hundred_thousand_channels"),
    (OneInboxEpoch, "inboxes_have_epochs_of_their_own"),
    (LongInboxEpoch, "inboxes_have_epochs_of_their_own"),
    (LastingCompanion, "presence_is_a_channel"),
    (Gloomy, "all_is_well_after_a_write"),
    (Small, "a_thousand_are_followed"),
    (Lossy, "a_record_comes_back_whole"),
    (LastWriteWins, "swap_compares_the_generation"),
    (Blind, "swap_compares_the_generation"),
    (Racing, "one_of_many_swaps_wins"),
    (Shuffled, "swaps_keep_their_order"),
    (ForgetsAnything, "forget_deletes_one_generation"),
    (ReleasesNobody, "release_answers"),
]


@pytest.mark.parametrize(("wrong", "caught_by"), WRONG)
def test_a_wrong_broker_is_caught(wrong: type[MemoryBroker], caught_by: str) -> None:
    check = next(check for check in BROKER_CHECKS if check.__name__ == caught_by)
    with pytest.raises(AssertionError, match=f"^{caught_by}: "):
        asyncio.run(run_check(check, wrong, patience=1.0))
    if caught_by != "a_hundred_thousand_channels":
        with pytest.raises(AssertionError):
            asyncio.run(check_broker(wrong, patience=1.0))


def test_one_that_counts_offsets_is_caught_where_there_are_holes() -> None:
    with pytest.raises(AssertionError, match=r"^offsets_rise: reading stops|^read_begins_behind_after: "):
        asyncio.run(check_broker(lambda: Counting(step=lambda: 3)))


def test_every_check_catches_somebody() -> None:
    caught = {name for _, name in WRONG}
    shown = {check.__name__ for check in BROKER_CHECKS}
    below = {"head_is_the_last_entry", "history_by_age"}  # with a clock and a head of their own
    elsewhere = {check.__name__ for check in (*CRASH_CHECKS, *EXPIRY_CHECKS)}  # test_contract_crashes.py
    assert shown - caught == below | elsewhere


class OldHead(MemoryBroker):
    def head(self, channel: str) -> tuple[str, int]:
        epoch, offset = super().head(channel)
        return epoch, max(0, offset - 1)


class Ageless(MemoryBroker):
    def append(
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> tuple[str, LogEntry]:
        return super().append(channel, event, data, History(history.entries, None, history.bytes), key=key)


def test_an_old_head_and_an_endless_age_are_caught() -> None:
    hand = Hand()
    with pytest.raises(AssertionError, match=r"^head_is_the_last_entry: "):
        asyncio.run(check_broker(OldHead))
    with pytest.raises(AssertionError, match=r"^history_by_age: "):
        asyncio.run(check_broker(lambda: Ageless(clock=lambda: hand.now), advance=hand.advance))


def test_an_announcement_out_of_order_is_caught() -> None:
    check = next(c for c in BROKER_CHECKS if c.__name__ == "what_is_announced_is_what_was_appended")
    with pytest.raises(AssertionError, match=r"^what_is_announced_is_what_was_appended: announced otherwise"):
        asyncio.run(run_check(check, Backwards))


def test_a_broker_that_never_answers_is_caught() -> None:
    class Silent(MemoryBroker):
        async def head(self, channel: str) -> tuple[str, int]:  # type: ignore[override]
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

    with pytest.raises(AssertionError, match=r"^an_unused_channel_has_a_head: no answer within 0\.05 s"):
        asyncio.run(check_broker(Silent, patience=0.05))


def test_a_failure_names_its_check() -> None:
    class Broken(MemoryBroker):
        def start(self, node: str, on_entry: Any, on_release: Any) -> None:
            raise BrokerError("no disk")

    async def one_of_my_own(bench: Bench) -> None:
        raise RuntimeError("not even an assertion")

    with pytest.raises(AssertionError, match=r"^offsets_rise: BrokerError: no disk") as caught:
        asyncio.run(check_broker(Broken))
    assert isinstance(caught.value.__cause__, BrokerError)
    with pytest.raises(AssertionError, match=r"^one_of_my_own: RuntimeError: not even"):
        asyncio.run(check_broker(MemoryBroker, checks=[one_of_my_own]))
