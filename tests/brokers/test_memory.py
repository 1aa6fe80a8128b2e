"""The memory broker: limits of its history, keys and epochs, and what an append costs. Its contract: tests/testing."""

import pytest

from heartline.brokers.memory import ENTRY_OVERHEAD, REMEMBERED_KEYS, MemoryBroker, _Log
from heartline.core.errors import BrokerError
from heartline.core.ports import History


class Hand:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def broker(clock: Hand | None = None) -> MemoryBroker:
    return MemoryBroker(epoch="E", clock=clock or Hand())


def offsets(one: MemoryBroker, channel: str, after: int = 0) -> list[int]:
    return [entry.offset for entry in one.read(channel, after, 10_000, 1 << 30).entries]


def test_history_limits() -> None:
    clock = Hand()
    one = broker(clock)
    for n in range(1, 1001):
        one.append("count", "e", b"1", History(10))
        one.append("bytes", "e", b"x" * 40, History(1000, bytes=5 * (40 + ENTRY_OVERHEAD)))
        clock.now += 1
        one.append("age", "e", b"1", History(1000, age=5.0))
        assert offsets(one, "count") == list(range(max(1, n - 9), n + 1))
        assert offsets(one, "bytes") == list(range(max(1, n - 4), n + 1))
        assert offsets(one, "age") == list(range(max(1, n - 5), n + 1))
    clock.now += 3.5
    piece = one.read("age", 0, 100, 1000)
    assert ([e.offset for e in piece.entries], piece.trimmed, piece.head) == ([999, 1000], 998, 1000)
    clock.now += 100
    piece = one.read("age", 0, 100, 1000)
    assert (list(piece.entries), piece.trimmed, piece.head, piece.kept) == ([], 1000, 1000, True)
    assert one.append("age", "e", b"1", History(1000, age=5.0))[1].prev == 1000


def test_a_history_that_shrinks_lets_go_at_once() -> None:
    one = broker()
    for _ in range(20):
        one.append("c", "e", b"1", History(100))
    one.append("c", "e", b"1", History(3))
    assert offsets(one, "c") == [19, 20, 21]
    one.append("c", "e", b"1", History(0))
    piece = one.read("c", 0, 100, 1000)
    assert (list(piece.entries), piece.trimmed, piece.head, piece.kept) == ([], 22, 22, False)


def test_keys_belong_to_an_epoch() -> None:
    one = broker()
    first = one.append("c", "e", b"1", History(), key="k")
    assert one.append("c", "e", b"2", History(), key="k") == first
    one.drop("c")
    epoch, entry = one.append("c", "e", b"3", History(), key="k")
    assert (epoch, entry.offset, entry.data, entry.epoch) == ("E.1", 1, b"3", "E.1")
    assert one.append("c", "e", b"4", History(), key="k") == (epoch, entry)
    assert one.head("c") == ("E.1", 1)


def test_keys_are_bounded() -> None:
    one = broker()
    for n in range(REMEMBERED_KEYS + 5):
        one.append("c", "e", b"1", History(1), key=str(n))
    assert len(one._keys) == REMEMBERED_KEYS
    assert one.append("c", "e", b"1", History(1), key="4")[1].offset == REMEMBERED_KEYS + 6
    assert one.append("c", "e", b"1", History(1), key=str(REMEMBERED_KEYS))[1].offset == REMEMBERED_KEYS + 1


@pytest.mark.parametrize("entries", [0, 1, 100, 1000])
def test_trimming_is_amortised(entries: int) -> None:
    # Entries moved while the log is cut down, over 10,000 appends: a constant few each, however long the history.
    log = _Log(History(entries))
    one = broker()
    one._logs["c"] = log
    moved = 0
    for _ in range(10_000):
        before = len(log.entries)
        one.append("c", "e", b"1", History(entries))
        if len(log.entries) <= before:
            moved += len(log.entries)
        assert len(log.entries) <= 2 * entries + 66
        assert log.bytes == (len(log.entries) - log.start) * (1 + ENTRY_OVERHEAD)
    assert moved <= 3 * 10_000
    assert one.head("c") == ("E", 10_000)


def test_channels_are_bounded() -> None:
    one = MemoryBroker(most_channels=2)
    one.append("a", "e", b"1", History())
    one.append("b", "e", b"1", History())
    with pytest.raises(BrokerError, match="more than 2 channels"):
        one.append("c", "e", b"1", History())
    one.append("a", "e", b"1", History())
    one.drop("a")
    one.append("c", "e", b"1", History())


def test_nothing_is_kept_of_a_dropped_inbox() -> None:
    one = broker()
    for name in ("@session", "@who/room", "never"):
        one.append(name, "e", b"1", History()) if name != "never" else None
        one.drop(name)
    assert one._dropped == {"@who/room": 1}
    assert one._logs == {}


def test_a_node_that_starts_again_follows_nothing() -> None:
    one = broker()
    heard: list[str] = []
    one.start("n", lambda channel, _entry: heard.append(channel), lambda _session: True)
    one.follow("c")
    one.append("c", "e", b"1", History())
    one.stop()
    one.append("c", "e", b"1", History())
    one.start("n", lambda channel, _entry: heard.append(channel), lambda _session: True)
    one.append("c", "e", b"1", History())
    assert heard == ["c"]
    assert one.release("s", "another") is True
    assert one.release("s", "n") is False


def test_epochs_of_inboxes() -> None:
    one = broker()
    heads = [one.head(name)[0] for name in ("@a", "@b", f"@{'x' * 64}", f"@{'x' * 63}y", "@who/a", "a")]
    assert heads[:2] == ["E.a", "E.b"]
    assert len(set(heads[:4])) == 4
    assert all(len(epoch) <= 64 for epoch in heads)
    assert heads[4:] == ["E", "E"]
    assert one.append("@a", "e", b"1", History())[0] == "E.a"
