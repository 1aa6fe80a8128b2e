"""Links between the simulated peers, over the plan of `heartline.faults.model`, in virtual time.

A link carries chunks: one text message, or the end of the stream with a close code. What arrives at a side that has
left is dropped, as a kernel would.

Invariant: nothing overtakes within a direction, and nothing arrives after its side has left
(test_the_network_keeps_order).
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from heartline.core.codes import Code
from heartline.core.server.link import ServerLink
from heartline.faults.model import DialVerdict, FaultModel, LinkEventKind, LinkFaults
from heartline.faults.rules import Direction

from .clock import World

if TYPE_CHECKING:
    from .client import SimClient
    from .server import SimNode

HANDSHAKE_BYTES = 200


class SimLink:
    """One connection. A side that has left is None."""

    def __init__(self, net: "Network", number: int, client: "SimClient", attempt: int, faults: LinkFaults) -> None:
        self.net = net
        self.number = number
        self.attempt = attempt
        self.client: SimClient | None = client
        self.node: SimNode | None = None
        self.server_link: ServerLink | None = None
        self.is_open = False
        self.faults = faults
        self._last = {Direction.UP: 0.0, Direction.DOWN: 0.0}
        self._ended = {Direction.UP: False, Direction.DOWN: False}

    def carry(self, direction: Direction, size: int, act: Callable[[], None]) -> None:
        """Bring a chunk to the other side, if it gets there."""
        world = self.net.world
        if self._ended[direction]:
            return
        when = self.faults.arrival(direction, world.now, size)
        if when is not None:
            self._last[direction] = max(when, self._last[direction])
            world.at(when, act)

    def end(self, direction: Direction, act: Callable[[], None]) -> None:
        """Nothing more goes this way: the end of the stream, behind all that went before."""
        if not self._ended[direction]:
            self.carry(direction, 0, act)
            self._ended[direction] = True

    def watch(self) -> None:
        """Carry out what the plan does to this link."""
        when = self.faults.next_event()
        if when is not None and (self.client is not None or self.node is not None):
            self.net.world.at(when, self._advance)

    def _advance(self) -> None:
        world = self.net.world
        for event in self.faults.advance(world.now):
            world.note(f"link {self.number}", event.what.value, str(event.direction or ""))
            if event.what is LinkEventKind.CUT:
                up, down = (0.0, 0.0) if event.loses_data else (self._last[Direction.UP], self._last[Direction.DOWN])
                world.at(max(world.now, down), lambda: self.client_loses(Code.ABNORMAL, "cut"))
                world.at(max(world.now, up), self.server_loses)
                self._ended = dict.fromkeys(Direction, True)
        self.watch()

    def client_hears(self, payload: bytes) -> None:
        """A message reaches the client."""
        client = self.client
        if client is not None:
            client.awake(lambda: client.received(self, payload))

    def server_hears(self, payload: bytes) -> None:
        """A message reaches the server."""
        node = self.node
        if node is not None:
            node.awake(lambda: node.received(self, payload))

    def client_loses(self, code: int, reason: str) -> None:
        """The client's socket ends."""
        client, self.client = self.client, None
        if client is not None:
            client.link_lost(self, code, reason)

    def server_loses(self) -> None:
        """The server's socket ends."""
        node, self.node = self.node, None
        if node is not None:
            node.link_lost(self)


class Network:
    """Dials, links and the model behind them."""

    def __init__(self, world: World, model: FaultModel, rng: Random) -> None:
        self.world = world
        self.nodes: list[SimNode] = []
        self.links: int = 0
        self._model = model
        self._rng = rng

    def dial(self, client: "SimClient", attempt: int) -> None:
        """One attempt; ends in `client.opened`, `client.dial_failed`, or nothing at all."""
        world = self.world
        verdict = self._model.dial(world.now)
        node = self._rng.choice(self.nodes)
        if verdict is DialVerdict.HANG:
            return
        if verdict is DialVerdict.REFUSE or not node.up:
            client.after(0.01, lambda: client.dial_failed(attempt, "refused"))
            return
        self.links += 1
        link = SimLink(self, self.links, client, attempt, self._model.link(world.now))
        client.dialling = link
        link.carry(Direction.UP, HANDSHAKE_BYTES, lambda: self._reach(link, node))
        link.watch()

    def _reach(self, link: SimLink, node: "SimNode") -> None:
        if link.client is None:
            return
        if not node.up:
            link.end(Direction.DOWN, lambda: link.client_loses(Code.ABNORMAL, "reset"))
            return
        node.accept(link)
        link.carry(Direction.DOWN, HANDSHAKE_BYTES, lambda: self._opened(link))

    def _opened(self, link: SimLink) -> None:
        if link.client is not None:
            link.client.opened(link)
