"""What each side may write and hold, looked at from outside while it does (PROTOCOL 2, 3, 5, 7; design §1).

Invariants, each checked under this name: `one_dial`, `final_close`, `numbers`, `floor`, `flight`, `back_off`,
`no_bad_frames`, `one_owner`, `bounded`, `written_after_stored`,
`said_is_saved`.
"""

from random import Random
from typing import TYPE_CHECKING

from heartline.core.codes import Code
from heartline.core.effects import Changed, Drop
from heartline.core.enums import State
from heartline.core.frames import (
    Ack,
    At,
    Bye,
    Call,
    Fail,
    Hello,
    No,
    Ok,
    Ping,
    Pong,
    Pub,
    Reply,
    Send,
    Settled,
    Welcome,
)
from heartline.core.outbox import FIRST_WINDOW, SPAN
from heartline.core.policy import Heartbeat
from heartline.core.server.link import ServerLink
from heartline.core.server.session import Session
from heartline.core.states import LinkState
from heartline.dialects.native import decode_down, decode_up

from .clock import Violation
from .network import SimLink
from .pulse import SLACK, SideWatch

if TYPE_CHECKING:
    from .client import SimClient
    from .server import SimNode


class Dice(Random):
    """A machine's randomness, which remembers the ceilings it was asked for."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.ceiling: float = 0.0

    def uniform(self, a: float, b: float) -> float:
        """Draw, and remember how high it could have been."""
        self.ceiling = b
        return super().uniform(a, b)


class ClientWatch(SideWatch):
    """Looks at one client process."""

    def __init__(self, client: "SimClient", dice: Dice) -> None:
        super().__init__()
        self.actor = client
        self.client = client
        self.dice = dice
        self.steps: set[tuple[int, bool]] = {(0, False)}
        self.dials_out: set[int] = set()
        self.welcomed: set[int] = set()
        self.session: str | None = client.machine.session
        self.last_number: int = 0
        self.window = FIRST_WINDOW
        self.most = SPAN
        self.since_doubling: int = 0
        self.flight: dict[int, None] = {}
        self.told_floor: tuple[str | None, int] = (None, 0)
        self.welcomed_at: float | None = None

    def due(self, link: object) -> float:
        """When the machine's heartbeat wants its tick."""
        return self.client.machine._life.next_deadline()

    # dials and links

    def dials(self, attempt: int) -> None:
        """A dial begins."""
        client = self.client
        if client.closing:
            raise Violation("final_close", f"{client.name} dials after close")
        if self.dials_out:
            raise Violation("one_dial", f"{client.name} dials {attempt} while {sorted(self.dials_out)} is under way")
        if client.links and client.machine.state is not State.MOVING:
            raise Violation("one_dial", f"{client.name} dials {attempt} beside a link")
        self.dials_out.add(attempt)
        client.ledger.count("dials")

    def dial_ended(self, attempt: int) -> None:
        """A dial has ended without a link."""
        self.dials_out.discard(attempt)

    def opened(self, link: SimLink) -> None:
        """A dial became a link."""
        self.dials_out.discard(link.attempt)

    def link_ended(self, link: SimLink) -> None:
        """A link is gone; if it was a good one for long enough, the back-off begins anew."""
        self.pulses.pop(link, None)
        if self.welcomed_at is not None and link.attempt in self.welcomed:
            stable = self.client.plan.policy.back_off.stable
            lived = self.client.world.now - self.welcomed_at
            doubt = SLACK + self.client.slept
            if lived > stable + doubt:
                self.steps = {(0, True)}
            elif lived >= stable - doubt:
                self.steps.add((0, True))
            self.welcomed_at = None

    def dropped(self, link: SimLink | None, effect: Drop) -> None:
        """The machine leaves a link or a dial."""
        self.dials_out.discard(effect.attempt)
        if effect.code == Code.BAD_FRAME:
            raise Violation("no_bad_frames", f"{self.client.name}: {effect.reason}")
        if link is not None:
            if effect.code == Code.PEER_SILENT:
                self.buried(link)
            self.link_ended(link)

    def changed(self, effect: Changed) -> None:
        """The machine's state moved: the back-off must have grown, or been reset, as it should."""
        if effect.new == State.WAITING.value and effect.retry_in is not None:
            policy = self.client.plan.policy.back_off
            ceiling = {step: min(policy.cap, policy.base * 2.0**step) for step, _ in sorted(self.steps)}
            drawn = self.dice.ceiling
            if drawn not in ceiling.values():
                raise Violation("back_off", f"drawn below {drawn}, not {sorted(ceiling.values())}")
            fitting = [(step, proven) for step, proven in sorted(self.steps) if ceiling[step] == drawn]
            self.steps = {(step if proven else step + 1, False) for step, proven in fitting}
        elif effect.old == State.MOVING.value and effect.new != State.OPEN.value:
            self.steps = {(step, False) for step, _ in self.steps}

    def progressed(self) -> None:
        """A message was settled, or a new entry came: this link is good."""
        self.steps = {(min(step, 1), True) for step, _ in self.steps}

    # what it writes

    def wrote(self, link: SimLink | None, attempt: int, payload: bytes) -> None:
        """The machine wrote a frame."""
        client = self.client
        frame = decode_up(payload)
        client.world.note(client.name, "->", attempt, payload[:60])
        if client.closing and not isinstance(frame, Bye):
            raise Violation("final_close", f"{client.name} writes after close")
        if isinstance(frame, Call | Send | Pub):
            self._wrote_number(link, attempt, frame.n, bytes(frame.data))
        elif isinstance(frame, Hello):
            self.last_number = 0
            self._told_floor(frame.body.session, frame.body.floor)
        elif isinstance(frame, Settled):
            self._told_floor(self.session, frame.floor)
        elif isinstance(frame, Ping) and link is not None:
            self.pinged(link)

    def _wrote_number(self, link: SimLink | None, attempt: int, n: int, data: bytes) -> None:
        client = self.client
        if attempt not in self.welcomed:
            raise Violation("numbers", f"{client.name} writes {n} before welcome")
        if n <= self.last_number:
            raise Violation("numbers", f"{client.name} writes {n} after {self.last_number} on one link")
        if n >= self.told_floor[1] + SPAN:
            raise Violation("floor", f"{client.name} writes {n}, floor told is {self.told_floor[1]}")
        self.last_number = n
        word = client.ledger.wrote(self.session, n, data, client.reader)
        if client.disk is not None and not word.stored:
            raise Violation("written_after_stored", f"{word.token} is written before it is on the disk")
        self.flight[n] = None
        if len(self.flight) > max(1, self.window):
            raise Violation("flight", f"{len(self.flight)} messages in flight through a window of {self.window}")

    def _told_floor(self, session: str | None, floor: int) -> None:
        known, told = self.told_floor
        if known == session and floor < told:
            raise Violation("floor", f"the floor fell from {told} to {floor}")
        self.told_floor = (session, floor)
        if session is not None:
            self.client.ledger.told_floor(session, floor)
        lowest = min((m.n for m in self.client.machine.outbox), default=floor)
        if floor > lowest:
            raise Violation("floor", f"the floor {floor} is above {lowest}, which is not settled")

    # what it hears

    def received(self, link: SimLink, payload: bytes) -> None:
        """A frame reached the client, before the machine sees it."""
        client = self.client
        frame = decode_down(payload)
        client.world.note(client.name, "<-", link.attempt, payload[:60])
        self.heard(link)
        if isinstance(frame, Welcome):
            self._welcomed(link, frame)
        elif isinstance(frame, Reply | Fail):
            self._ended(frame.n)
            self.proven(link)
        elif isinstance(frame, Ack):
            for n in [n for n in self.flight if n <= frame.n]:
                self._ended(n)  # calls too: one that is covered without an answer is unknown (PROTOCOL 3.3)
            self.proven(link)
        elif isinstance(frame, Ok | No | Pong):
            self.proven(link)

    def _welcomed(self, link: SimLink, frame: Welcome) -> None:
        client, body = self.client, frame.body
        asked = client.machine.session
        if body.resumed:
            if asked != body.session:
                raise Violation("no_session_lost_without_a_cause", "a session was resumed that nobody named")
        else:
            if asked is not None:
                client.ledger.not_resumed(asked, client.index, self.told_floor[1])
            elif client.machine.session is None:
                client.ledger.channels.begin(client.reader, "@", (body.inbox.epoch, body.inbox.offset))
        self.session = body.session
        self.told_floor = (body.session, self.told_floor[1])
        self.welcomed.add(link.attempt)
        self.window = min(FIRST_WINDOW, body.limits.window)
        self.most = min(body.limits.window, SPAN)
        self.since_doubling = 0
        lost = client.machine.outbox
        self.flight = {m.n: None for m in lost if m.n <= body.received}
        self.welcomed_at = client.world.now
        self.begin_pulse(link, Heartbeat(body.heartbeat.interval, body.heartbeat.timeout))

    def _ended(self, n: int) -> None:
        if n in self.flight:
            del self.flight[n]
            self.since_doubling += 1
            if self.since_doubling >= self.window:
                self.since_doubling = 0
                self.window = min(self.window * 2, self.most)

    def after_turn(self) -> None:
        """The machine is at rest."""
        client = self.client
        machine = client.machine
        outbox = machine.outbox
        limits = client.plan.policy.outbox
        if len(outbox) > limits.messages or outbox.bytes > limits.bytes:
            raise Violation("bounded", f"{len(outbox)} messages, {outbox.bytes} bytes in the outbox")
        for link in list(self.pulses):
            self.owing(link, outbox.in_flight > 0 or machine._down.waiting)
        most = (5 * client.plan.limits.credit + 24) * (len(client.subscribed) + 1)
        if client.unread > most:
            raise Violation("bounded", f"{client.unread} items wait for the application of {client.name}")


