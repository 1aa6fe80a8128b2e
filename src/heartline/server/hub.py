"""What runs while a server serves: the node, its sockets, the broker, the application's hooks.

Everything happens in turns: an input to the node, its effects, starts within a budget, writes. The end of the loop
turn fans out, acknowledges and writes records ahead, once for all that happened in it.

Invariants:
- effects are carried out in order, and handlers start after them (test_effects_before_starts);
- one turn starts at most BUDGET handlers, so that a flood delays timers and other links only a little
  (test_starts_have_a_budget);
- what a closing link still holds is written before the socket closes (test_refusals_are_heard).
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from heartline.core.ports import Broker, History, LogEntry
from heartline.core.server import effects as do
from heartline.core.server.node import Node
from heartline.core.server.session import Pending
from heartline.core.server.session import Session as CoreSession
from heartline.transports.clock import now

from .calls import Calls
from .channels import Channel
from .eager import Runner
from .questions import Questions, settled
from .refusals import Refuse
from .session import Session
from .socket import HubSocket

if TYPE_CHECKING:
    from .options import Options

_encode = msgspec.json.Encoder().encode

BUDGET: Final = 128
THROTTLE: Final = 0.005
_RULES_KEPT: Final = 10_000


class Hub:
    """One serving process. Made by `Server.serving`, gone when it ends."""

    def __init__(self, options: "Options", broker: Broker) -> None:
        self.loop = asyncio.get_running_loop()
        self.options = options
        self.broker = broker
        self.runner = Runner(self.loop)
        self.calls = Calls(self, options.handlers)
        self.published = 0
        limits = options.limits
        self.node = Node(
            options.node_name,
            options.codec,
            limits,
            options.heartbeat,
            options.new_id,
            durable=broker.durable,
            anonymous=options.anonymous,
            serial_of=self.calls.serial_of,
            wall_time=options.wall_time,
            about=options.about,
            presence_grace=options.presence_grace,
            trace=options.trace,
        )
        self.inbox = History(limits.inbox, None, limits.inbox_bytes)
        self._facades: dict[CoreSession, Session] = {}
        self._rules: dict[str, tuple[Channel, dict[str, str]] | None] = {}
        self.saving: dict[CoreSession, list[tuple[int, Pending]]] = {}
        self._turning = False
        self._end_scheduled = False
        self.idle = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._throttle: asyncio.TimerHandle | None = None
        self._questions = Questions(self)
        self._actions: dict[type, Callable[[Any], None]] = {
            **self._questions.actions,
            do.CloseLink: self._close_link,
            do.Released: lambda effect: options.released(effect.session),
        }

    # life

    async def start(self) -> None:
        """Start the broker and the clock."""
        await settled(self.broker.start(self.options.node_name, self._on_entry, self._on_release))
        self._tick()

    async def stop(self) -> None:
        """Stop the clock, cancel what still runs, end the broker."""
        for timer in (self._timer, self._throttle):
            if timer is not None:
                timer.cancel()
        await self.runner.close()
        await settled(self.broker.stop())

    # turns

    def turn(self) -> None:
        """Carry out what the node wants: effects, then starts, then writes."""
        if self._turning:
            return
        self._turning = True
        node = self.node
        budget = BUDGET
        try:
            while True:
                if node.effects:
                    for effect in node.drain():
                        self._actions[type(effect)](effect)
                elif node.ready and budget and (pending := node.next_start(node.now)) is not None:
                    budget -= 1
                    self.calls.start(pending)
                else:
                    break
            if node.dirty:
                self._write()
        finally:
            self._turning = False
        if node.ready and not budget:
            self.loop.call_soon(self.turn)
        if not self._end_scheduled and node.wants_flush:
            self._end_scheduled = True
            self.loop.call_soon(self._end_turn)
        if node.throttled and self._throttle is None:
            self._throttle = self.loop.call_later(THROTTLE, self._unthrottle)

    def _end_turn(self) -> None:
        self._end_scheduled = False
        self.node.flush(now())
        self.turn()

    def _write(self) -> None:
        for link in self.node.take_dirty():
            out, link.out = link.out, []
            if isinstance(link.socket, HubSocket):
                link.socket.write(out)

    def _tick(self) -> None:
        self._timer = self.loop.call_later(self.node.wheel.grain, self._tick)
        self.node.tick(now())
        self.turn()

    def _unthrottle(self) -> None:
        self._throttle = None
        self.node.tick(now())
        self.turn()

    # for the application

    def facade(self, core: CoreSession) -> Session:
        """The application's view of a session."""
        session = self._facades.get(core)
        if session is None:
            session = self._facades[core] = Session(self, core)
        return session

    async def publish(self, channel: str, event: str, data: bytes, key: str | None = None) -> int:
        """Add an entry to a channel for everybody who follows it."""
        found = self.rule(channel)
        if found is None:
            raise ValueError(f"channel {channel!r} matches no app.channel(…) pattern")
        self.published += 1
        _, entry = await settled(self.broker.append(channel, event, data, found[0].history, key=key))
        return entry.offset

    async def publish_for(self, pending: Pending) -> None:
        """A client's publication, if the rule of its channel allows it."""
        found = self.rule(pending.target)
        if found is None:
            raise Refuse("unknown_channel", f"no channel {pending.target[:80]!r}")
        if await settled(found[0].may_publish(self.facade(pending.session), found[1])) is False:
            raise Refuse("forbidden", "you may not publish here")
        key = pending.id if self.broker.durable else None
        await self.publish(pending.target, pending.event, pending.data, key)

    def volatile(self, channel: str, event: str, data: bytes) -> None:
        """Tell the followers of a channel something that may be dropped."""
        self.node.volatile(channel, event, data)
        self.turn()

    async def send(self, core: CoreSession, event: str, data: Any) -> int:
        """Append to a session's inbox."""
        if core.anonymous:
            raise ValueError("an anonymous session has no inbox: its client did not say hello")
        if core.fenced:
            raise ValueError(f"session {core.id} is over")
        _, entry = await settled(self.broker.append(f"@{core.id}", event, _encode(data), self.inbox))
        return entry.offset

    def send_now(self, core: CoreSession, event: str, data: Any) -> None:
        """Tell a session something that may be dropped."""
        self.node.tell_now(core, event, _encode(data))
        self.turn()

    def revoke(self, core: CoreSession, channel: str, message: str) -> None:
        """Take a subscription away."""
        self.node.revoke(core, channel, "forbidden", message or "no longer allowed")
        self.turn()

    def end(self, core: CoreSession, reason: str) -> None:
        """End a session."""
        self.node.end_session(core, reason)
        self.turn()

    def rule(self, channel: str) -> tuple[Channel, dict[str, str]] | None:
        """The rule of a channel and the parts of its name."""
        try:
            return self._rules[channel]
        except KeyError:
            pass
        found = None
        for rule in self.options.channels:
            parts = rule.match(channel)
            if parts is not None:
                found = (rule, parts)
                break
        if len(self._rules) >= _RULES_KEPT:
            self._rules.clear()
        self._rules[channel] = found
        return found

    def forget(self, core: CoreSession) -> Session:
        """A session is over: let go of what the hub kept of it, and return its last view."""
        self.saving.pop(core, None)
        session = self._facades.pop(core, None)
        return session if session is not None else Session(self, core)

    def after_save(self, session: CoreSession, revision: int | None, pending: Pending) -> None:
        """Start `pending` when the record that says so is written."""
        if revision is None:
            self.calls.start(pending)
        else:
            self.saving.setdefault(session, []).append((revision, pending))

    # the rest

    def _close_link(self, effect: do.CloseLink) -> None:
        link = effect.link
        if isinstance(link.socket, HubSocket):
            out, link.out = link.out, []
            link.socket.write(out)
            link.socket.close(effect.code, effect.reason)
            link.socket = None

    def _on_entry(self, channel: str, entry: LogEntry) -> None:
        self.node.announced(channel, entry, now())
        self.turn()

    def _on_release(self, session: str) -> bool:
        self.node.release(session, now())
        self.turn()
        return session not in self.node.sessions
