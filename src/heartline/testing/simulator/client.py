"""One simulated client around the real `ClientMachine`: its effects, sockets, disk, and an application that uses it."""

from collections import deque
from random import Random
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from heartline.core import effects as do
from heartline.core.client import ClientMachine
from heartline.core.enums import Outcome, State
from heartline.core.errors import ConnectionClosed, OutboxFull
from heartline.core.frames import INBOX
from heartline.core.outbox import Kind
from heartline.dialects.native import NativeClient
from heartline.faults.rules import Direction

from .clock import Actor, Naps, Violation, World
from .disk import Disk
from .ledger import TOKEN_END, Ledger, Word
from .network import SimLink
from .plan import Plan
from .watch import ClientWatch, Dice

if TYPE_CHECKING:
    from .network import Network

BIG = 6000
BIGGEST_INBOX = 20


class SimClient(Actor):
    """An installation of a client: one disk, one process after another."""

    def __init__(
        self,
        world: World,
        index: int,
        plan: Plan,
        net: "Network",
        ledger: Ledger,
        rng: Random,
        naps: Naps,
        channels: list[str],
        disk: Disk | None = None,
        name: str = "",
    ) -> None:
        super().__init__(world, name or f"c{index}", naps)
        self.index = index
        self.plan = plan
        self.net = net
        self.ledger = ledger
        self.rng = rng
        self.disk = disk
        self.wanted = channels
        self.closing: bool = False
        self.dead: bool = False
        self.process: int = 0
        self.words: int = 0
        self.dialling: SimLink | None = None
        self.begin()

    # life and death

    @property
    def reader(self) -> str:
        """Who reads: a process, as each gets each entry once."""
        return f"{self.name}#{self.process}"

    def begin(self) -> None:
        """Start a process from what the disk holds."""
        self.new_life()
        self.process += 1
        self.links: dict[int, SimLink] = {}
        self.dialling = None
        saved = self.disk.saved() if self.disk is not None else None
        if saved is not None and self.disk is not None:
            self.disk.died()
        dice = Dice(self.rng.getrandbits(64))
        self.machine = ClientMachine(self.plan.policy, NativeClient(), dice, f"{self.name}i{self.process}", saved=saved)
        self.watch = ClientWatch(self, dice)
        self._items: dict[str, deque[do.Entry | do.Lost]] = {}
        self._reading: set[str] = set()
        self.stalled_until = 0.0
        self.subscribed: dict[str, None] = {}
        self.world.note(self.name, "begins", self.process)
        if saved is not None:
            for channel, place in saved.cursors.items():
                self.ledger.channels.begin(self.reader, channel, place)
                if channel != INBOX:
                    self.subscribed[channel] = None
                    self.machine.subscribe(channel, self.now())
        for channel in self.wanted:
            if channel not in self.subscribed:
                self.subscribe(channel)
        self.machine.connect(self.now())
        self.run()

    def die(self) -> None:
        """Crash: the process and whatever had not reached the disk are gone."""
        self.world.note(self.name, "dies")
        self.ledger.count("client crashes")
        if self.disk is not None:
            asked, telling = self.disk.steps_open
            self.ledger.count("disk crashes before a commit", asked)
            self.ledger.count("disk crashes before the word", telling)
        self.dead = True
        self.life += 1
        for link in [*self.links.values(), *([self.dialling] if self.dialling is not None else [])]:
            link.client = None
            link.end(Direction.UP, link.server_loses)

    # the network

    def opened(self, link: SimLink) -> None:
        """A socket is open."""
        self.awake(lambda: self._opened(link))

    def _opened(self, link: SimLink) -> None:
        if link.client is None:
            return
        if self.dialling is link:
            self.dialling = None
        link.is_open = True
        self.links[link.attempt] = link
        self.watch.opened(link)
        self.machine.opened(link.attempt, self.now(), Raw(msgspec.json.encode(f"user{self.index}")))
        self.run()

    def dial_failed(self, attempt: int, reason: str) -> None:
        """A dial came to nothing."""
        self.watch.dial_ended(attempt)
        self.machine.failed(attempt, self.now(), reason)
        self.run()

    def received(self, link: SimLink, payload: bytes) -> None:
        """A text message."""
        if link.client is None:
            return
        self.watch.received(link, payload)
        self.machine.received(link.attempt, payload, self.now())
        self.run()

    def link_lost(self, link: SimLink, code: int, reason: str) -> None:
        """A socket ended."""
        self.awake(lambda: self._link_lost(link, code, reason))

    def _link_lost(self, link: SimLink, code: int, reason: str) -> None:
        if not link.is_open:
            if self.dialling is link:
                self.dialling = None
                self.dial_failed(link.attempt, reason)
            return
        if self.links.pop(link.attempt, None) is not None:
            self.watch.link_ended(link)
            self.machine.lost(link.attempt, code, reason, self.now())
            self.run()

    # the machine

    def deadline(self) -> float | None:
        return None if self.dead else self.machine.next_deadline()

    def tick(self, late: float) -> None:
        if not self.dead:
            self.watch.ticking()
            self.machine.tick(self.now())
            self.run()

    def run(self) -> None:
        """Carry out what the machine wants."""
        machine = self.machine
        while effects := machine.drain():
            for effect in effects:
                self._carry_out(effect)
        self.watch.after_turn()
        self.arm()

    def _carry_out(self, effect: do.Effect) -> None:
        if isinstance(effect, do.Transmit):
            self._transmit(effect)
        elif isinstance(effect, do.Arrived):
            self._arrived(effect.item)
        elif isinstance(effect, do.Settle):
            self._settle(effect)
        elif isinstance(effect, do.Persist | do.Forget | do.Remember | do.MoveCursor):
            self._store(effect)
        elif isinstance(effect, do.Dial):
            self.watch.dials(effect.attempt)
            self.world.note(self.name, "dials", effect.attempt)
            self.net.dial(self, effect.attempt)
        elif isinstance(effect, do.Drop):
            self._drop(effect)
        elif isinstance(effect, do.Subscribed):
            self.ledger.channels.granted(self.reader, effect.channel, effect.epoch, effect.offset)
        elif isinstance(effect, do.Unsubscribed):
            self._unsubscribed(effect)
        elif isinstance(effect, do.Renew):
            self._renew()
        elif isinstance(effect, do.Changed):
            self._changed(effect)

    def _transmit(self, effect: do.Transmit) -> None:
        link = self.links.get(effect.attempt)
        self.watch.wrote(link, effect.attempt, effect.payload)
        if link is not None:
            payload = effect.payload
            link.carry(Direction.UP, len(payload), lambda: link.server_hears(payload))

    def _drop(self, effect: do.Drop) -> None:
        self.world.note(self.name, "drops", effect.attempt, effect.code, effect.reason)
        link = self.links.pop(effect.attempt, None)
        self.watch.dropped(link, effect)
        if link is None and self.dialling is not None and self.dialling.attempt == effect.attempt:
            link, self.dialling = self.dialling, None
        if link is not None:
            link.client = None
            link.end(Direction.UP, link.server_loses)

    def _changed(self, effect: do.Changed) -> None:
        self.world.note(self.name, f"is {effect.new}", effect.reason, effect.code)
        self.watch.changed(effect)
        if effect.code in (4202, 4203):
            self.ledger.excuses[self.index] = effect.reason
        plan = self.plan
        if (
            self.machine.state in (State.REFUSED, State.GAVE_UP)
            and not self.closing
            and effect.code not in (4202, 4203, 4204)
        ):
            self.at(max(plan.kind_after, self.world.now + 1.0), self.retry)

    def retry(self) -> None:
        """The person tries again."""
        self.machine.retry_now(self.now())
        self.run()

    def _renew(self) -> None:
        if self.rng.random() < self.plan.renew_chance or self.world.now >= self.plan.kind_after:
            self.after(self.rng.uniform(0.0, 0.5), self._login)

    def _login(self) -> None:
        self.machine.login(Raw(msgspec.json.encode(f"user{self.index}")), self.now())
        self.run()

    # the disk

    def _store(self, effect: do.Persist | do.Forget | do.Remember | do.MoveCursor) -> None:
        if self.disk is None:
            return

        def done() -> None:
            if isinstance(effect, do.Persist):
                self.machine.persisted(effect.message.n, self.now())
                self.run()
            elif isinstance(effect, do.Forget):
                self.machine.forgotten(effect.n, self.now())
                self.run()
            elif isinstance(effect, do.Remember):
                self.machine.remembered(effect.session, self.now())
                self.run()

        def committed() -> None:
            if isinstance(effect, do.Persist):
                self.ledger.words[self.token(effect.message.data)].stored = True

        self.disk.write(self, effect, done, committed)

    @staticmethod
    def token(data: bytes) -> str:
        """The token in a payload."""
        text: str = msgspec.json.decode(data)
        return text.split(TOKEN_END, 1)[0]

    # the application, upstream

    def say(self) -> None:
        """Send something."""
        plan, rng = self.plan, self.rng
        self.words += 1
        token = f"{self.name}p{self.process}w{self.words}"
        size = BIG if rng.random() < plan.big_chance else rng.randint(0, plan.size)
        data = msgspec.json.encode(f"{token}{TOKEN_END}{'x' * size}")
        kind = rng.choice((Kind.CALL, Kind.CALL, Kind.SEND, Kind.SEND, Kind.PUB))
        event = rng.choice(("s", "s", "c", "u"))
        word = Word(token, self.index, self.process, kind, event)
        word.idempotent = rng.random() < plan.idempotent_chance
        word.fails = kind is not Kind.PUB and rng.random() < plan.fail_chance
        word.reply_size = rng.choice((0, 0, 300))
        word.seconds = rng.choice((0.0, rng.uniform(0.0, plan.handler_seconds)))
        expires = rng.choice((0.05, 0.5, 3.0)) if rng.random() < plan.expiry_chance else None
        target = rng.choice(self.wanted) if kind is Kind.PUB else ""
        self.ledger.sent(word)
        try:
            self.machine.send(
                kind, event, data, self.now(), target=target, expires_in=expires, idempotent=word.idempotent
            )
        except (OutboxFull, ConnectionClosed, ValueError) as error:
            del self.ledger.words[token]
            self.ledger.count(type(error).__name__)
        self.run()

    def _settle(self, effect: do.Settle) -> None:
        message = effect.message
        self.world.note(self.name, effect.outcome.value, message.n, self.token(message.data), effect.reason)
        if effect.outcome in (Outcome.HANDLED, Outcome.REJECTED):
            self.watch.progressed()
        self.ledger.settled(self.index, self.reader, message.data, effect.outcome, effect.body)

    # the application, downstream

    def subscribe(self, channel: str) -> None:
        """Follow a channel from its head."""
        self.ledger.channels.begin(self.reader, channel, None)
        self._items.pop(channel, None)
        self.subscribed[channel] = None
        self.machine.subscribe(channel, self.now())

    def unsubscribe(self, channel: str) -> None:
        """Follow it no longer."""
        self.subscribed.pop(channel, None)
        self._items.pop(channel, None)
        self.machine.unsubscribe(channel, self.now())

    def _unsubscribed(self, effect: do.Unsubscribed) -> None:
        self.world.note(self.name, "unsubscribed", effect.channel, effect.code)
        self.subscribed.pop(effect.channel, None)
        self._items.pop(effect.channel, None)
        if effect.code != "forbidden":
            raise Violation("true_entries", f"{effect.channel} was refused as {effect.code!r}, which nobody said")

    def _arrived(self, item: do.Entry | do.Lost) -> None:
        channel = item.channel
        if channel != INBOX and channel not in self.subscribed:
            raise Violation("true_entries", f"{self.name} was handed something of {channel}, which it does not follow")
        log = f"@{self.machine.session}" if channel == INBOX else channel
        channels = self.ledger.channels
        if isinstance(item, do.Entry):
            channels.entry(self.reader, channel, log, item)
            self.watch.progressed()
            self.world.note(self.name, "gets", channel, item.epoch, item.offset)
        else:
            channels.gap(self.reader, channel, log, item)
            self.world.note(self.name, "gets a gap", channel, item.epoch, item.after, item.to, item.reason)
        self._items.setdefault(channel, deque()).append(item)
        self._read_on(channel)

    def _read_on(self, channel: str) -> None:
        if channel not in self._reading and self._items.get(channel):
            self._reading.add(channel)
            self.at(max(self.stalled_until, self.world.now + self._reading_time()), lambda: self._handle(channel))

    def _reading_time(self) -> float:
        kind = self.world.now >= self.plan.kind_after
        return 0.0 if kind else self.rng.uniform(0.0, self.plan.consumer_seconds)

    def _handle(self, channel: str) -> None:
        self._reading.discard(channel)
        if self.world.now < self.stalled_until:
            self._read_on(channel)
            return
        items = self._items.get(channel)
        if not items:
            return
        item = items.popleft()
        if isinstance(item, do.Entry):
            self.machine.handled(channel, item.epoch, item.offset, len(bytes(item.data)), self.now())
        else:
            self.machine.handled(channel, item.epoch, item.to, 0, self.now())
        self.run()
        self._read_on(channel)

    @property
    def unread(self) -> int:
        """Items handed over and not handled."""
        return sum(map(len, self._items.values()))

    def close(self, *, end: bool) -> None:
        """Leave for good."""
        self.closing = True
        self.ledger.excuses[self.index] = "closed"
        self.world.note(self.name, "closes", end)
        if end:
            self.machine.end(self.now())
        else:
            self.machine.close(self.now())
        self.run()
