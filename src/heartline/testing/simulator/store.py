"""The broker as the simulated nodes see it: a `MemoryBroker` behind a slow wire.

Every call takes effect a while after it was made and is answered a while after that, in the order made for each
channel and each session, as `heartline.core.ports.Broker` demands; announcements come after the entry can be read.
What a node has under way when it dies takes effect up to a random one, the rest never.

Invariants: those of the port; nothing is answered to a node that is dead (test_late_answers_are_for_the_living).
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from heartline.brokers.memory import MemoryBroker
from heartline.core.ports import History, LogEntry, SessionRecord

from .clock import World
from .ledger import Ledger
from .plan import Plan

if TYPE_CHECKING:
    from .server import SimNode

SILENCE = 2.0
"""Seconds after which an owner that was asked to release a session counts as silent."""


class _Lane:
    """Calls of one node about one channel or session, in order."""

    __slots__ = ("busy_until", "told_until", "waiting")

    def __init__(self) -> None:
        self.busy_until = 0.0
        self.told_until = 0.0
        self.waiting: deque[Callable[[], None]] = deque()


class Store:
    """What outlives nodes if the plan says so, and what they reach it through."""

    def __init__(self, world: World, plan: Plan, ledger: Ledger, rng: Random) -> None:
        self.world = world
        self.durable = plan.durable_broker
        self._plan = plan
        self._ledger = ledger
        self._rng = rng
        self._incarnation = 0
        self._lanes: dict[tuple[SimNode, int, str], _Lane] = {}
        self._announcing: dict[SimNode, float] = {}
        self._followers: dict[str, dict[SimNode, None]] = {}
        self.nodes: list[SimNode] = []
        self.broker = self._new_broker()

    def _new_broker(self) -> MemoryBroker:
        self._incarnation += 1
        steps = Random(self._rng.getrandbits(64))
        broker = MemoryBroker(
            epoch=f"E{self._incarnation}",
            durable=self.durable,
            step=(lambda: steps.choice((1, 1, 2, 7))) if self._plan.holes else (lambda: 1),
            clock=lambda: self.world.now,
        )
        broker.start("store", self._on_entry, lambda _session: True)
        return broker

    # calls

    def call(
        self,
        node: "SimNode",
        about: str,
        act: Callable[[], Any],
        answered: Callable[[Any], None],
        *,
        save: bool = False,
    ) -> None:
        """Make a call about a channel or session; `answered` gets what `act` returns, in the node's own turn."""
        slowest = self._plan.save_seconds if save else self._plan.broker_seconds
        lane = self._lanes.get((node, node.life, about))
        if not slowest and (lane is None or not lane.waiting):
            answered(act())
            return
        if lane is None:
            lane = self._lanes[(node, node.life, about)] = _Lane()
        world = self.world
        lane.busy_until = max(lane.busy_until, world.now + self._rng.uniform(0.0, slowest))
        lane.waiting.append(lambda: self._answer(node, lane, slowest, act(), answered))
        world.at(lane.busy_until, lambda: lane.waiting.popleft()() if lane.waiting else None)

    def _answer(
        self, node: "SimNode", lane: _Lane, slowest: float, answer: Any, answered: Callable[[Any], None]
    ) -> None:
        world = self.world
        lane.told_until = max(lane.told_until, world.now + self._rng.uniform(0.0, slowest))

        def tell() -> None:
            answered(answer)
            node.turn()

        node.at(lane.told_until, tell)

    def node_died(self, node: "SimNode") -> None:
        """Decide what becomes of the calls a dead node had under way."""
        for key in [key for key in self._lanes if key[0] is node]:
            lane = self._lanes.pop(key)
            kept = self._rng.randint(0, len(lane.waiting))
            for _ in range(kept):
                lane.waiting.popleft()()
            lane.waiting.clear()
        for followers in self._followers.values():
            followers.pop(node, None)
        self._announcing.pop(node, None)

    def lose_everything(self) -> None:
        """A broker in memory dies with its process."""
        self.broker = self._new_broker()
        self._followers.clear()
        self.world.note("store", "is empty again", self._incarnation)

    # the port, as far as it is more than the memory broker's

    def append(self, channel: str, event: str, data: bytes, history: History, key: str | None = None) -> int:
        """Add an entry; its offset."""
        self.broker.follow(channel)  # everything is announced here, so that the ledger hears of it
        _, entry = self.broker.append(channel, event, data, history, key=key)
        return entry.offset

    def _on_entry(self, channel: str, entry: LogEntry) -> None:
        self._ledger.channels.appended(channel, self.broker.head(channel)[0], entry)
        slowest = self._plan.broker_seconds
        for node in list(self._followers.get(channel, ())):
            when = max(self._announcing.get(node, 0.0), self.world.now + self._rng.uniform(0.0, slowest))
            self._announcing[node] = when
            node.at(when, lambda node=node: node.announced(channel, entry))  # type: ignore[misc]

    def follow(self, node: "SimNode", channel: str) -> None:
        """Announce a channel to a node."""
        self._followers.setdefault(channel, {})[node] = None

    def unfollow(self, node: "SimNode", channel: str) -> None:
        """Announce it no longer."""
        self._followers.get(channel, {}).pop(node, None)

    def swap(self, record: SessionRecord, expected: int | None) -> bool:
        """Write a session record by compare-and-set."""
        written = self.broker.swap(record, expected)
        if written:
            self._ledger.recorded(record)
        return written

    def release(self, asking: "SimNode", session: str, owner: str, answered: Callable[[bool], None]) -> None:
        """Ask the owner of a session to let go; silence is an answer too."""
        found = next((node for node in self.nodes if node.name == owner), None)
        if found is None or not found.up:
            asking.after(0.01, lambda: self._tell(asking, answered, True))
            return
        said: list[bool] = []
        life = asking.life

        def say(released: bool) -> None:
            if not said and life == asking.life:
                said.append(released)
                if not released:
                    self._ledger.presumed_dead(owner, found.life, session)
                asking.awake(lambda: self._tell(asking, answered, released))

        asking.after(SILENCE, lambda: say(False))
        found.after(self._rng.uniform(0.0, 0.01), lambda: found.asked_to_release(session, lambda: say(True)))

    def _tell(self, node: "SimNode", answered: Callable[[bool], None], released: bool) -> None:
        answered(released)
        node.turn()
