"""One direction of a proxied link: bytes go in at one side and come out at the other when the network lets them.

Invariants, tested in ``tests/faults/test_proxy*.py``:

- order_is_kept: chunks, the end of the stream and a reset come out in the order they went in.
- memory_is_bounded: at most ``limit`` bytes (each chunk counts 128 extra) and one read wait here; then the side is
  not read any more and TCP holds the sender back.
- nothing_is_lost_uncounted: bytes that go in are counted as delivered or as lost.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from heartline.faults.rules import Direction
from heartline.faults.sides import Side, SideState

if TYPE_CHECKING:
    from heartline.faults.link import ProxyLink

_CHUNK_COST: Final = 128  # bytes charged for a chunk besides its own, so that tiny chunks are bounded as well


class Pipe:
    """From ``source`` to ``sink``. The link says when it is frozen; the pipe knows what is due when."""

    def __init__(self, link: "ProxyLink", source: Side, sink: Side, limit: int) -> None:
        self.link = link
        self.source = source
        self.sink = sink
        self.direction: Direction = source.direction
        self.finished: bool = False  # the end of the stream was passed on
        self.held: int = 0  # bytes that entered and have not come out
        self.closing: bool = False  # what enters now is lost: the link was cut
        self._limit = limit
        self._queue: deque[tuple[float, bytes | None]] = deque()  # (due, chunk); None is the end of the stream
        self._reset_due: float | None = None  # the source was reset; when the sink is to learn it
        self._timer: asyncio.TimerHandle | None = None

    @property
    def frozen(self) -> bool:
        """Whether this direction is a black hole now."""
        return bool(self.link.frozen) and self.direction in self.link.frozen

    @property
    def stuck(self) -> int:
        """Bytes that are in the proxy, or wait in its kernel while nothing is read."""
        return self.held + (self.source.waiting() if self.frozen else 0)

    def feed(self, data: bytes) -> None:
        """Bytes enter."""
        link = self.link
        if self.closing or self.sink.state is SideState.LOST:
            link.host.count_lost(link, len(data))
        elif link.instant and not self._queue and self.sink.writable and not self.frozen:
            self._deliver(data)
            if not self.sink.writable:
                self.regulate()
        else:
            self._enter(data)

    def end(self) -> None:
        """The source sends no more; its end goes behind its bytes."""
        if self.sink.state is not SideState.LOST:
            self._enter(None)

    def end_gently(self) -> None:
        """A cut that loses nothing: take what the kernel holds, then the end of the stream; what comes later is lost."""
        if self.closing:
            return
        for data in self.source.unread():
            self._push(data)
        self.closing = True
        if self.source.state is not SideState.ENDED:  # otherwise the end is in the queue already
            self._push(None)
        self.pump()

    def reset(self) -> None:
        """The source was reset: the sink shall be, too, as soon as that news gets through."""
        self._reset_due = self.link.due(self.direction, 0)
        self.pump()

    def drop(self) -> None:
        """Everything held is lost."""
        self.link.host.count_lost(self.link, self.held)
        self._queue.clear()
        self.held = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pump(self, until: float = 0.0) -> None:
        """Pass on what is due (``until``: loop time the caller knows to be reached), arm the timer for the rest."""
        if self.frozen:
            self.regulate()
            return
        now = max(self.link.host.loop.time(), until)
        queue = self._queue
        while queue and queue[0][0] <= now and self.sink.writable and self.sink.state is not SideState.LOST:
            _, data = queue.popleft()
            if data is None:
                self.finished = True
                self.sink.finish()
            else:
                self.held -= len(data)
                self._deliver(data)
        if self._reset_due is not None and self._reset_due <= now:
            self._reset_due = None
            self.drop()
            self.link.reset(self.sink)
            return
        self._arm()
        self.regulate()
        self.link.settle()

    def regulate(self) -> None:
        """Read from the source exactly when there is room, or when only its end is waited for."""
        nowhere = self.closing or self.sink.state is SideState.LOST  # what comes is read and counted as lost
        room = nowhere or (self.sink.writable and self.held + len(self._queue) * _CHUNK_COST < self._limit)
        self.source.listen(room and not self.frozen and self.link.flowing)
        if self.source.deaf:
            self.link.host.watch(self.link)

    def _enter(self, data: bytes | None) -> None:
        self._push(data)
        self.pump()

    def _push(self, data: bytes | None) -> None:
        size = len(data) if data is not None else 0
        self._queue.append((self.link.due(self.direction, size), data))
        self.held += size
        self.link.host.tell_waiters()

    def _deliver(self, data: bytes) -> None:
        if self.sink.write(data):
            self.link.host.count_delivered(self.link, self.direction, len(data))
        else:
            self.link.host.count_lost(self.link, len(data))

    def _arm(self) -> None:
        """One timer: for the reset, or for the head of the queue when the sink takes it."""
        dues = [] if self._reset_due is None else [self._reset_due]
        if self._queue and self.sink.writable:
            dues.append(self._queue[0][0])
        if dues and self._timer is None:
            self._timer = self.link.host.loop.call_at(min(dues), self._wake, min(dues))

    def _wake(self, due: float) -> None:
        self._timer = None
        self.pump(due)
