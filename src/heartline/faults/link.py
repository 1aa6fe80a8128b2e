"""One proxied link: two sockets, two pipes, and what the network does to them.

A freeze holds bytes, ends of stream and resets alike: the side that gives up a frozen link is noticed (LEFT), but the
other side does not learn it before the thaw. A link nobody will ever thaw is dropped once both sides have left.

Invariants, tested in ``tests/faults/test_proxy*.py``:

- losing_cut_resets_both: everything in flight is counted as lost, both peers see a reset.
- gentle_cut_delivers_first: what had reached the proxy arrives, then the end of the stream.
- frozen_moves_nothing: while a direction is frozen nothing of it is read or written; both connections stay open.
- half_closes_pass: one side's end of stream leaves the other direction open.
- errors_pass: a reset of one side resets the other.
- closed_leaves_nothing: CLOSED means both sockets are gone and no timer is armed.
"""

import asyncio
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Final

from heartline.faults.groups import HEAD_END, HEAD_LIMIT, HEAD_WAIT, Plan
from heartline.faults.model import LinkEvent, LinkEventKind, LinkFaults
from heartline.faults.pipes import Pipe
from heartline.faults.report import ProxyEventKind
from heartline.faults.rules import Direction
from heartline.faults.sides import Side, SideState

if TYPE_CHECKING:
    from heartline.faults.proxy import FaultProxy

_DIAL_LIMIT: Final = 10.0  # seconds for the connection to the target
_LINGER: Final = 5.0  # seconds both peers have to take the rest and close, once a link ends gently


class LinkPhase(Enum):
    """ARRIVED: the verdict is not in, perhaps for want of a name. HUNG: never answered. CLOSING: nothing new enters. CLOSED: sockets gone."""

    ARRIVED = "arrived"
    DIALLING = "dialling"
    HUNG = "hung"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


LEGAL_PHASES: Final[dict[LinkPhase, frozenset[LinkPhase]]] = {
    LinkPhase.ARRIVED: frozenset({LinkPhase.DIALLING, LinkPhase.HUNG, LinkPhase.CLOSING}),
    LinkPhase.DIALLING: frozenset({LinkPhase.OPEN, LinkPhase.CLOSING}),
    LinkPhase.HUNG: frozenset({LinkPhase.CLOSING}),
    LinkPhase.OPEN: frozenset({LinkPhase.CLOSING}),
    LinkPhase.CLOSING: frozenset({LinkPhase.CLOSED}),
    LinkPhase.CLOSED: frozenset(),
}