class ServerWatch(SideWatch):
    """Looks at one server process."""

    def __init__(self, node: "SimNode") -> None:
        super().__init__()
        self.actor = node
        self.sim = node
        self.grain = node.node.wheel.grain

    def due(self, link: object) -> float:
        """When a link's heartbeat wants its tick."""
        return link.life.next_deadline() if isinstance(link, ServerLink) else 0.0

    def opened(self, link: ServerLink) -> None:
        """A socket is open."""

    def received(self, link: ServerLink, payload: bytes) -> None:
        """A frame reached the server, before the node sees it."""
        frame = decode_up(payload)
        self.heard(link)
        if isinstance(frame, Call | Send | Pub) and link.session is not None:
            self.sim.ledger.reached(bytes(frame.data))
        elif isinstance(frame, Pong | At):
            self.proven(link)

    def wrote(self, link: ServerLink, payload: bytes) -> None:
        """The node wrote a frame."""
        kind = payload[2:5]
        if kind == b"wel":
            self.begin_pulse(link, link.life.heartbeat)
        elif kind == b"pin":
            self.pinged(link)
        elif self.sim.plan.durable_broker and kind in (b"ack", b"rep", b"fai"):
            frame = decode_down(payload)
            if isinstance(frame, Ack | Reply | Fail) and link.session is not None:
                self.sim.ledger.said(link.session.id, kind.decode(), frame.n)

    def closed(self, link: ServerLink, code: int, reason: str) -> None:
        """The node closes a socket."""
        if code == Code.BAD_FRAME:
            raise Violation("no_bad_frames", f"{self.sim.name}: {reason}")
        if code == Code.PEER_SILENT:
            self.buried(link)
        self.pulses.pop(link, None)

    def after_turn(self) -> None:
        """The node is at rest."""
        node = self.sim.node
        owners: dict[Session, ServerLink] = {}
        for link in node.links:
            session = link.session
            if session is None or link.state is not LinkState.LIVE:
                continue
            if session in owners or session.link is not link:
                raise Violation("one_owner", f"two links own session {session.id}")
            owners[session] = link
            feed = link.feed
            self.owing(link, feed.in_flight > 0)
            self._check_feed(link)
        for gone in [link for link in self.pulses if link not in node.links]:
            del self.pulses[gone]
        for session in node.sessions.values():
            self._check_session(session)

    def _check_feed(self, link: ServerLink) -> None:
        limits = self.sim.plan.limits
        total = lone = 0
        for subscription in link.feed.subscriptions():
            total += subscription.flight_bytes
            lone += subscription.flight == 1
            if subscription.flight > 1 and (
                subscription.flight > limits.credit or subscription.flight_bytes > limits.credit_bytes
            ):
                raise Violation(
                    "bounded", f"{subscription.flight} entries, {subscription.flight_bytes} bytes beyond credit"
                )
        if total != link.feed.flight_bytes:
            raise Violation("bounded", f"{total} bytes are in flight, {link.feed.flight_bytes} are accounted for")
        if total > limits.link_credit_bytes and not lone:
            raise Violation("bounded", f"{total} bytes in flight on one link")

    def _check_session(self, session: Session) -> None:
        sim = self.sim
        if len(session.results) > SPAN or len(session.pending) > SPAN or len(session.ended) > SPAN:
            raise Violation("bounded", f"session {session.id} keeps more than {SPAN} results or messages")
        if len(session.held or ()) > 4 * SPAN + 50:
            raise Violation("bounded", f"session {session.id} holds back {len(session.held or ())} frames")
        if session.link is None and session.id not in sim.node.detached:
            raise Violation("bounded", f"session {session.id} has no link and no end")
