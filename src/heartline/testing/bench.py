"""What the checks of `heartline.testing.contracts` share: one fresh broker, what it announced, and waits that end.

Invariants: no wait lasts longer than `patience` (test_a_broker_that_never_answers_is_caught); what a broker announces
is kept in the order in which it came (test_an_announcement_out_of_order_is_caught); what was begun before a crash is
heard of no more (test_a_crash_ends_what_was_begun).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from heartline.core.errors import BrokerError
from heartline.core.ports import Broker, History, Key, LogEntry, MaybeAwaitable, SessionRecord, Slice, Started

_T = TypeVar("_T")

NODE = "node-1"
Advance = Callable[[float], MaybeAwaitable[None]]
Crash = Callable[[Broker], MaybeAwaitable[Broker]]
Check = Callable[["Bench"], Awaitable[None]]


class Bench:
    """One broker under one check. Every call is awaited where it has to be, and bounded in time."""

    def __init__(
        self,
        broker: Broker,
        patience: float,
        advance: Advance | None,
        crash: Crash | None = None,
        session_ttl: float | None = None,
    ) -> None:
        self.broker = broker
        self.patience = patience
        self.advance = advance
        self.session_ttl = session_ttl
        self._crash = crash
        self._run: object = None
        self._begun: list[asyncio.Future[Any]] = []
        self.announced: list[tuple[str, LogEntry]] = []
        self.on_announced: Callable[[str, LogEntry], None] = lambda _channel, _entry: None
        self._news = asyncio.Event()

    async def start(self) -> None:
        """Begin, as the server does."""
        run = self._run = object()

        def on_entry(channel: str, entry: LogEntry) -> None:
            if run is self._run:  # not from a broker that crashed and does not know it
                self._on_entry(channel, entry)

        await self.wait(self.broker.start(NODE, on_entry, lambda _session: True))

    async def stop(self) -> None:
        """End, as the server does."""
        await self.wait(self.broker.stop())

    async def crash(self) -> None:
        """End the broker as SIGKILL would, calls under way with it, and go on with one over what it left."""
        if self._crash is None:
            raise TypeError("crash must be a function that ends a broker and returns one over what it left")
        begun, self._begun = self._begun, []
        for call in begun:
            call.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        self._run = None
        self.announced.clear()
        self.broker = await self.wait(self._crash(self.broker))
        await self.start()

    async def restart(self) -> None:
        """Stop the broker, as the server does, and go on with one over what it left."""
        await self.stop()
        await self.crash()

    def begin(self, answer: MaybeAwaitable[_T]) -> "asyncio.Future[_T]":
        """A call that goes on while the check does something else; a crash ends it."""
        if isinstance(answer, Awaitable):
            begun: asyncio.Future[_T] = asyncio.ensure_future(answer)
        else:
            begun = asyncio.get_running_loop().create_future()
            begun.set_result(answer)
        self._begun.append(begun)
        return begun

    @staticmethod
    def told(begun: "Sequence[asyncio.Future[_T]]") -> list[_T | None]:
        """The answers so far: None where there is none, or an error that a broker may have."""
        answers: list[_T | None] = []
        for call in begun:
            ended = call.done() and not call.cancelled()
            error = call.exception() if ended else None
            if error is not None and not isinstance(error, BrokerError):
                raise error
            answers.append(call.result() if ended and error is None else None)
        return answers

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
        waiting: dict[int, asyncio.Future[_T]] = {}
        told: dict[int, _T] = {}
        for i, answer in enumerate(answers):
            if isinstance(answer, Awaitable):
                waiting[i] = asyncio.ensure_future(answer)
            else:
                told[i] = answer
        if waiting:
            _, late = await asyncio.wait(waiting.values(), timeout=self.patience)
            for call in late:
                call.cancel()
            assert not late, f"{len(late)} of {len(waiting)} calls without answer within {self.patience} s"
        return [waiting[i].result() if i in waiting else told[i] for i in range(len(waiting) + len(told))]

    # the calls, shorter

    async def append(
        self, channel: str, data: bytes = b"1", history: History | None = None, key: Key | None = None
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