class ProxyLink:
    """Made by `FaultProxy` for each dial; ``number`` counts dials from 1, ``name`` is what a `Group` goes by."""

    def __init__(self, host: "FaultProxy") -> None:
        self.host = host
        self.number = 0
        self.name: str | None = None
        self.phase: LinkPhase = LinkPhase.ARRIVED
        self.client: Side = Side(self, Direction.UP)
        self.server: Side = Side(self, Direction.DOWN)
        self.up: Pipe = Pipe(self, self.client, self.server, host.held_limit)
        self.down: Pipe = Pipe(self, self.server, self.client, host.held_limit)
        self.frozen: set[Direction] = set()  # in force now, for whatever reason
        self.held: set[Direction] = set()  # frozen by hand, this link only
        self.instant: bool = True  # no rule delays bytes: they need not queue
        self.dialling: asyncio.Task[None] | None = None
        self._faults: LinkFaults | None = None
        self._began = 0.0  # loop time at which the model's clock stood at 0
        self._timer: asyncio.TimerHandle | None = None
        self._head: bytearray | None = None  # what the client said, while its name is waited for

    # --- the verdict on the dial ----------------------------------------------------------------

    def hear_head(self) -> None:
        """Wait for the head of a request before there is a verdict."""
        self._head = bytearray()
        self._timer = self.host.loop.call_later(HEAD_WAIT, self._name)
        self.client.listen(True)

    def _name(self) -> None:
        """The head is there, or will not come."""
        head, self._head = bytes(self._head or b""), None
        self._cancel_timer()
        self.client.listen(False)
        self.host.named(self, head)
        if self.phase is LinkPhase.DIALLING:
            self.up.feed(head)
        else:
            self.host.count_lost(self, len(head))

    def refuse(self) -> None:
        """Reset the client at once."""
        self.shut()

    def hang(self) -> None:
        """Keep the client waiting for ever; what it says is read and dropped, so its leaving is heard."""
        self._go(LinkPhase.HUNG)
        self.client.listen(True)

    def accept(self, plan: Plan) -> None:
        """Dial the target for the client."""
        self._go(LinkPhase.DIALLING)
        self.obey(plan)
        self.host.watch(self)
        self.dialling = self.host.loop.create_task(self._dial(), name=f"fault-proxy-dial-{self.number}")

    async def _dial(self) -> None:
        try:
            async with asyncio.timeout(_DIAL_LIMIT):
                await self.host.loop.create_connection(lambda: self.server, *self.host.target)
        except OSError:  # refused, unreachable or too slow: the client learns it as a reset
            if self.phase is LinkPhase.DIALLING:
                self.shut()
                self.host.report(self, ProxyEventKind.UNREACHABLE)

    # --- what the sides tell --------------------------------------------------------------------

    def connected(self, side: Side) -> None:
        """A socket is there: the client's asks for a verdict, the server's opens the link."""
        if side is self.client:
            self.host.arrived(self)
        elif self.phase is LinkPhase.DIALLING:
            self._go(LinkPhase.OPEN)
            self.host.report(self, ProxyEventKind.OPENED)
            self.refresh()
            self.up.pump()
            self.down.pump()
        else:  # given up while it was dialled
            side.reset()

    def received(self, side: Side, data: bytes) -> None:
        """Bytes of one side. uvloop reads an accepted socket once even if told not to: those wait in the pipe."""
        if self._head is not None:
            self._head += data
            if HEAD_END in self._head or len(self._head) >= HEAD_LIMIT or not self._head[:1].isalpha():  # TLS, say
                self._name()
        elif self.flowing or self.phase is LinkPhase.DIALLING:
            self._from(side).feed(data)
        else:
            self.host.count_lost(self, len(data))

    def ended(self, side: Side) -> None:
        """One side sends no more."""
        if self._head is not None:
            self._name()
        self.noticed(side, gone=False)
        if self.phase is LinkPhase.OPEN or self.phase is LinkPhase.DIALLING:
            self._from(side).end()
        elif self.phase is LinkPhase.CLOSING:
            self.settle()
        else:
            self.shut()

    def lost(self, side: Side) -> None:
        """One socket is gone; when we did not close it, the other side is told as soon as the network allows."""
        self.noticed(side, gone=True)
        if self.phase is LinkPhase.OPEN:
            self._to(side).drop()
            self._to(side).regulate()
            self._from(side).reset()
        elif self.phase is not LinkPhase.CLOSING:
            self.shut()
        if self.phase is not LinkPhase.CLOSED and all(
            s.state in {SideState.ABSENT, SideState.LOST} for s in (self.client, self.server)
        ):
            self._close()

    def writable_again(self, side: Side) -> None:
        """One side takes bytes again."""
        self._to(side).pump()

    def noticed(self, side: Side, gone: bool) -> None:
        """The peer of ``side`` left; ``gone``: it can receive nothing either."""
        known, side.left, side.gone = side.left, True, side.gone or gone
        if not known and self.phase in {LinkPhase.DIALLING, LinkPhase.OPEN, LinkPhase.HUNG}:
            self.host.report(self, ProxyEventKind.LEFT, side.direction)
        if (gone and self.phase is LinkPhase.DIALLING) or (self.phase is LinkPhase.OPEN and self._forsaken()):
            self.shut()

    # --- what the network does ------------------------------------------------------------------

    @property
    def flowing(self) -> bool:
        """Whether bytes may be read at all."""
        return self.phase is LinkPhase.OPEN or self.phase is LinkPhase.CLOSING

    def due(self, direction: Direction, size: int) -> float:
        """Loop time at which ``size`` bytes that enter now come out, freezes aside."""
        now = self.host.loop.time()
        if self._faults is None:
            return now
        return self._began + self._faults.transit(direction, now - self._began, size)

    def obey(self, plan: Plan) -> None:
        """Follow this plan from now on. What is under way keeps its time."""
        if self.phase is not LinkPhase.DIALLING and self.phase is not LinkPhase.OPEN:
            return
        rules = plan.rules
        self.instant = not rules.latency and not rules.jitter and rules.bandwidth is None
        self._faults, self._began = plan.link(self.host.loop.time()), plan.began
        self._arm()
        self.refresh()

    def refresh(self) -> None:
        """Bring ``frozen`` in line with the plan and the hands; say what changed."""
        if self.phase is not LinkPhase.OPEN:
            return
        held = self.host.held_for(self)
        for pipe in (self.up, self.down):
            direction = pipe.direction
            wanted = direction in held or (self._faults is not None and self._faults.frozen(direction))
            if wanted and direction not in self.frozen:
                self.frozen.add(direction)
                self.host.report(self, ProxyEventKind.FROZEN, direction)
                pipe.regulate()
            elif not wanted and direction in self.frozen:
                self._thaw(pipe)

    def cut(self, lose: bool) -> None:
        """Cut the link: reset both sides, or deliver what is in flight and then end both streams."""
        if self.phase in {LinkPhase.CLOSING, LinkPhase.CLOSED}:
            return
        before = self.phase
        self._go(LinkPhase.CLOSING)
        self.host.report(self, ProxyEventKind.CUT, loses_data=lose)
        if lose or before is LinkPhase.DIALLING:
            self.shut()
        elif before is LinkPhase.HUNG:
            self.client.close()
        else:
            self._arm_linger()
            for pipe in (self.up, self.down):
                if pipe.direction in self.frozen:
                    self._thaw(pipe)
                pipe.end_gently()

    def shut(self) -> None:
        """Reset what is connected and lose what is held."""
        if self.phase is LinkPhase.CLOSED:
            return
        if self.phase is not LinkPhase.CLOSING:
            self._go(LinkPhase.CLOSING)
        if self.dialling is not None and self.server.state is SideState.ABSENT:
            self.dialling.cancel()  # later it would take the socket from us without a connection_lost (uvloop)
        head, self._head = self._head or b"", None
        self.host.count_lost(self, len(head))
        for side in (self.client, self.server):
            self.host.count_lost(self, sum(len(data) for data in side.unread()))
        for pipe in (self.up, self.down):
            pipe.closing = True
            pipe.drop()
            self.reset(pipe.sink)
        self._cancel_timer()

    def reset(self, side: Side) -> None:
        """Reset one side; what its socket had not sent yet is lost."""
        self.host.count_unsent(self, self._to(side).direction, side.reset())

    def settle(self) -> None:
        """Close what has nothing left to do: both ends passed on, or a cut link whose side has ended."""
        if self.phase is LinkPhase.OPEN and self.up.finished and self.down.finished:
            self._go(LinkPhase.CLOSING)
            self._arm_linger()
        if self.phase is LinkPhase.CLOSING:
            for pipe in (self.up, self.down):
                if pipe.finished and pipe.sink.state is SideState.ENDED:
                    pipe.sink.close()

    # --- inside ---------------------------------------------------------------------------------

    def deaf_sides(self) -> Iterator[Side]:
        """Connected sides nothing is read from: their leaving has to be looked for."""
        return (side for side in (self.client, self.server) if side.deaf)

    def _forsaken(self) -> bool:
        """Frozen, both sides left, and nobody can be waiting for a thaw any more."""
        sides = (self.client, self.server)
        if not self.frozen or not all(side.left for side in sides):
            return False
        by_hand = self.host.held_for(self)
        for_ever = not by_hand and (self._faults is None or self._faults.next_event() is None)
        return for_ever or all(side.gone for side in sides)

    def _thaw(self, pipe: Pipe) -> None:
        self.frozen.discard(pipe.direction)
        self.host.report(self, ProxyEventKind.THAWED, pipe.direction)
        pipe.pump()

    def _arm(self) -> None:
        """One timer, for the next event of the plan."""
        self._cancel_timer()
        when = self._faults.next_event() if self._faults is not None else None
        if when is not None:
            self._timer = self.host.loop.call_at(self._began + when, self._happen, when)

    def _happen(self, when: float) -> None:
        self._timer = None
        if self._faults is None:
            return
        events: list[LinkEvent] = self._faults.advance(max(when, self.host.loop.time() - self._began))
        self._arm()
        cut = next((event for event in events if event.what is LinkEventKind.CUT), None)
        if cut is not None:  # before any thaw: a cut that loses data must not let out what was held
            self.cut(cut.loses_data)
        self.refresh()

    def _arm_linger(self) -> None:
        self._cancel_timer()
        self._timer = self.host.loop.call_later(_LINGER, self.shut)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        """Both sockets are gone."""
        if self.phase is not LinkPhase.CLOSING:
            self._go(LinkPhase.CLOSING)
        for pipe in (self.up, self.down):
            pipe.drop()
        self._cancel_timer()
        self._go(LinkPhase.CLOSED)
        self.host.report(self, ProxyEventKind.CLOSED)

    def _from(self, side: Side) -> Pipe:
        return self.up if side is self.client else self.down

    def _to(self, side: Side) -> Pipe:
        return self.down if side is self.client else self.up

    def _go(self, new: LinkPhase) -> None:
        if new not in LEGAL_PHASES[self.phase]:
            raise RuntimeError(f"proxied link: {self.phase.name} to {new.name} is not a legal move")
        self.phase = new
