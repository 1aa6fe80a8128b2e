"""The broker as the simulated nodes see it: a `MemoryBroker` behind a slow wire and transactions.

Every call takes effect a while after it was made and is answered a while after that, in the order made for each
channel and each session, as `heartline.core.ports.Broker` demands; announcements come after the entry can be read.
A broker may die with its node (embedded, one node) or alone and come back; what is not committed then never was.
Where it is elsewhere, what a dying node has under way takes effect up to a random call, the rest never.

Invariants: those of the port; nothing is answered to a node that is dead (test_late_answers_are_for_the_living).
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from heartline.brokers.memory import MemoryBroker
from heartline.core.ports import History, Key, LogEntry, SessionRecord

from .clock import World
from .commits import Call, Lane, Transactions
from .ledger import Ledger
from .plan import Plan

if TYPE_CHECKING:
    from .server import SimNode

SILENCE = 2.0
"""Seconds after which an owner that was asked to release a session counts as silent."""


class Store:
    """What outlives nodes if the plan says so, and what they reach it through."""

    def __init__(self, world: World, plan: Plan, ledger: Ledger, rng: Random) -> None:
        self.world = world
        self.durable = plan.durable_broker
        self.down: bool = False
        """Whether the broker, not its nodes, is dead at present."""
        self._plan = plan
        self._ledger = ledger
        self._rng = rng
        self._incarnation = 0
        self._lanes: dict[tuple[SimNode, int, str], Lane] = {}
        self._announcing: dict[SimNode, float] = {}
        self._to_announce: dict[SimNode, deque[tuple[str, LogEntry]]] = {}
        self._followers: dict[str, dict[SimNode, None]] = {}
        self.nodes: list[SimNode] = []
        seconds = plan.commit_seconds if plan.durable_broker else 0.0
        self._transactions = Transactions(world, seconds, rng, ledger.count)
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
        failed: Callable[[], None] = lambda: None,
        *,
        save: bool = False,
        writes: bool = False,
    ) -> None:
        """Make a call about a channel or session; `answered` gets what `act` returns, in the node's own turn.

        `failed` is called instead where the broker dies before it has answered, whatever became of the call.
        """
        slowest = self._plan.save_seconds if save else self._plan.broker_seconds
        call = Call(about, act, answered, failed, writes=writes)
        if self.down:
            self._fail(node, call)
            return
        lane = self._lanes.get((node, node.life, about))
        slow = slowest or self._plan.commit_seconds
        if not slow and (lane is None or not lane.waiting):
            answered(act())
            return
        if lane is None:
            lane = self._lanes[(node, node.life, about)] = Lane()
        world = self.world
        lane.busy_until = max(lane.busy_until, world.now + self._rng.uniform(0.0, slowest))
        lane.waiting.append(call)
        world.at(lane.busy_until, lambda: self._arrive(node, lane, slowest) if lane.waiting else None)

    def _arrive(self, node: "SimNode", lane: Lane, slowest: float) -> None:
        call = lane.waiting.popleft()
        lane.telling.append(call)
        self._transactions.apply(call, lambda answer: self._committed(node, lane, call, slowest, answer))

    def _committed(self, node: "SimNode", lane: Lane, call: Call, slowest: float, answer: Any) -> None:
        world = self.world
        lane.told_until = max(lane.told_until, world.now + self._rng.uniform(0.0, slowest))

        def tell() -> None:
            if not call.over:
                call.over = True
                lane.telling.remove(call)
                call.answered(answer)
                node.turn()

        node.at(lane.told_until, tell)

    def _fail(self, node: "SimNode", call: Call) -> None:
        call.over = True
        self._ledger.count("broker errors")

        def tell() -> None:
            call.failed()
            node.turn()

        node.after(self._rng.uniform(0.0, 0.05), tell)

    # crashes

    def node_died(self, node: "SimNode") -> None:
        """Decide what becomes of the calls a dead node had under way."""
        lanes = [self._lanes.pop(key) for key in [key for key in self._lanes if key[0] is node]]
        if any(lane.waiting for lane in lanes):
            self._ledger.count("crashes with calls asked")
        if any(lane.telling for lane in lanes):
            self._ledger.count("crashes before an answer")
        if self._to_announce.get(node):
            self._ledger.count("crashes before an announcement")
        embedded = self._plan.commit_seconds and len(self.nodes) == 1
        for lane in lanes:
            for _ in range(0 if embedded else self._rng.randint(0, len(lane.waiting))):
                self._arrive(node, lane, 0.0)
            for call in (*lane.waiting, *lane.telling):
                call.over = True
            lane.waiting.clear()
        if embedded:
            self._transactions.crash()
        for followers in self._followers.values():
            followers.pop(node, None)
        self._to_announce.pop(node, None)
        self._announcing.pop(node, None)

    def die(self) -> None:
        """The broker dies and its nodes live: what they have under way fails, committed or not."""
        if self.down:
            return
        self.down = True
        self._ledger.count("broker crashes")
        self.world.note("store", "dies")
        self._transactions.crash()
        lanes, self._lanes = self._lanes, {}
        for (node, life, _), lane in lanes.items():
            under_way = [*lane.telling, *lane.waiting]
            lane.waiting.clear()
            for call in under_way:
                if life == node.life and not call.over:
                    self._fail(node, call)

    def come_back(self) -> None:
        """The broker is there again, with what was committed; followers are told what they have missed."""
        if not self.down:
            return
        self.down = False
        self.world.note("store", "is back")
        for node, waiting in self._to_announce.items():
            for _ in range(len(waiting)):
                self._announce(node)

    def lose_everything(self) -> None:
        """A broker in memory dies with its process."""
        self.broker = self._new_broker()
        self._followers.clear()
        self.world.note("store", "is empty again", self._incarnation)

    # the port, as far as it is more than the memory broker's

    def append(self, channel: str, event: str, data: bytes, history: History, key: Key | None = None) -> int:
        """Add an entry; its offset."""
        self.broker.follow(channel)  # everything is announced here, so that the ledger hears of it
        _, entry = self.broker.append(channel, event, data, history, key=key)
        return entry.offset

    def _on_entry(self, channel: str, entry: LogEntry) -> None:
        self._ledger.channels.appended(channel, self.broker.head(channel)[0], entry)
        for node in list(self._followers.get(channel, ())):
            self._to_announce.setdefault(node, deque()).append((channel, entry))
            self._announce(node)

    def _announce(self, node: "SimNode") -> None:
        """Announce what is next, in a while; a dead broker does so when it is back."""
        when = max(self._announcing.get(node, 0.0), self.world.now + self._rng.uniform(0.0, self._plan.broker_seconds))
        self._announcing[node] = when

        def announce() -> None:
            waiting = self._to_announce.get(node)
            if waiting and not self.down:
                node.announced(*waiting.popleft())

        node.at(when, announce)

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
