"""The client's way up: numbered messages through the outbox's window to their outcomes (PROTOCOL 3).

Invariants:
- one definite outcome for each message (test_one_definite_outcome);
- a session that was lost turns what was written into `unknown`, unless repeating is harmless, and carries the rest
  over (test_lost_session_names_what_is_unknown);
- nothing above the server's limit is ever written (test_too_big_is_never_written);
- who waits for room hears of it, or of the end (test_who_waits_for_room_hears_of_it).
"""

from collections.abc import Callable, Sequence

from msgspec import Raw, Struct

from .back_off import Retry
from .effects import Effect, Forget, Persist, Room, Settle
from .enums import Outcome
from .errors import OutboxFull
from .frames import Ack, Call, Fail, Pub, Reply, Send, Settled, WelcomeBody
from .outbox import CALL, HANDLED, PUB, SPAN, Kind, Message, Outbox, size_of

NUMBER_BLOCK = 1024
NO_BODY = b"null"
NAMES = 2600
"""Bytes by which a frame may exceed `Message.size`: two names, escaped, and a long number."""


class Upstream:
    """Sends for one client machine. `write` takes a frame for the present link, `measure` tells its bytes."""

    def __init__(
        self,
        outbox: Outbox,
        retry: Retry,
        effects: list[Effect],
        write: Callable[[Struct], None],
        measure: Callable[[Struct], int],
    ) -> None:
        self.outbox = outbox
        self.largest: int = 1 << 20
        self._retry = retry
        self._effects = effects
        self._write = write
        self._measure = measure
        self._reserved = outbox.next_number
        self._wanting_room = False

    def restore(self, messages: Sequence[Message], next_number: int) -> None:
        """Begin with what a durable outbox held."""
        self.outbox.restore(list(messages), next_number)
        self._reserved = self.outbox.next_number

    def send(self, kind: Kind, event: str, data: bytes, target: str, expires_at: float | None, idempotent: bool) -> int:
        """Queue a message and return its number.

        Raises OutboxFull, and then announces `Room`; ValueError when there can never be room.
        """
        outbox = self.outbox
        size = size_of(event, target, data)
        if not outbox.room(size):
            self._make_room(size)
        message = Message(
            outbox.take_number(), kind, event, data, target=target, expires_at=expires_at, idempotent=idempotent
        )
        outbox.add(message)
        if outbox.durable:
            if message.n >= self._reserved:
                self._reserved = message.n + NUMBER_BLOCK
            self._effects.append(Persist(message, self._reserved))
        return message.n

    def _make_room(self, size: int) -> None:
        try:
            dropped = self.outbox.make_room(size)
        except OutboxFull:
            self._wanting_room = True
            raise
        for old in dropped:
            self._end(old, Outcome.EXPIRED, NO_BODY, "dropped from a full outbox")

    def pump(self) -> None:
        """Write what the window lets through."""
        outbox = self.outbox
        self.tell_floor(idle=False)
        while (message := outbox.next_to_write()) is not None:
            frame = _frame_of(message)
            if message.size + NAMES > self.largest and self._measure(frame) > self.largest:
                self._refuse_too_big(message)
                self.tell_floor(idle=False)
            else:
                self._write(frame)

    def tell_floor(self, *, idle: bool = True) -> None:
        """Let the server forget the answers we have: where that is worth a frame, or where all is quiet."""
        floor = self.outbox.floor_to_tell(idle=idle)
        if floor is not None:
            self._write(Settled(floor))

    def session_lost(self, reason: str, received: int = 0) -> None:
        """This session is lost: settle what may have been handled in it."""
        for message in self.outbox.forget_session(received):
            self._end(message, Outcome.UNKNOWN, NO_BODY, reason)

    def welcomed(self, welcome: WelcomeBody) -> None:
        """A link is up: rewind to what the server lacks."""
        limits = welcome.limits
        self.largest = limits.message
        self.outbox.welcome(welcome.received, min(limits.window, SPAN), limits.window_bytes)

    def ack(self, frame: Ack) -> bool:
        """Settle sends and publications, and calls whose answer is gone; whether that was progress."""
        settled = self.outbox.ack(frame.n)
        for message in settled:
            self._end(message, HANDLED, NO_BODY, "")
        unanswered = self.outbox.unanswered(frame.n)
        for message in unanswered:
            self._end(message, Outcome.UNKNOWN, NO_BODY, "the server no longer has its answer")
        return self._progressed(bool(settled or unanswered))

    def reply(self, frame: Reply) -> bool:
        """Settle a call; whether that was progress."""
        return self._settle(frame.n, HANDLED, bytes(frame.data), "")

    def fail(self, frame: Fail) -> bool:
        """Settle any message as rejected; whether that was progress."""
        return self._settle(frame.n, Outcome.REJECTED, bytes(frame.body), "the server said fail")

    def expire(self, now: float) -> None:
        """Settle what ran out unsent."""
        if not self.outbox.can_expire:
            return
        for message in self.outbox.expire(now):
            self._end(message, Outcome.EXPIRED, NO_BODY, "ran out before it could be sent")

    def withdraw(self, n: int) -> bool:
        """Take back a message never written; whether it could be."""
        message = self.outbox.withdraw(n)
        if message is not None:
            self._end(message, Outcome.EXPIRED, NO_BODY, "withdrawn")
        return message is not None

    def give_up(self, reason: str) -> None:
        """Settle everything: nothing will be sent any more."""
        for message in self.outbox.clear():
            outcome = Outcome.UNKNOWN if message.written else Outcome.EXPIRED
            self._end(message, outcome, NO_BODY, reason)

    def wake(self) -> None:
        """Tell whoever waits for room to try again, and so to learn what has become of us."""
        if self._wanting_room:
            self._wanting_room = False
            self._effects.append(Room())

    def _settle(self, n: int, outcome: Outcome, body: bytes, reason: str) -> bool:
        message = self.outbox.settle(n)
        if message is not None:
            self._end(message, outcome, body, reason)
        return self._progressed(message is not None)

    def _refuse_too_big(self, message: Message) -> None:
        self.outbox.settle(message.n)
        body = b'{"code":"too_big","message":"above the server\'s limit of %d bytes"}' % self.largest
        self._end(message, Outcome.REJECTED, body, "never sent")

    def _progressed(self, progress: bool) -> bool:
        if progress:
            self._retry.progressed()
        return progress

    def _end(self, message: Message, outcome: Outcome, body: bytes, reason: str) -> None:
        self._effects.append(Settle(message, outcome, body, reason))
        if self.outbox.durable:
            self._effects.append(Forget(message.n))
        self.wake()


def _frame_of(message: Message) -> Call | Send | Pub:
    data = Raw(message.data)
    kind = message.kind
    if kind is CALL:
        return Call(message.n, message.event, data)
    if kind is PUB:
        return Pub(message.n, message.target, message.event, data)
    return Send(message.n, message.event, data)
