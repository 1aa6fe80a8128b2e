"""One coarse timer for everything a server waits for.

Whatever is scheduled says itself when it is due (`next_deadline`), and is asked again only when its slot comes up: a
deadline that moved later costs nothing.

Invariants:
- an item is never woken before its slot and at most one slot late (test_wheel_wakes_within_a_slot);
- nor does it matter what else is scheduled meanwhile (test_wheel_forgets_nobody);
- the order within a slot is the order of scheduling (test_wheel_keeps_order);
- turned in parts, it wakes the same (test_wheel_turned_in_parts_wakes_the_same).
"""

from collections.abc import Iterator
from typing import Final

from heartline.core.policy import Heartbeat

EVERYONE: Final = 2**62


class Sleeper:
    """Something with a deadline."""

    __slots__ = ("slot",)

    def __init__(self) -> None:
        self.slot: int = -1
        """the wheel's own: where it waits"""

    def next_deadline(self) -> float | None:
        """When it wants to be woken; None: never."""
        raise NotImplementedError

    def wake(self, now: float) -> None:
        """Its slot has come; do what is due."""
        raise NotImplementedError


def grain_of(*heartbeats: Heartbeat) -> float:
    """How fine the clock of a server has to be for these."""
    return max(0.02, min(0.5, *(min(beat.interval / 50, beat.timeout / 20) for beat in heartbeats)))


class Wheel:
    """Slots of `grain` seconds."""

    def __init__(self, grain: float) -> None:
        self.grain: float = grain
        self._slots: dict[int, list[Sleeper]] = {}
        self._next: int | None = None  # the first slot; None: not known, look for it
        self._slot: int = -1  # the one that is being woken
        self._due: Iterator[Sleeper] = iter(())

    def schedule(self, item: Sleeper) -> None:
        """Take note of an item's deadline; cheap when it has not come nearer."""
        at = item.next_deadline()
        if at is not None:
            self._put(item, at)

    def _put(self, item: Sleeper, at: float) -> None:
        slot = int(at / self.grain) + 1
        if 0 <= item.slot <= slot:
            return
        item.slot = slot
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [item]
        else:
            waiting.append(item)
        if self._next is not None and slot < self._next:
            self._next = slot

    def next_deadline(self) -> float | None:
        """When to call `turn`, unless it said that there is more."""
        if self._next is None and self._slots:
            self._next = min(self._slots)
        return None if self._next is None else self._next * self.grain

    def turn(self, now: float, most: int = EVERYONE) -> bool:
        """Wake what is due, so many at most, and schedule it again; whether more may be due."""
        left = most
        while True:
            slot = self._slot
            for item in self._due:  # goes on where it was left
                if item.slot != slot:
                    continue
                item.slot = -1
                due = item.next_deadline()
                if due is None:
                    continue
                if due <= now:
                    item.wake(now)
                    self.schedule(item)
                else:
                    self._put(item, due)
                left -= 1
                if left == 0:
                    return True
            at = self.next_deadline()
            if at is None or at > now:
                return False
            assert self._next is not None
            self._slot, self._next = self._next, None
            self._due = iter(self._slots.pop(self._slot))
