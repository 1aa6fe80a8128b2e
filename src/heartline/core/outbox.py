"""What a client has sent and the server has not settled (PROTOCOL 3).

A message is *written* once it has been handed to any link. A message never written may be withdrawn (it expired, the
outbox was full, the client closed) and leaves a hole in the numbers; a written one waits for its outcome.

Invariants:
- numbers rise and are never used twice (test_numbers_rise_and_are_never_reused);
- nothing written expires (test_nothing_written_expires);
- an ack settles sends and publications, not one that failed; a call it covers without an answer never gets one
  (test_ack_settles_sends_only, test_ack_leaves_no_call_waiting);
- the window bounds what is in flight, in messages and bytes, but never blocks a lone message
  (test_window_bounds_flight);
- a durable message is written only after it was persisted (test_written_only_after_persisted);
- what is dropped from a full outbox is told, and nothing is dropped in vain (test_nothing_is_dropped_in_vain);
- a durable message is not written above a hole that is still a message on disk
  (test_nothing_is_written_above_a_hole_on_disk);
- the floor passes a durable message only after the disk has let go of it
  (test_floor_waits_until_the_disk_has_forgotten);
- memory follows what waits, not what has passed through (test_queues_do_not_grow_with_what_has_gone).
"""

from collections import deque
from collections.abc import Iterator
from enum import Enum
from heapq import heapify, heappop, heappush
from typing import Final

from .enums import Outcome
from .errors import OutboxFull
from .policy import Full, OutboxLimits

SPAN: Final = 256
FIRST_WINDOW = 8
FIRST_WINDOW_BYTES = 16 << 10
OVERHEAD = 24


def size_of(event: str, target: str, data: bytes) -> int:
    """Bytes a message counts for (PROTOCOL 3.5): its data, its names, and 24."""
    return len(data) + len(event) + len(target) + OVERHEAD


class Kind(Enum):
    """What the sender wants to hear."""

    SEND = "send"
    CALL = "call"
    PUB = "pub"


# Naming a member of an enum costs as much as a call on Python 3.11.
CALL: Final = Kind.CALL
PUB: Final = Kind.PUB
SEND: Final = Kind.SEND
HANDLED: Final = Outcome.HANDLED


class Message:
    """One numbered message. `data` is JSON text; `target` is the channel of a publication."""

    __slots__ = ("data", "event", "expires_at", "idempotent", "kind", "n", "size", "target", "written")

    def __init__(
        self,
        n: int,
        kind: Kind,
        event: str,
        data: bytes,
        *,
        target: str = "",
        expires_at: float | None = None,
        idempotent: bool = False,
        written: bool = False,
    ) -> None:
        self.n: int = n
        self.kind: Kind = kind
        self.event: str = event
        self.data: bytes = data
        self.target: str = target
        self.expires_at: float | None = expires_at
        self.idempotent: bool = idempotent
        self.written: bool = written
        self.size: int = size_of(event, target, data)


