"""A durable client's disk: writes take time, keep their order, and are lost when the process dies before they land.

Invariant: what is on the disk is a prefix of what was to be written (test_a_crash_keeps_a_prefix).
"""

from collections.abc import Callable
from random import Random

from heartline.core.effects import Forget, MoveCursor, Persist, Remember
from heartline.core.outbox import Message
from heartline.core.saved import Saved

from .clock import Actor

Write = Persist | Forget | Remember | MoveCursor


class Disk:
    """One client's storage. It outlives the processes that use it."""

    def __init__(self, rng: Random, seconds: float) -> None:
        self._rng = rng
        self._seconds = seconds
        self._busy_until = 0.0
        self.session: str | None = None
        self.key: str | None = None
        self.next_number: int = 1
        self.messages: dict[int, Message] = {}
        self.cursors: dict[str, tuple[str, int]] = {}

    def write(self, owner: Actor, effect: Write, done: Callable[[], None]) -> None:
        """Write one thing a moment later, unless the owner's life ends before; then call `done`."""
        now = owner.world.now
        self._busy_until = max(self._busy_until, now + self._rng.uniform(0.0, self._seconds))

        def land() -> None:
            self.apply(effect)
            done()

        owner.at(self._busy_until, land)

    def apply(self, effect: Write) -> None:
        """The write has landed."""
        if isinstance(effect, Persist):
            self.messages[effect.message.n] = effect.message
            self.next_number = max(self.next_number, effect.reserved)
        elif isinstance(effect, Forget):
            self.messages.pop(effect.n, None)
        elif isinstance(effect, Remember):
            self.session, self.key = effect.session, effect.key
        else:
            self.cursors[effect.channel] = (effect.epoch, effect.offset)

    def died(self) -> None:
        """The process that wrote is gone."""
        self._busy_until = 0.0

    def saved(self) -> Saved:
        """What a new process finds."""
        messages = tuple(
            Message(m.n, m.kind, m.event, m.data, target=m.target, idempotent=m.idempotent)
            for _, m in sorted(self.messages.items())
        )
        return Saved(self.session, self.key, self.next_number, messages, dict(self.cursors))

    def copy(self, rng: Random) -> "Disk":
        """The same files elsewhere."""
        other = Disk(rng, self._seconds)
        other.session, other.key, other.next_number = self.session, self.key, self.next_number
        other.messages = dict(self.messages)
        other.cursors = dict(self.cursors)
        return other
