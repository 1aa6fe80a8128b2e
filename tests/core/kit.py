"""A client machine with everything around it: the clock, the dice, and what it drained."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from msgspec import Raw

from heartline.core import effects as do
from heartline.core.client import ClientMachine
from heartline.core.enums import State
from heartline.core.frames import NULL
from heartline.core.outbox import Kind
from heartline.core.policy import ClientPolicy
from heartline.core.saved import Saved
from heartline.dialects.native import NativeClient

LIMITS = {
    "message": 1 << 20,
    "window": 256,
    "window_bytes": 1 << 20,
    "credit": 512,
    "credit_bytes": 262144,
    "subscriptions": 1000,
}


class Dice(Random):
    """Draws the numbers it was given, then 0.5 for ever: uniform(a, b) = a + (b - a) * r."""

    def __init__(self, *draws: float) -> None:
        super().__init__(0)
        self.draws = list(draws)

    def random(self) -> float:
        return self.draws.pop(0) if self.draws else 0.5


def welcome(session: str = "s", *, resumed: bool = False, received: int = 0, **more: Any) -> list[Any]:
    """A welcome; `limits` and the other keys of its body may be given."""
    body: dict[str, Any] = {
        "session": session,
        "resumed": resumed,
        "received": received,
        "heartbeat": {"interval": 25, "timeout": 10},
        "limits": LIMITS | more.pop("limits", {}),
        "inbox": {"epoch": "i", "offset": 0},
    }
    if not resumed:
        body["key"] = "k"
    return ["welcome", body | more]


class Kit:
    """Drives one machine. `now` is its clock; `new` holds the effects of the last input."""

    def __init__(self, policy: ClientPolicy | None = None, *draws: float, saved: Saved | None = None) -> None:
        self.machine = ClientMachine(policy or ClientPolicy(), NativeClient(), Dice(*draws), "me", saved=saved)
        self.now = 0.0
        self.new: list[do.Effect] = []
        self.all: list[do.Effect] = []

    def step(self) -> list[do.Effect]:
        self.new = self.machine.drain()
        self.all += self.new
        return self.new

    # the network

    def dial(self) -> None:
        """Begin, and have the socket opened."""
        self.machine.connect(self.now)
        self.step()
        self.opened()

    def opened(self, login: Raw = NULL) -> list[do.Effect]:
        self.machine.opened(self.machine.attempt, self.now, login)
        return self.step()

    def open(self, session: str = "s", **more: Any) -> list[do.Effect]:
        """From anywhere to OPEN: dial if need be, greet, and be welcome."""
        machine = self.machine
        if machine.state is State.IDLE:
            machine.connect(self.now)
        elif machine.state in {State.WAITING, State.GAVE_UP, State.REFUSED}:
            machine.retry_now(self.now)
        if machine.state in {State.DIALLING, State.MOVING}:
            self.opened()
        return self.hear(*welcome(session, **more))

    def hear(self, *frame: Any, attempt: int | None = None) -> list[do.Effect]:
        """The server says one frame."""
        return self.hear_text(json.dumps(frame).encode(), attempt)

    def hear_text(self, text: bytes, attempt: int | None = None) -> list[do.Effect]:
        self.machine.received(self.machine.attempt if attempt is None else attempt, text, self.now)
        return self.step()

    def lose(self, code: int = 1006, attempt: int | None = None) -> list[do.Effect]:
        self.machine.lost(self.machine.attempt if attempt is None else attempt, code, "gone", self.now)
        return self.step()

    def tick(self, now: float | None = None) -> list[do.Effect]:
        if now is not None:
            self.now = now
        self.machine.tick(self.now)
        return self.step()

    def wait(self) -> list[do.Effect]:
        """Go to the next deadline and tick."""
        at = self.machine.next_deadline()
        assert at is not None
        return self.tick(at)

    # the person

    def send(self, kind: str = "send", event: str = "e", data: bytes = b"1", **more: Any) -> int:
        n = self.machine.send(Kind(kind), event, data, self.now, **more)
        self.step()
        return n

    def subscribe(self, channel: str, *place: Any) -> list[do.Effect]:
        self.machine.subscribe(channel, self.now, *place)
        return self.step()

    def handled(self, channel: str, epoch: str, offset: int, size: int = 10) -> list[do.Effect]:
        self.machine.handled(channel, epoch, offset, size, self.now)
        return self.step()

    # what was drained

    @property
    def state(self) -> State:
        return self.machine.state

    @property
    def deadline(self) -> float | None:
        return self.machine.next_deadline()

    def frames(self, effects: Sequence[do.Effect] | None = None) -> list[Any]:
        """What was transmitted, as JSON."""
        return [json.loads(e.payload) for e in (self.new if effects is None else effects) if isinstance(e, do.Transmit)]

    def of(self, *kinds: type[Any]) -> list[Any]:
        """The effects of these kinds among the last ones."""
        return [e for e in self.new if isinstance(e, kinds)]

    def items(self) -> list[Any]:
        """What was handed over: (epoch, offset) for entries, (epoch, after, to, reason) for gaps."""
        return [
            (e.item.epoch, e.item.offset)
            if isinstance(e.item, do.Entry)
            else (e.item.epoch, e.item.after, e.item.to, e.item.reason)
            for e in self.of(do.Arrived)
        ]

    def outcomes(self) -> list[tuple[int, str]]:
        return [(e.message.n, e.outcome.value) for e in self.of(do.Settle)]