class Outbox:
    """Messages in the order of their numbers, and the window through which they go."""

    def __init__(self, limits: OutboxLimits, *, durable: bool = False, first: int = 1) -> None:
        self.limits = limits
        self._most_messages = limits.messages
        self._most_stored = limits.bytes
        self.durable = durable
        self.bytes: int = 0
        self._next = first
        self._messages: dict[int, Message] = {}
        self._order: deque[int] = deque()
        self._acking: deque[int] = deque()
        self._to_write: deque[int] = deque()
        self._expiries: list[tuple[float, int]] = []
        self._persisted = first - 1
        self._highest = first - 1
        self._unforgotten: dict[int, None] = {}
        self._holes: dict[int, None] = {}
        self._told = 1
        self._open_window(0, SPAN, 1 << 20)

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, n: int) -> bool:
        return n in self._messages

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages.values())

    @property
    def in_flight(self) -> int:
        """Messages written on this link, or known to be at the server, and not settled."""
        return self._flight

    @property
    def floor(self) -> int:
        """The lowest number not settled, or settled and still on disk: after a crash it would be asked about again."""
        lowest = self._order[0] if self._order else self._next
        return min(lowest, *self._unforgotten) if self._unforgotten else lowest

    @property
    def highest_written(self) -> int:
        """No number above this one was ever written in this session."""
        return self._highest

    @property
    def next_number(self) -> int:
        """The number the next message gets."""
        return self._next

    # adding

    def room(self, size: int) -> bool:
        """Whether one more message of `size` bytes fits."""
        return len(self._messages) < self._most_messages and self.bytes + size <= self._most_stored

    def make_room(self, size: int) -> list[Message]:
        """Withdraw what the policy allows until `size` bytes fit; raise OutboxFull when they cannot.

        Returns the messages dropped; the caller tells their senders. ValueError: so much never fits.
        """
        limits = self.limits
        if size > limits.bytes:
            raise ValueError(f"data: a message of {size} bytes can never fit an outbox of {limits.bytes} bytes")
        if self.room(size):
            return []
        dropped: list[Message] = []
        surplus = self.bytes + size - limits.bytes
        count = len(self._messages) + 1 - limits.messages
        if limits.full is Full.DROP_OLDEST:
            for n in self._to_write:
                message = self._messages.get(n)
                if message is not None and not message.written:
                    dropped.append(message)
                    surplus -= message.size
                    count -= 1
                    if surplus <= 0 and count <= 0:
                        break
        if surplus > 0 or count > 0:
            raise OutboxFull(len(self._messages), self.bytes)
        for message in dropped:
            self._remove(message)
        return dropped

    def add(self, message: Message) -> None:
        """Take over a message that `take_number` numbered, or one restored from disk, in rising order."""
        self._messages[message.n] = message
        self._order.append(message.n)
        if message.kind is not CALL:
            self._acking.append(message.n)
        self._to_write.append(message.n)
        self.bytes += message.size
        if message.expires_at is not None and not message.written:
            heappush(self._expiries, (message.expires_at, message.n))
        most = 2 * len(self._messages) + 64
        if len(self._order) > most or len(self._acking) > most or len(self._expiries) > most:
            self._compact()

    def take_number(self) -> int:
        """Use up the next number."""
        n = self._next
        self._next += 1
        return n

    def restore(self, messages: list[Message], next_number: int) -> None:
        """Begin with what a durable outbox held. Whether it had been written is not known, so it had."""
        for message in messages:
            message.written = True
            self.add(message)
        self._next = max(next_number, *(m.n + 1 for m in messages)) if messages else next_number
        self._persisted = self._highest = self._next - 1

    def forgotten(self, n: int) -> None:
        """The settled message n is gone from the disk."""
        self._unforgotten.pop(n, None)
        self._holes.pop(n, None)

    def persisted(self, n: int) -> None:
        """Everything up to n is on disk."""
        self._persisted = max(self._persisted, n)

    # writing

    def welcome(self, received: int, window: int, window_bytes: int) -> None:
        """A new link is up and the server has accepted everything up to `received`: rewind to what it lacks."""
        self._open_window(received, window, window_bytes)
        self._to_write = deque(n for n in self._order if n > received and n in self._messages)
        self._flight = 0
        self._flight_bytes = 0
        for message in self._messages.values():
            if message.n > received:
                break
            message.written = True  # maybe by a copy of this outbox
            self._flight += 1
            self._flight_bytes += message.size
        self._in_flight = received
        self._trim_expiries()

    def forget_session(self, received: int = 0) -> list[Message]:
        """This session is lost: withdraw what may have been handled in it and may not be repeated.

        That is what was written, and what bears a number up to `received`, whoever wrote that.
        """
        lost = [m for m in self._messages.values() if (m.written or m.n <= received) and not m.idempotent]
        for message in lost:
            self._remove(message)
        self._highest = 0
        return lost

    def next_to_write(self) -> Message | None:
        """Take the next message the window lets through, None when it must wait."""
        queue = self._to_write
        while queue:
            message = self._messages.get(queue[0])
            if message is None:
                queue.popleft()
                continue
            if not self._window_lets(message) or (self.durable and not self._disk_lets(message.n)):
                return None
            queue.popleft()
            message.written = True
            if self._expiries:
                self._trim_expiries()
            self._in_flight = message.n
            self._highest = max(self._highest, message.n)
            self._flight += 1
            self._flight_bytes += message.size
            return message
        return None

    def floor_to_tell(self, *, idle: bool = False) -> int | None:
        """The floor, when the server ought to hear of it: half a span passed, hearing lets us go on, or all is quiet."""
        floor = self.floor
        passed = floor - self._told
        blocked = bool(self._to_write) and self._told + SPAN <= self._to_write[0] < floor + SPAN
        if not (blocked or passed >= (1 if idle else SPAN // 2)):
            return None
        self._told = floor
        return floor

    def told_floor(self, floor: int) -> None:
        """The hello carried this floor."""
        self._told = floor

    # settling

    def get(self, n: int) -> Message | None:
        """The unsettled message n."""
        return self._messages.get(n)

    def ack(self, n: int) -> list[Message]:
        """Settle the sends and publications up to n."""
        settled: list[Message] = []
        acking = self._acking
        while acking and acking[0] <= n:
            message = self._messages.get(acking[0])
            if message is not None:
                if not message.written:
                    break
                self._settle(message)
                settled.append(message)
            acking.popleft()
        return settled

    def unanswered(self, n: int) -> list[Message]:
        """Withdraw the calls up to n. An ack covers them, so their answers were said before it, or are gone."""
        calls: list[Message] = []
        limit = min(n, self._in_flight)
        while self._order and self._order[0] <= limit:
            message = self._messages[self._order[0]]
            self._settle(message)
            calls.append(message)
        return calls

    def settle(self, n: int) -> Message | None:
        """Settle one message; None when it is settled already (a reply said again)."""
        message = self._messages.get(n)
        if message is None or not message.written:
            return None
        self._settle(message)
        return message

    @property
    def can_expire(self) -> bool:
        """Whether a message that was never written can run out."""
        return bool(self._expiries)

    def next_expiry(self) -> float | None:
        """When the next message never written runs out."""
        return self._expiries[0][0] if self._expiries else None

    def expire(self, now: float) -> list[Message]:
        """Withdraw the messages that ran out before they were ever written."""
        expired: list[Message] = []
        while (at := self.next_expiry()) is not None and at <= now:
            message = self._messages[self._expiries[0][1]]
            self._remove(message)
            expired.append(message)
        return expired

    def withdraw(self, n: int) -> Message | None:
        """Take back a message never written; None when it is too late for that."""
        message = self._messages.get(n)
        if message is None or message.written:
            return None
        self._remove(message)
        return message

    def clear(self) -> list[Message]:
        """Give up everything; the caller tells the senders."""
        rest = list(self._messages.values())
        self._messages.clear()
        self._unforgotten.clear()
        self._holes.clear()
        self.bytes = self._flight = self._flight_bytes = 0
        self._compact()
        return rest

    # the window

    def _open_window(self, received: int, most: int, most_bytes: int) -> None:
        self._window = min(FIRST_WINDOW, most)
        self._window_bytes = min(FIRST_WINDOW_BYTES, most_bytes)
        self._most = most
        self._most_bytes = most_bytes
        self._since_doubling = 0
        self._flight = 0
        self._flight_bytes = 0
        self._in_flight = received

    def _window_lets(self, message: Message) -> bool:
        if message.n >= self._told + SPAN:
            return False
        if not self._flight:
            return True
        return self._flight < self._window and self._flight_bytes + message.size <= self._window_bytes

    def _disk_lets(self, n: int) -> bool:
        """Whether message n may be written: it is stored, and no hole below it would be a message after a crash.

        The server takes such a number for one that it has handled (PROTOCOL 3.2).
        """
        return n <= self._persisted and not (self._holes and n > min(self._holes))

    def _settle(self, message: Message) -> None:
        if message.n <= self._in_flight:
            self._flight -= 1
            self._flight_bytes -= message.size
            self._since_doubling += 1
            if self._since_doubling >= self._window:
                self._since_doubling = 0
                self._window = min(self._window * 2, self._most)
                self._window_bytes = min(self._window_bytes * 2, self._most_bytes)
        self._remove(message)

    def _remove(self, message: Message) -> None:
        messages = self._messages
        del messages[message.n]
        if self.durable:
            self._unforgotten[message.n] = None
            if not message.written:
                self._holes[message.n] = None
        self.bytes -= message.size
        order, to_write = self._order, self._to_write
        while order and order[0] not in messages:
            order.popleft()
        while to_write and to_write[0] not in messages:
            to_write.popleft()
        if self._expiries:
            self._trim_expiries()

    def _trim_expiries(self) -> None:
        """Keep a message that can still run out on top of the heap."""
        heap = self._expiries
        while heap and ((message := self._messages.get(heap[0][1])) is None or message.written):
            heappop(heap)

    def _compact(self) -> None:
        """Let go of the numbers of messages that are gone."""
        messages = self._messages
        self._order = deque(n for n in self._order if n in messages)
        self._acking = deque(n for n in self._acking if n in messages)
        self._to_write = deque(n for n in self._to_write if n in messages)
        self._expiries = [(at, n) for at, n in self._expiries if n in messages and not messages[n].written]
        heapify(self._expiries)
