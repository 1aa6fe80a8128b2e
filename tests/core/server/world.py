"""One server node in virtual time over a broker in memory: effects are carried out at once, or held on demand."""

import itertools
import json
from collections.abc import Callable
from typing import Any

from heartline.brokers.memory import MemoryBroker
from heartline.core.outbox import Kind
from heartline.core.policy import Heartbeat, ServerLimits
from heartline.core.ports import History, LogEntry
from heartline.core.server import effects as do
from heartline.core.server.link import ServerLink
from heartline.core.server.node import Node
from heartline.core.server.session import Pending, Session
from heartline.core.server.verdicts import Accepted, RefusedLogin
from heartline.dialects.native import NativeServer

Verdict = Accepted | RefusedLogin


class Peer:
    """A client at the far end of one link: what it says, what it has heard."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.link: ServerLink = world.node.open(None, world.now)
        self.link.socket = self
        self.heard: list[Any] = []
        self.new: list[Any] = []
        self.closed: tuple[int, str] | None = None

    def say(self, *frames: list[Any]) -> list[Any]:
        """Say frames in one turn; what was heard in answer."""
        return self.say_text(*[json.dumps(frame).encode() for frame in frames])

    def say_text(self, *texts: bytes) -> list[Any]:
        self.new = []
        for text in texts:
            self.world.node.received(self.link, text, self.world.now)
        self.world.turn()
        return self.new

    def hello(self, instance: str = "i", floor: int = 1, **more: Any) -> list[Any]:
        return self.say(["hello", {"instance": instance, "floor": floor, **more}])

    def resume(self, before: "Peer", instance: str = "i", floor: int = 1, **more: Any) -> list[Any]:
        """Come back as the one who was welcomed on another link."""
        body = next(frame[1] for frame in before.heard if frame[0] == "welcome")
        key = body.get("key") or more.pop("key")
        return self.hello(instance, floor, session=body["session"], key=key, **more)

    def lose(self) -> None:
        """The socket goes without a word."""
        self.world.node.lost(self.link, self.world.now)
        self.world.turn()

    def take(self) -> list[Any]:
        """What was heard since the last look."""
        new, self.new = self.new, []
        return new

    def kinds(self) -> list[str]:
        return [frame[0] for frame in self.heard]

    def offsets(self, channel: str) -> list[int]:
        """The entries of a channel that were heard, and gaps as negative numbers: (0 - to)."""
        found = []
        for frame in self.heard:
            if frame[0] == "msg" and frame[1] == channel:
                found.append(frame[2])
            elif frame[0] == "gap" and frame[1] == channel:
                found.append(-frame[2]["to"])
        return found

    @property
    def session(self) -> Session:
        assert self.link.session is not None
        return self.link.session

    @property
    def code(self) -> int | None:
        return self.closed[0] if self.closed else None

    def hear(self, payload: bytes) -> None:
        assert self.closed is None, f"written after the close: {payload!r}"
        frame = json.loads(payload)
        self.heard.append(frame)
        self.new.append(frame)


class World:
    """`hold` names the effects that are not answered at once: they wait in `held`, for `answer`.

    Messages that were started wait in `running`, by number of their session, unless `auto` ends them.
    """

    def __init__(
        self,
        *,
        limits: ServerLimits | None = None,
        heartbeat: Heartbeat | None = None,
        broker: MemoryBroker | None = None,
        name: str = "n1",
        ids: Callable[[], str] | None = None,
        **more: Any,
    ) -> None:
        count = itertools.count()
        self.now = 0.0
        self.broker = broker or MemoryBroker(epoch="E", durable=more.get("durable", False), clock=lambda: self.now)
        self.node = Node(
            name, NativeServer, limits or ServerLimits(), heartbeat or Heartbeat(), ids or (lambda: f"id{next(count)}"),
            trace=lambda at, what, details: self.traced.append((at, what, details)), **more,
        )  # fmt: skip
        self.broker.start(name, self._announced, lambda _session: True)
        self.traced: list[tuple[float, str, dict[str, object]]] = []
        self.hold: tuple[type, ...] = ()
        self.held: list[Any] = []
        self.effects: list[Any] = []
        self.started: list[Pending] = []
        self.running: dict[int, Pending] = {}
        self.auto = False
        self.verdict: Callable[[Any], Verdict] = lambda _login: Accepted("user")
        self.allow: Callable[[Any], tuple[str | None, str, bool]] = lambda _subscription: (None, "", False)
        self.owners: dict[str, World] = {}

    # people

    def peer(self, *, welcome: bool = True, **more: Any) -> Peer:
        """A new link, welcomed unless it is said otherwise."""
        peer = Peer(self)
        if welcome:
            peer.hello(**more)
            assert peer.heard[0][0] == "welcome", peer.heard
            peer.take()
        return peer

    def publish(self, channel: str, *data: int | bytes, history: History | None = None) -> list[LogEntry]:
        """Append entries in one turn."""
        texts = [one if isinstance(one, bytes) else b"%d" % one for one in data]
        entries = [self.broker.append(channel, "e", text, history or History())[1] for text in texts]
        self.turn()
        return entries

    def finish(self, n: int, reply: Any = ..., fail: str | None = None, reply_text: bytes | None = None) -> None:
        """End the running message n: silently, with a reply or with a fail."""
        message = self.running.pop(n)
        payload = None
        if fail is not None:
            payload = b'["fail",%d,{"code":"%b","message":""}]' % (n, fail.encode())
        elif reply is not ... or reply_text is not None:
            payload = b'["reply",%d,%b]' % (n, reply_text if reply_text is not None else json.dumps(reply).encode())
        self.node.finished(message, payload, self.now)
        self.turn()

    # time

    def advance(self, to: float) -> None:
        """Go on to a moment, waking the node whenever it asked for it."""
        while (at := self.node.next_deadline()) is not None and at <= to:
            assert at >= self.now - 1e-9 or at <= self.now
            self.now = max(self.now, at)
            self.node.tick(self.now)
            self.turn()
            later = self.node.next_deadline()
            assert later is None or later > at or later > self.now, "a tick that leaves its own deadline due"
        self.now = max(self.now, to)

    # the shell

    def turn(self) -> None:
        """One turn of the loop, until nothing is left to do."""
        node = self.node
        for _ in range(100_000):
            effects = node.drain()
            for effect in effects:
                self.effects.append(effect)
                if isinstance(effect, self.hold):
                    self.held.append(effect)
                else:
                    self.answer(effect)
            self._write()
            if effects:
                continue
            message = node.next_start(self.now)
            if message is not None:
                self._start(message)
            elif node.wants_flush:
                node.flush(self.now)
                self._write()
            else:
                return
        raise AssertionError("the node never comes to rest")

    def answer_held(self, kind: type | None = None) -> int:
        """Answer what is held, of one kind or all, and finish the turn; how many."""
        held = [effect for effect in self.held if kind is None or isinstance(effect, kind)]
        self.held = [effect for effect in self.held if effect not in held]
        for effect in held:
            self.answer(effect)
        self.turn()
        return len(held)

    def answer(self, effect: Any) -> None:
        """Carry one effect out."""
        if not self._about_sessions(effect) and not self._about_channels(effect):
            raise AssertionError(f"an effect nobody carries out: {effect!r}")

    def _about_sessions(self, effect: Any) -> bool:
        node, broker, now = self.node, self.broker, self.now
        match effect:
            case do.Judge():
                node.judged(effect.link, self.verdict(json.loads(bytes(effect.payload))), now)
            case do.Authorise():
                node.authorised(effect.subscription, *self.allow(effect.subscription))
            case do.Load():
                node.loaded(effect.link, broker.load(effect.session), now)
            case do.Release():
                owner = self.owners.get(effect.owner)
                if owner is not None:
                    owner.now = max(owner.now, now)
                    owner.node.release(effect.session, now)
                    owner.turn()
                node.released(effect.link, owner is not None, now)
            case do.Swap():
                node.swapped(effect.link, broker.swap(effect.record, effect.expected), now)
            case do.Save():
                node.saved(effect.session, effect.revision, broker.swap(effect.record, effect.expected), now)
            case do.ForgetSession():
                if not node.durable or broker.forget(effect.session.id, effect.session.generation):
                    broker.drop(f"@{effect.session.id}")
            case do.CloseLink():
                self._flush_link(effect.link)
                peer = effect.link.socket
                assert isinstance(peer, Peer)
                peer.closed = (effect.code, effect.reason)
            case do.SessionOpened() | do.SessionDetached() | do.Released():
                pass
            case _:
                return False
        return True

    def _about_channels(self, effect: Any) -> bool:
        node, broker, now = self.node, self.broker, self.now
        match effect:
            case do.Head():
                node.headed(effect.subscription, *broker.head(effect.subscription.channel), now)
            case do.HeadInbox():
                node.inbox_headed(effect.link, *broker.head(effect.channel), now)
            case do.Read():
                channel = effect.subscription.channel
                piece = broker.read(channel, effect.after, effect.limit, effect.max_bytes)
                node.read(effect.subscription, piece, now)
            case do.Follow():
                broker.follow(effect.channel)
            case do.Unfollow():
                broker.unfollow(effect.channel)
            case do.Append():
                broker.append(effect.channel, effect.event, effect.data, History())
            case _:
                return False
        return True

    def _start(self, message: Pending) -> None:
        self.started.append(message)
        if not self.auto:
            self.running[message.n] = message
        elif message.kind is Kind.CALL:
            self.node.finished(message, b'["reply",%d,%b]' % (message.n, message.data), self.now)
        else:
            if message.kind is Kind.PUB:
                self.broker.append(message.target, message.event, message.data, History())
            self.node.finished(message, None, self.now)

    def _write(self) -> None:
        for link in self.node.take_dirty():
            self._flush_link(link)

    @staticmethod
    def _flush_link(link: ServerLink) -> None:
        out, link.out = link.out, []
        peer = link.socket
        assert isinstance(peer, Peer)
        for one in out:
            for payload in [one] if isinstance(one, bytes) else one.payloads:
                peer.hear(payload)

    def _announced(self, channel: str, entry: LogEntry) -> None:
        self.node.announced(channel, entry, self.now)

    # what came up

    def of(self, kind: type) -> list[Any]:
        """The effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]
