"""One simulated server process around the real `Node`: its effects, handlers, sockets, crashes and restarts."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from heartline.core.codes import Code
from heartline.core.outbox import Kind
from heartline.core.ports import LogEntry
from heartline.core.server import effects as do
from heartline.core.server.link import ServerLink
from heartline.core.server.node import Node
from heartline.core.server.session import Lane, Pending, Session
from heartline.core.server.verdicts import Accepted, RefusedLogin
from heartline.core.states import LinkState
from heartline.dialects.native import NativeServer, encode_reply
from heartline.faults.rules import Direction

from .asking import Asking
from .clock import Actor, Naps, World
from .ledger import Ledger, Start, reply_to, token_of
from .network import SimLink
from .plan import Plan
from .store import Store
from .watch import ServerWatch

if TYPE_CHECKING:
    from .network import Network

BUDGET = 64


OVERLAPPING = {"c"}


def lane_of(event: str, _channel: str) -> Lane:
    """Some overlap with everything, all publications among themselves."""
    return Lane.FREE if event in OVERLAPPING else Lane.TOGETHER


class SimNode(Actor):
    """A place in the network where server processes run, one after another."""

    def __init__(
        self, world: World, name: str, plan: Plan, store: Store, net: "Network", ledger: Ledger, rng: Random, naps: Naps
    ) -> None:
        super().__init__(world, name, naps)
        self.plan = plan
        self.store = store
        self.net = net
        self.ledger = ledger
        self.rng = rng
        self.up: bool = False
        self.refused: set[tuple[int, str]] = set()
        """Channels taken away from clients."""
        self._links: dict[SimLink, ServerLink] = {}
        self._actions: dict[type, Callable[[Any], None]] = {
            do.Judge: self._judge,
            do.Authorise: self._authorise,
            do.Released: self._released,
            do.CloseLink: self._close,
            do.SessionOpened: self._session_opened,
            do.SessionDetached: _nothing,
            **Asking(self).actions,
        }
        self.begin()

    # life and death

    @property
    def process(self) -> str:
        """The name of this life."""
        return f"{self.name}/{self.life}"

    def begin(self) -> None:
        """Start a process."""
        self.new_life()
        plan = self.plan
        self.up = True
        self.ids = 0
        self.node = Node(
            self.name,
            NativeServer(),
            plan.limits,
            plan.heartbeat,
            self._new_id,
            durable=plan.durable_broker,
            overlapping=OVERLAPPING,
            lane_of=lane_of,
            presence_grace=3.0,
        )
        self.watch = ServerWatch(self)
        self.waiting: dict[Session, list[tuple[int, Pending, Start]]] = {}
        self._asked: dict[str, list[Callable[[], None]]] = {}
        self.stuck: set[str] = set()
        """Sessions whose takeover could not be written yet."""
        self.turning = False
        self._turn_planned = False
        self.world.note(self.name, "begins", self.life)

    def come_back(self) -> None:
        """Start a process if there is none."""
        if not self.up:
            self.begin()

    def die(self, *, silently: bool) -> None:
        """Crash: handlers, links and whatever was not written are gone."""
        if not self.up:
            return
        self.world.note(self.name, "dies", silently)
        self.ledger.count("server crashes")
        self.up = False
        self.ledger.process_died(self.process)
        if not self.plan.durable_broker:
            for session in self.node.sessions:
                self.ledger.session_lost(session, "the server crashed")
        links, self._links = self._links, {}
        for link in links:
            link.node = None
            if not silently:
                link.end(Direction.DOWN, lambda link=link: link.client_loses(Code.ABNORMAL, "crash"))  # type: ignore[misc]
        self.store.node_died(self)
        self.life += 1
        if not self.plan.durable_broker:
            self.store.lose_everything()

    def _new_id(self) -> str:
        self.ids += 1
        return f"{self.name}.{self.life}.{self.ids}"

    # sockets

    def accept(self, link: SimLink) -> None:
        """A connection."""
        link.node = self
        server_link = self.node.open(None, self.now())
        server_link.socket = link
        link.server_link = server_link
        self._links[link] = server_link
        self.watch.opened(server_link)
        self.turn()

    def received(self, link: SimLink, payload: bytes) -> None:
        """A text message."""
        server_link = self._links.get(link)
        if server_link is None:
            return
        self.watch.received(server_link, payload)
        self.node.received(server_link, payload, self.now())
        self.turn()

    def link_lost(self, link: SimLink) -> None:
        """A socket ended."""
        self.awake(lambda: self._link_lost(link))

    def _link_lost(self, link: SimLink) -> None:
        server_link = self._links.pop(link, None)
        if server_link is not None:
            self.node.lost(server_link, self.now())
            self.turn()

    def announced(self, channel: str, entry: LogEntry) -> None:
        """The broker announced an entry."""
        self.node.announced(channel, entry, self.now())
        self.turn()

    # turns

    def deadline(self) -> float | None:
        return self.node.next_deadline() if self.up else None

    def tick(self, late: float) -> None:
        if self.up:
            self.watch.ticking()
            self.node.tick(self.now())
            self.turn()

    def turn(self) -> None:
        """Carry out what the node wants, now or together with what comes in a moment later."""
        if self.turning or not self.up:
            return
        if self.plan.turn_seconds and self.world.now < self.plan.kind_after:
            if not self._turn_planned:
                self._turn_planned = True
                self.after(self.rng.uniform(0.0, self.plan.turn_seconds), self._planned_turn)
            return
        self._turn()

    def _planned_turn(self) -> None:
        self._turn_planned = False
        self._turn()

    def _turn(self) -> None:
        self.turning = True
        node = self.node
        while self.up:
            self._carry_out()
            node.flush(self.now())
            self._carry_out()
            self._write()
            if not (node.effects or node.dirty or node.ready):
                break
        self.turning = False
        if self.up:
            self.watch.after_turn()
            self.arm()

    def _carry_out(self) -> None:
        node = self.node
        budget = BUDGET
        while True:
            if node.effects:
                for effect in node.drain():
                    self._actions[type(effect)](effect)
            elif budget and (message := node.next_start(self.now())) is not None:
                budget -= 1
                self._start(message)
            else:
                return

    def _write(self) -> None:
        for link in self.node.take_dirty():
            self._write_link(link)

    def _write_link(self, link: ServerLink) -> None:
        out, link.out = link.out, []
        socket = link.socket
        if not isinstance(socket, SimLink):
            return
        for piece in out:
            for payload in [piece] if isinstance(piece, bytes) else piece.payloads:
                self.watch.wrote(link, payload)
                socket.carry(Direction.DOWN, len(payload), lambda payload=payload: socket.client_hears(payload))  # type: ignore[misc]

    def _close(self, effect: do.CloseLink) -> None:
        link = effect.link
        self._write_link(link)
        socket = link.socket
        self.world.note(self.name, "closes", effect.code, effect.reason)
        self.watch.closed(link, effect.code, effect.reason)
        if isinstance(socket, SimLink):
            self._links.pop(socket, None)
            socket.node = None
            link.socket = None
            socket.end(Direction.DOWN, lambda: socket.client_loses(effect.code, effect.reason))

    # handlers

    def _start(self, message: Pending) -> None:
        start = self.ledger.start(self.process, message.session.id, message.n, bytes(message.data))
        self.world.note(self.name, "starts", message.session.id, message.n, token_of(bytes(message.data)))
        if message.event == "u" and message.session.durable:
            revision = message.session.record_start(message)
            if revision is not None:
                self.waiting.setdefault(message.session, []).append((revision, message, start))
                return
        self.run_handler(message, start)

    def run_handler(self, message: Pending, start: Start) -> None:
        """Run the handler of a message that was started."""
        start.ran = True
        word = self.ledger.words[token_of(bytes(message.data))]
        if message.kind is Kind.PUB:
            key = (message.session.id, message.n) if self.plan.durable_broker else None

            def publish() -> int:
                return self.store.append(message.target, message.event, bytes(message.data), self.plan.history, key)

            self.store.call(
                self, message.target, publish, lambda _: self._end(message, start, well=True),
                lambda: self._end(message, start, well=False, code="busy"), writes=True,
            )  # fmt: skip
            return
        seconds = word.seconds if self.world.now < self.plan.kind_after else 0.0
        if seconds:
            self.after(seconds, lambda: self._end(message, start, well=not word.fails))
        else:
            self._end(message, start, well=not word.fails)

    def _end(self, message: Pending, start: Start, *, well: bool, code: str = "failed") -> None:
        word = self.ledger.words[token_of(bytes(message.data))]
        start.ended = True
        start.well = well
        self.world.note(self.name, "ends", message.session.id, message.n, well)
        payload = None
        if not well:
            payload = b'["fail",%d,{"code":"%b","message":""}]' % (message.n, code.encode())
        elif message.kind is Kind.CALL:
            payload = encode_reply(message.n, reply_to(word))
        self.node.finished(message, payload, self.now())
        self.turn()

    # questions to the application

    def _judge(self, effect: do.Judge) -> None:
        link = effect.link

        def answer() -> None:
            if link.state is not LinkState.CLOSED:
                self.node.judged(link, self._verdict(effect.payload, renewal=effect.renewal), self.now())
                self.turn()

        if self.plan.login_seconds and self.world.now < self.plan.kind_after:
            self.after(self.rng.uniform(0.0, self.plan.login_seconds), answer)
        else:
            self.node.judged(link, self._verdict(effect.payload, renewal=effect.renewal), self.now())

    def _verdict(self, payload: bytes, *, renewal: bool) -> Accepted | RefusedLogin:
        plan = self.plan
        kind = self.world.now >= plan.kind_after
        if not kind and self.rng.random() < plan.refuse_chance:
            if plan.refuse_for_good and not renewal and self.rng.random() < 0.3:
                return RefusedLogin("no", "", retry=False)
            return RefusedLogin("later", "", retry=self.rng.choice((0.0, 1.5)))
        user: str = msgspec.json.decode(bytes(payload))
        return Accepted(user, user, None if kind else plan.expires_in)

    def _authorise(self, effect: do.Authorise) -> None:
        subscription = effect.subscription
        session = subscription.feed.link.session
        if session is None:
            return
        taken = (int(session.identity.removeprefix("user")), subscription.channel) in self.refused
        self.node.authorised(subscription, "forbidden" if taken else None)

    def _session_opened(self, effect: do.SessionOpened) -> None:
        link = effect.session.link
        if self.plan.greet_and_drop and self.world.now < self.plan.kind_after and link is not None:
            self.after(0.05, lambda: link.close(Code.TRY_LATER, "greeted and dropped"))
            self.after(0.05, self.turn)

    # other nodes

    def asked_to_release(self, session: str, let_go: Callable[[], None]) -> None:
        """Another node wants a session."""
        self._asked.setdefault(session, []).append(let_go)
        self.node.release(session, self.now())
        self.turn()

    def _released(self, effect: do.Released) -> None:
        for let_go in self._asked.pop(effect.session, ()):
            let_go()

    # the application

    def publish(self, channel: str, data: bytes) -> None:
        """The application publishes."""
        history = self.plan.inbox if channel.startswith("@") else self.plan.history
        self.store.call(self, channel, lambda: self.store.append(channel, "e", data, history), _nothing, writes=True)
        self.turn()

    def take_away(self, client: int, channel: str) -> None:
        """Withdraw a permission."""
        self.refused.add((client, channel))
        for session in list(self.node.sessions.values()):
            if session.identity == f"user{client}":
                self.node.revoke(session, channel, "forbidden", "")
        self.turn()

    def ask_to_move(self, after: float, spread: float) -> None:
        """Ask all clients to move."""
        self.node.drain_links(after, spread)
        self.turn()


def _nothing(_: object) -> None:
    """For answers nobody waits for."""
