"""A durable client's disk: writes take time, keep their order, and are lost when the process dies before the commit.

A write is asked for, committed together with all that were asked by then, and told: a crash may fall between any two.

Invariants: what is on the disk is a prefix of what was to be written, and what was told a prefix of that
(test_a_crash_keeps_a_prefix).
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
        self._asked: list[tuple[Write, Callable[[], None], Callable[[], None]]] = []
        self._telling = 0
        self._told_until = 0.0
        self.session: str | None = None
        self.key: str | None = None
        self.next_number: int = 1
        self.messages: dict[int, Message] = {}
        self.cursors: dict[str, tuple[str, int]] = {}

    def write(
        self, owner: Actor, effect: Write, done: Callable[[], None], committed: Callable[[], None] = lambda: None
    ) -> None:
        """Write one thing with the next commit, unless the owner's life ends before.

        `committed` is called at that moment, for who looks on; `done` a while later, for the owner.
        """
        self._asked.append((effect, done, committed))
        if len(self._asked) == 1:
            owner.after(self._rng.uniform(0.0, self._seconds), lambda: self._commit(owner))

    def _commit(self, owner: Actor) -> None:
        group, self._asked = self._asked, []
        for effect, _, committed in group:
            self.apply(effect)
            committed()
        self._telling += 1

        def tell() -> None:
            self._telling -= 1
            for _, done, _ in group:
                done()

        self._told_until = max(self._told_until, owner.world.now + self._rng.uniform(0.0, self._seconds))
        owner.at(self._told_until, tell)

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
        """The process that wrote is gone, and what it had not committed."""
        self._asked = []
        self._telling = 0

    @property
    def steps_open(self) -> tuple[bool, bool]:
        """Whether something is asked and not committed, and committed and not told."""
        return bool(self._asked), self._telling > 0

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
