"""The contract of durable brokers: good ones pass over crashes and restarts, each wrong one fails its check."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from heartline.brokers.memory import MemoryBroker
from heartline.core.errors import BrokerError
from heartline.core.ports import Broker, History, Key, LogEntry, MaybeAwaitable, SessionRecord
from heartline.testing.bench import Bench
from heartline.testing.broker_crashes import CRASH_CHECKS
from heartline.testing.broker_expiry import EXPIRY_CHECKS
from heartline.testing.contracts import BROKER_CHECKS, check_broker, run_check

LATE_CHECKS = (*CRASH_CHECKS, *EXPIRY_CHECKS)


class Grouping:
    """A durable broker that writes in groups: calls wait for the next commit and are answered a turn after it."""

    durable = True
    trouble = ""
    group = 7

    def __init__(self, disk: MemoryBroker | None = None) -> None:
        self.disk = disk if disk is not None else MemoryBroker(durable=True)
        self._waiting: deque[tuple[str, tuple[Any, ...], dict[str, Any], asyncio.Future[Any]]] = deque()
        self._gone = False
        self._planned = False

    def start(self, node: str, on_entry: Any, on_release: Any) -> None:
        self.disk.start(node, on_entry, on_release)

    def stop(self) -> None:
        while self._waiting:
            self._commit()
        self.disk.stop()

    def __getattr__(self, name: str) -> Callable[..., "asyncio.Future[Any]"]:
        def call(*args: Any, **more: Any) -> "asyncio.Future[Any]":
            answer = asyncio.get_running_loop().create_future()
            self._waiting.append((name, args, more, answer))
            self._plan()
            return answer

        return call

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._planned_commit)

    def _planned_commit(self) -> None:
        self._planned = False
        if not self._gone:
            self._commit()
            if self._waiting:
                self._plan()

    def _commit(self) -> None:
        for _ in range(min(self.group, len(self._waiting))):
            name, args, more, answer = self._waiting.popleft()
            value = getattr(self.disk, name)(*args, **more)
            asyncio.get_running_loop().call_soon(_tell, answer, value)

    @classmethod
    def crashed(cls, broker: Any) -> Broker:
        """What SIGKILL leaves: what was committed."""
        broker._gone = True
        broker._waiting.clear()
        return cls(broker.disk)


def _tell(answer: "asyncio.Future[Any]", value: Any) -> None:
    if not answer.done():
        answer.set_result(value)


def same(broker: Broker) -> Broker:
    """Nothing is lost where everything is written at once."""
    return broker


def test_brokers_that_write_in_groups_pass() -> None:
    for check in (*CRASH_CHECKS, *BROKER_CHECKS[:-20]):
        asyncio.run(run_check(check, Grouping, crash=Grouping.crashed, patience=5.0))


def test_a_durable_broker_has_to_crash() -> None:
    with pytest.raises(TypeError, match=r"^crash must be a function"):
        asyncio.run(check_broker(lambda: MemoryBroker(durable=True)))
    with pytest.raises(TypeError, match=r"^session_ttl must be"):
        asyncio.run(run_check(EXPIRY_CHECKS[0], MemoryBroker))


def test_crash_is_ignored_for_a_broker_that_is_not_durable() -> None:
    def crash(_broker: Broker) -> Broker:
        raise RuntimeError("nobody asked for it")

    asyncio.run(check_broker(MemoryBroker, crash=crash, checks=CRASH_CHECKS))


def test_a_crash_ends_what_was_begun() -> None:
    ended: list[str] = []

    class Endless(MemoryBroker):
        async def drop(self, channel: str) -> None:  # type: ignore[override]
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(channel)

    async def check(bench: Bench) -> None:
        call = bench.begin(bench.broker.drop("a"))
        await asyncio.sleep(0)
        await bench.crash()
        assert call.cancelled()
        assert ended == ["a"]

    asyncio.run(run_check(check, lambda: Endless(durable=True), crash=same))


def test_a_crashed_broker_is_heard_no_more() -> None:
    class Restarted(MemoryBroker):
        old: Any = None

        def start(self, node: str, on_entry: Any, on_release: Any) -> None:
            self.old, self.new = getattr(self, "new", None), on_entry
            super().start(node, on_entry, on_release)

    async def check(bench: Bench) -> None:
        await bench.crash()
        broker: Any = bench.broker
        broker.old("a", LogEntry(1, 0, "e", b"1"))
        assert bench.announced == []
        broker.new("a", LogEntry(1, 0, "e", b"1"))
        assert len(bench.announced) == 1

    asyncio.run(run_check(check, lambda: Restarted(durable=True), crash=same))


# brokers that are wrong in one respect


class Wrong(MemoryBroker):
    """Nothing is wrong yet."""

    def __init__(self) -> None:
        super().__init__(durable=True)

    def set_back(self) -> None:
        """What a crash does to it."""

    @staticmethod
    def crashed(broker: Any) -> Broker:
        broker.set_back()
        return broker  # type: ignore[no-any-return]


class LosesTheLast(Wrong):
    """Says that an entry is written before it is."""

    def set_back(self) -> None:
        for log in self._logs.values():
            del log.entries[-1:]


class LosesTheHead(Wrong):
    """Knows the head by the entries it has kept."""

    def set_back(self) -> None:
        for channel, log in list(self._logs.items()):
            if log.start >= len(log.entries):
                del self._logs[channel]


class NewEpoch(Wrong):
    def set_back(self) -> None:
        self._epoch += "x"


class ForgetsDrops(Wrong):
    def set_back(self) -> None:
        self._dropped.clear()


class ForgetsKeys(Wrong):
    def set_back(self) -> None:
        self._keys.clear()


class AnnouncesFirst(Wrong):
    """Announces and answers, and writes at the next turn."""

    def __init__(self) -> None:
        super().__init__()
        self._unwritten: list[str] = []

    def append(
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> tuple[str, LogEntry]:
        if not self._unwritten:
            asyncio.get_running_loop().call_later(0.002, self._unwritten.clear)
        self._unwritten.append(channel)
        return super().append(channel, event, data, history, key=key)

    def set_back(self) -> None:
        for channel in self._unwritten:
            del self._logs[channel].entries[-1:]
        self._unwritten.clear()


class Overtaking(Wrong):
    """Half of a group is written, and not its first half."""

    async def append(  # type: ignore[override]
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> tuple[str, LogEntry]:
        for _ in range(3 if data.endswith(b"3") else 0):
            await asyncio.sleep(0)
        return super().append(channel, event, data, history, key=key)


class ForgetsRecords(Wrong):
    """Writes records when it is stopped, and some now and then."""

    def __init__(self) -> None:
        super().__init__()
        self._written: dict[str, SessionRecord] = {}

    def swap(self, record: SessionRecord, expected: int | None) -> bool:
        if expected is None:
            self._written[record.session] = record
        return super().swap(record, expected)

    def set_back(self) -> None:
        self._records = dict(self._written)


class HalfRecords(Wrong):
    """Writes results beside the record, later."""

    def set_back(self) -> None:
        for name, stored in self._records.items():
            fields = {field: getattr(stored, field) for field in stored.__struct_fields__}
            self._records[name] = SessionRecord(**(fields | {"results": {}}))


class StopsAtOnce(Wrong):
    """Forgets at stop what was not written yet."""

    def stop(self) -> None:
        for log in self._logs.values():
            del log.entries[-1:]
        super().stop()


class Refusing(Wrong):
    """Answers calls under way with an error once it is stopped: allowed."""

    async def append(  # type: ignore[override]
        self, channel: str, event: str, data: bytes, history: History, *, key: Key | None = None
    ) -> tuple[str, LogEntry]:
        await asyncio.sleep(0)
        if not self._nodes:
            raise BrokerError("stopped")
        return super().append(channel, event, data, history, key=key)


WRONG: list[tuple[type[Wrong], str]] = [
    (LosesTheLast, "what_was_answered_survives"),
    (LosesTheHead, "what_was_answered_survives"),
    (NewEpoch, "epochs_survive"),
    (ForgetsDrops, "a_drop_survives"),
    (ForgetsKeys, "keys_survive"),
    (AnnouncesFirst, "what_was_begun_is_a_prefix"),
    (Overtaking, "what_was_begun_is_a_prefix"),
    (ForgetsRecords, "records_survive_whole"),
    (HalfRecords, "records_survive_whole"),
    (StopsAtOnce, "a_stop_loses_nothing"),
]


@pytest.mark.parametrize(("wrong", "caught_by"), WRONG)
def test_a_wrong_broker_is_caught(wrong: type[Wrong], caught_by: str) -> None:
    check = next(check for check in CRASH_CHECKS if check.__name__ == caught_by)
    with pytest.raises(AssertionError, match=f"^{caught_by}: "):
        asyncio.run(run_check(check, wrong, crash=Wrong.crashed, patience=1.0))


def test_a_broker_that_refuses_after_stop_passes() -> None:
    asyncio.run(check_broker(Refusing, crash=Wrong.crashed, checks=CRASH_CHECKS))


# brokers that delete records


class Expiring(Wrong):
    """Deletes records of which it has not heard for a minute, unless it wrote them itself."""

    ttl = 60.0
    now = 0.0

    def __init__(self) -> None:
        super().__init__()
        self._written_at: dict[str, float] = {}
        self._mine: set[str] = set()
        type(self).now = 1000.0

    def start(self, node: str, on_entry: Any, on_release: Any) -> None:
        self._mine.clear()
        super().start(node, on_entry, on_release)

    def swap(self, record: SessionRecord, expected: int | None) -> bool:
        written = super().swap(record, expected)
        if written:
            self._mine.add(record.session)
            self._written_at[record.session] = self.now
        return written

    def load(self, session: str) -> SessionRecord | None:
        if session not in self._mine and self.now > self._written_at.get(session, self.now) + self.ttl:
            self._records.pop(session, None)
        return super().load(session)


class ExpiresAll(Expiring):
    """Whoever wrote it."""

    def load(self, session: str) -> SessionRecord | None:
        self._mine.clear()
        return super().load(session)


class NeverExpires(Expiring):
    ttl = 1e9


def advance_of(kind: type[Expiring]) -> Callable[[float], MaybeAwaitable[None]]:
    def advance(seconds: float) -> None:
        kind.now += seconds

    return advance


def test_expiry_in_moved_time() -> None:
    asyncio.run(
        check_broker(Expiring, crash=same, advance=advance_of(Expiring), session_ttl=60.0, checks=EXPIRY_CHECKS)
    )


@pytest.mark.parametrize(
    ("wrong", "caught_by"), [(ExpiresAll, "a_held_record_stays"), (NeverExpires, "an_unclaimed_record_expires")]
)
def test_wrong_expiry_is_caught(wrong: type[Expiring], caught_by: str) -> None:
    with pytest.raises(AssertionError, match=f"^{caught_by}: "):
        asyncio.run(
            check_broker(
                wrong, crash=same, advance=advance_of(wrong), session_ttl=60.0, checks=EXPIRY_CHECKS, patience=0.2
            )
        )


def test_every_late_check_catches_somebody() -> None:
    caught = {name for _, name in WRONG} | {"a_held_record_stays", "an_unclaimed_record_expires"}
    assert {check.__name__ for check in LATE_CHECKS} == caught
