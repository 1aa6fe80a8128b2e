"""The client machine in an event loop: its effects, its one timer, its links.

The loop holds the shell, through sockets and the timer; the application holds the `Connection`. The shell does not
know the `Connection`, so one that is dropped can be noticed.

Invariants:
- effects are carried out in order, and the application's code runs only when none is left
  (test_callbacks_see_a_machine_at_rest);
- one timer at most, looked at once in a turn; a later deadline leaves it alone (test_the_timer_is_left_alone);
- nothing is left behind: no task, timer or socket (test_closing_leaves_nothing).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import UNSET, Raw, json

from heartline.core import effects
from heartline.core.client import ClientMachine
from heartline.core.enums import State
from heartline.core.errors import ConnectionClosed
from heartline.core.frames import INBOX
from heartline.dialects.native import NativeClient
from heartline.transports.clock import now

from .bus import Bus
from .chance import SystemChance, token
from .dialler import Dialler
from .feed import Feed
from .items import Since, place_of
from .lane import cancel, wait_ended
from .links import Link
from .options import Options, login_payload
from .outcomes import Outcomes
from .outgoing import KEPT
from .reading import Decode
from .states import States

if TYPE_CHECKING:
    from .durable import Durable
    from .foreign import Foreign

_logger = logging.getLogger("heartline.client")

GOODBYE: Final = 1.0  # seconds that sockets get to close in good manner
LEAST_DELAY: Final = 0.001  # event loops round; the machine does not mind being called late

_now: Final = now
_Transmit: Final = effects.Transmit
_Settle: Final = effects.Settle
_Arrived: Final = effects.Arrived
_MoveCursor: Final = effects.MoveCursor


class _Deliverable(Protocol):
    def deliver(self) -> None: ...


class Shell:
    """One connection's insides. All methods belong to the loop's thread."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.loop: asyncio.AbstractEventLoop | None = None
        self.durable: Durable | None = _durable_of(options, self)
        self.machine: ClientMachine = ClientMachine(
            options.policy,
            NativeClient(),
            SystemChance(),
            token(16),
            saved=None if self.durable is None else self.durable.unread,
            about=options.about,
            trace=None if options.trace is None else self._trace,
        )
        self.tasks: set[asyncio.Task[None]] = set()
        self.links: dict[int, Link] = {}
        self.feeds: dict[str, Feed] = {}
        self.states: States = States(self.want_delivery)
        self.foreign: Foreign | None = _foreign_of(options)
        if self.foreign is not None:
            self.foreign.owner = self
        forget = _nothing if self.foreign is None else self.foreign.forget
        self.outcomes: Outcomes = Outcomes(
            self.machine, self.states, options.policy.outbox.full, self, self.durable, forget
        )
        self.bus: Bus = Bus(self._inbox_handled, self.want_delivery, self.trace, self.tasks)
        self._dialler = Dialler(options, self, self._make_link, self.links, self.tasks)
        self._running = False
        self._again = False
        self._delivering = False
        self._turn_ends = False
        self._deliverables: deque[_Deliverable] = deque()
        self._wake: asyncio.TimerHandle | None = None
        self._wake_at = 0.0
        self._no_links: asyncio.Event | None = None
        self._turn_end: Callable[[], None] = self._end_turn
        self._moves = self.durable is not None
        self._starts: dict[str, Callable[[], None]] = {}
        self._carry: dict[type, Callable[[Any], None]] = {
            effects.Dial: self._dial,
            effects.Drop: self._drop,
            effects.Room: self._room,
            effects.Volatile: self._volatile,
            effects.Subscribed: self._subscribed,
            effects.Unsubscribed: self._unsubscribed,
            effects.Renew: self._renew,
            effects.Changed: self._changed,
            effects.Remember: _nothing,
            effects.Persist: _nothing,
            effects.Forget: _nothing,
            effects.ForgetCursor: _nothing,
        }
        if self.durable is not None:
            self._carry[effects.MoveCursor] = self.durable.move
            self._carry[effects.Remember] = self.durable.remember
            self._carry[effects.Persist] = self.durable.persist
            self._carry[effects.Forget] = self.durable.forget

    # the drain

    def run(self) -> None:
        """Carry out what the machine wants and hand over what came. Call it after every input."""
        if self._running:
            self._again = True
            return
        self._running = True
        try:
            self._again = True
            while self._again:
                self._again = False
                for effect in self.machine.drain():
                    self._carry_out(effect)
        finally:
            self._running = False
        if self._deliverables and not self._delivering:
            self._delivering = True
            try:
                while self._deliverables:
                    self._deliverables.popleft().deliver()
            finally:
                self._delivering = False
        if not self._turn_ends:
            self.run_soon()

    def _carry_out(self, effect: Any) -> None:
        """Do one thing, the frequent ones first."""
        kind = type(effect)
        if kind is _Transmit:
            link = self.links.get(effect.attempt)
            if link is not None:
                link.send(effect.payload)
        elif kind is _Arrived:
            self._arrived(effect.item)
        elif kind is _Settle:
            self.outcomes.settle(effect)
        elif kind is not _MoveCursor or self._moves:
            self._carry[kind](effect)

    def run_soon(self) -> None:
        """As `run`, at the end of this turn of the loop, however many inputs ask for it."""
        if not self._turn_ends and self.loop is not None:
            self._turn_ends = True
            self.loop.call_soon(self._turn_end)

    def _end_turn(self) -> None:
        try:
            self.run()  # asks for no further turn: this one ends only now
        finally:
            self._turn_ends = False
            self._arm()

    def want_delivery(self, deliverable: _Deliverable) -> None:
        """Have the application's code called when the drain is done."""
        if deliverable not in self._deliverables:
            self._deliverables.append(deliverable)

    def trace(self, what: str, details: dict[str, object]) -> None:
        """Report something that matters."""
        self._trace(now(), what, details)

    def _trace(self, at: float, what: str, details: dict[str, object]) -> None:
        if self.options.trace is None:
            return
        try:
            self.options.trace(at, what, details)
        except Exception:
            _logger.exception("trace= raised")

    # the timer

    def _arm(self) -> None:
        at = self.machine.next_deadline()
        due = self.outcomes.next_deadline()
        if at is None or (due is not None and due < at):
            at = due
        if self.foreign is not None:
            due = self.foreign.next_deadline()
            if at is None or (due is not None and due < at):
                at = due
        if at is None or self.loop is None:
            return
        if self._wake is not None:
            if self._wake_at <= at:
                return
            self._wake.cancel()
        self._wake_at = at
        self._wake = self.loop.call_later(max(LEAST_DELAY, at - _now()), self._tick)

    def _tick(self) -> None:
        self._wake = None
        at = now()
        self.outcomes.tick(at)
        if self.foreign is not None:
            self.foreign.tick(at)
        self.machine.tick(at)
        self.run()

    # effects

    def _dial(self, effect: effects.Dial) -> None:
        self.trace("client.dial", {"attempt": effect.attempt})
        self._dialler.start(effect.attempt)

    def _drop(self, effect: effects.Drop) -> None:
        link = self.links.get(effect.attempt)
        if link is not None and link.opened:
            link.leave(effect.code, effect.reason)
        else:
            self._dialler.stop(effect.attempt)

    def _room(self, _effect: effects.Room) -> None:
        self.outcomes.room()

    def _arrived(self, item: effects.Entry | effects.Lost) -> None:
        feed = self.feeds.get(item.channel)
        if feed is None:
            if item.channel == INBOX:
                self.bus.put(item)
            return
        if feed.lane is not None:
            feed.lane.queue.append(item)
            self.want_delivery(feed.lane)
        else:
            feed.arrived(item)

    def _volatile(self, effect: effects.Volatile) -> None:
        self.bus.put(effect)

    def _subscribed(self, effect: effects.Subscribed) -> None:
        feed = self.feeds.get(effect.channel)
        if feed is not None:
            feed.subscribed(effect)

    def _unsubscribed(self, effect: effects.Unsubscribed) -> None:
        feed = self.feeds.pop(effect.channel, None)
        self.trace("client.subscription_refused", {"channel": effect.channel, "code": effect.code})
        if feed is not None:
            feed.refuse(effect)
            if feed.lane is not None:
                _logger.warning("%s", feed.refusal())

    def _renew(self, effect: effects.Renew) -> None:
        assert self.loop is not None
        task = self.loop.create_task(self._renewal())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _changed(self, effect: effects.Changed) -> None:
        self.states.denied = self._dialler.last_status in {401, 403}
        change = self.states.changed(effect)
        self.outcomes.refusing = change.new in {State.REFUSED, State.CLOSED}
        if change.old is change.new:
            return
        _logger.debug("%s → %s: %s", effect.old, effect.new, effect.reason)
        if change.new in {State.REFUSED, State.CLOSED}:
            self.outcomes.refused()
        elif change.new is State.GAVE_UP:
            self.outcomes.gave_up()
        if self.states.dead_end() is not None:
            for feed in self.feeds.values():
                feed.wake(self.states.dead_end)

    async def _renewal(self) -> None:
        """Ask for fresh credentials; without them the present ones run out, and the next dial asks again."""
        try:
            payload = await login_payload(self.options.login)
        except Exception as error:  # the application's own, and is told
            _logger.warning("login= raised during a renewal: %s", type(error).__name__, exc_info=True)
            self.trace("client.renewal_failed", {"error": type(error).__name__})
            return
        self.machine.login(payload, now())
        self.run()

    # channels

    def args_of(self, channel: str) -> object:
        """What a channel is subscribed with."""
        feed = self.feeds.get(channel)
        return UNSET if feed is None else feed.args

    def keep(self, kept: Mapping[str, Any]) -> None:
        """Store what a login gave to keep, if there is a file."""
        if self.durable is not None:
            self.durable.mark({KEPT: json.encode(kept).decode()})

    def follow(self, channel: str, since: Since, decode: Decode, args: object = None) -> Feed:
        """Subscribe. Raises ValueError and ConnectionClosed."""
        cursor, place = place_of(since)
        if channel in self.feeds:
            raise ValueError(f"channel: {channel!r} is followed already on this connection; close that one or share it")
        feed = Feed(channel, cursor, self, decode)
        feed.args = args
        if self.durable is None:
            self.machine.subscribe(channel, now(), *place)
        elif self.loop is not None:
            self._follow_on(self.durable, feed, since, place)
        else:  # the file is read first
            self._starts[channel] = partial(self._follow_on, self.durable, feed, since, place)
        self.feeds[channel] = feed
        return feed

    def _follow_on(self, durable: "Durable", feed: Feed, since: Since, place: tuple[str | None, int | None]) -> None:
        """Subscribe where this client, or a process before it, had got, unless the application says where."""
        if since is None:
            feed.cursor = durable.place_of(feed.channel)
            if feed.cursor is not None:
                place = (feed.cursor.epoch, feed.cursor.offset)
        else:
            durable.set_place(feed.channel, feed.cursor)
        self.machine.subscribe(feed.channel, now(), *place)

    def unfollow(self, feed: Feed, forget: bool = False) -> None:
        """Unsubscribe; with `forget` also the stored place goes."""
        if self.durable is not None and forget:
            self.durable.set_place(feed.channel, None)
        if self.feeds.get(feed.channel) is feed:
            del self.feeds[feed.channel]
            self._starts.pop(feed.channel, None)
            self.machine.unsubscribe(feed.channel, now())
            self.run()

    def dropped(self, feed: Feed) -> None:
        """A subscription was garbage: unsubscribe, but not here and now, for this may be anywhere and any thread."""
        loop = self.loop
        if loop is None:
            self.feeds.pop(feed.channel, None)
            self._starts.pop(feed.channel, None)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self.unfollow, feed)

    def _inbox_handled(self, item: effects.Entry | effects.Lost) -> None:
        if isinstance(item, effects.Entry):
            self.machine.handled(item.channel, item.epoch, item.offset, len(item.data) + 64, _now())
        else:
            self.machine.handled(item.channel, item.epoch, item.to, 64, _now())
        self.run_soon()

    # life

    async def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to dial, after reading the file where there is one. Raises OutboxError, and ConnectionClosed."""
        if self.durable is not None:
            await self._restore(self.durable, loop)
        self.loop = loop
        for begin in self._starts.values():
            begin()
        self._starts.clear()
        self.machine.connect(now())
        self.run()

    async def _restore(self, durable: "Durable", loop: asyncio.AbstractEventLoop) -> None:
        saved = await durable.open(loop)
        if self.machine.state is State.CLOSED:
            durable.close(empty=False)
            await durable.wait_gone()
            raise ConnectionClosed("closed while its outbox was being opened")
        self.machine.restore(saved)
        self.outcomes.restore(saved.messages)
        kept = durable.marks.get(KEPT)
        if self.foreign is not None and kept is not None:
            self.foreign.restore(json.decode(kept, type=dict[str, Any]))

    def close(self, *, end: bool = False, marks: Mapping[str, str] | None = None) -> None:
        """Leave at once and for good. Sockets and tasks are gone after `wait_gone`. `marks`: what stays at the end."""
        if end:
            self.machine.end(now())
        else:
            self.machine.close(now())
        self.run()
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        self.bus.lane.close()
        for feed in list(self.feeds.values()):
            feed.close_with(self.states.refusal)
        for task in self.tasks:
            cancel(task)
        if self.durable is not None and self.loop is not None:
            self.durable.close(empty=end, marks=marks)

    def abandon(self) -> None:
        """Close without anybody who waits, for a connection that was dropped."""
        self.close()
        for link in list(self.links.values()):
            link.abort()

    async def wait_gone(self) -> None:
        """After `close`: wait until nothing is left. Cancelled, it leaves nothing either, only later."""
        try:
            await self._wait_for_links(GOODBYE)
        finally:
            for link in list(self.links.values()):
                link.abort()
        await self._wait_for_links(GOODBYE)
        await wait_ended(self.tasks)
        if self.durable is not None:
            await self.durable.wait_gone()

    def _make_link(self, attempt: int, login: Raw) -> Link:
        return Link(attempt, login, self) if self.foreign is None else self.foreign.make_link(attempt, login)

    def gone(self, link: Link) -> None:
        """A socket is gone."""
        if self.links.get(link.attempt) is link:
            del self.links[link.attempt]
        if not self.links and self._no_links is not None:
            self._no_links.set()

    async def _wait_for_links(self, timeout: float) -> None:
        if not self.links:
            return
        if self._no_links is None:
            self._no_links = asyncio.Event()
        try:
            async with asyncio.timeout(timeout):
                await self._no_links.wait()
        except TimeoutError:
            pass


# A plain connection does without these rooms, so it does not load them.


def _durable_of(options: Options, owner: Shell) -> "Durable | None":
    if options.outbox is None:
        return None
    from .durable import Durable

    return Durable(options.outbox, owner)


def _foreign_of(options: Options) -> "Foreign | None":
    if options.dialect is None:
        return None
    from .foreign import Foreign

    return Foreign(options.dialect, dict(options.params), dict(options.keep), token(9))


def _nothing(_effect: object) -> None:
    """Nothing is kept on disk."""
