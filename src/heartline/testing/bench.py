"""What the checks of `heartline.testing.contracts` share: one fresh broker, what it announced, and waits that end.

Invariants: no wait lasts longer than `patience` (test_a_broker_that_never_answers_is_caught); what a broker announces
is kept in the order in which it came (test_an_announcement_out_of_order_is_caught).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from heartline.core.ports import Broker, History, LogEntry, MaybeAwaitable, SessionRecord, Slice, Started

_T = TypeVar("_T")

NODE = "node-1"
Advance = Callable[[float], MaybeAwaitable[None]]
Check = Callable[["Bench"], Awaitable[None]]


class Bench:
    """One broker under one check. Every call is awaited where it has to be, and bounded in time."""

    def __init__(self, broker: Broker, patience: float, advance: Advance | None) -> None:
        self.broker = broker
        self.patience = patience
        self.advance = advance
        self.announced: list[tuple[str, LogEntry]] = []
        self.on_announced: Callable[[str, LogEntry], None] = lambda _channel, _entry: None
        self._news = asyncio.Event()

    async def start(self) -> None:
        """Begin, as the server does."""
        await self.wait(self.broker.start(NODE, self._on_entry, lambda _session: True))

    async def stop(self) -> None:
        """End, as the server does."""
        await self.wait(self.broker.stop())

    async def wait(self, answer: MaybeAwaitable[_T]) -> _T:
        """The answer of one call, whether it is there or has to be waited for."""
        if isinstance(answer, Awaitable):
            try:
                async with asyncio.timeout(self.patience):
                    return await answer
            except TimeoutError:
                raise AssertionError(f"no answer within {self.patience} s") from None
        return answer

    async def wait_all(self, answers: Iterable[MaybeAwaitable[_T]]) -> list[_T]:
        """The answers of calls that were all begun before any was waited for."""
        return list(await asyncio.gather(*[self.wait(answer) for answer in answers]))

    # the calls, shorter

    async def append(
        self, channel: str, data: bytes = b"1", history: History | None = None, key: str | None = None
    ) -> LogEntry:
        """Add an entry; its epoch is the one told beside it."""
        epoch, entry = await self.wait(self.broker.append(channel, "e", data, history or History(), key=key))
        assert entry.epoch == epoch, f"append told the epoch {epoch!r}, its entry {entry.epoch!r}"
        return entry

    async def fill(self, channel: str, count: int, history: History | None = None, size: int = 0) -> list[LogEntry]:
        """Add `count` entries one after another; their data are numbers, or `size` bytes of JSON."""
        return [await self.append(channel, self.data(i, size), history) for i in range(count)]

    @staticmethod
    def data(number: int, size: int = 0) -> bytes:
        """JSON text that tells entries apart, of `size` bytes at least."""
        return b'"%d%b"' % (number, b"x" * max(0, size - 2 - len(str(number)))) if size else b"%d" % number

    async def head(self, channel: str) -> tuple[str, int]:
        """Epoch and offset of the last entry."""
        return await self.wait(self.broker.head(channel))

    async def read(self, channel: str, after: int = 0, limit: int = 1000, max_bytes: int = 1 << 20) -> Slice:
        """A piece of the log."""
        return await self.wait(self.broker.read(channel, after, limit, max_bytes))

    async def read_all(
        self, channel: str, after: int = 0, limit: int = 1000, max_bytes: int = 1 << 20
    ) -> list[LogEntry]:
        """The log behind `after`, piece by piece, until it has reached the head."""
        entries: list[LogEntry] = []
        while (piece := await self.read(channel, after, limit, max_bytes)).entries:
            entries += piece.entries
            assert piece.entries[-1].offset > after, "a piece of the log leads nowhere"
            after = piece.entries[-1].offset
        assert after >= piece.head or piece.trimmed >= piece.head, "reading stops before the head"
        return entries

    async def follow(self, channel: str) -> None:
        """Announce the channel from now on."""
        await self.wait(self.broker.follow(channel))

    async def unfollow(self, channel: str) -> None:
        """Announce it no longer."""
        await self.wait(self.broker.unfollow(channel))

    async def load(self, session: str) -> SessionRecord | None:
        """The record of a session."""
        return await self.wait(self.broker.load(session))

    async def swap(self, record: SessionRecord, expected: int | None) -> bool:
        """Compare and set."""
        return await self.wait(self.broker.swap(record, expected))

    # announcements and time

    def heard(self, channel: str) -> list[LogEntry]:
        """What was announced of a channel, in the order in which it came."""
        return [entry for name, entry in self.announced if name == channel]

    async def hears(self, channel: str, offset: int) -> None:
        """Wait until an entry of the channel at or behind `offset` has been announced."""
        try:
            async with asyncio.timeout(self.patience):
                while not any(entry.offset >= offset for entry in self.heard(channel)):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"offset {offset} of {channel!r} was not announced within {self.patience} s") from None

    async def pass_time(self, seconds: float) -> None:
        """Let time pass: on the broker's own clock if it lent us its hand, else for real."""
        if self.advance is None:
            await asyncio.sleep(seconds)
        else:
            await self.wait(self.advance(seconds))

    def _on_entry(self, channel: str, entry: LogEntry) -> None:
        self.announced.append((channel, entry))
        self.on_announced(channel, entry)
        self._news.set()


def record(session: str, generation: int = 1, **more: object) -> SessionRecord:
    """A record that uses every field."""
    known: dict[str, object] = {
        "session": session,
        "key": "k" * 22,
        "identity": "someone",
        "instance": "instance-1",
        "generation": generation,
        "owner": NODE,
        "floor": 3,
        "received": 9,
        "done": 4,
        "results": {3: b'["reply",3,{"a":"\xc3\xa9"}]', 5: b'["fail",5,{"code":"failed","message":""}]', 7: b""},
        "started": [Started(6, "e", "call", False), Started(8, "f", "send", True)],
        "inbox_epoch": "E",
        "seen_at": 1234.5,
    }
    return SessionRecord(**(known | more))  # type: ignore[arg-type]
