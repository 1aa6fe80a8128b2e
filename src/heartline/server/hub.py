"""What runs while a server serves: the node, its sockets, the broker, the application's hooks.

Everything happens in turns: an input to the node, its effects, starts within a budget, writes. The end of the loop
turn fans out, acknowledges and writes records ahead, once for all that happened in it.

Invariants:
- effects are carried out in order, and handlers start after them (test_effects_before_starts);
- one turn of the loop starts only so many handlers (allowance.py; test_starts_have_a_budget), and sends only so many
  heartbeats (test_heartbeats_of_many_leave_turns_to_others);
- what a closing link still holds is written before the socket closes (test_refusals_are_heard);
- a fault in one effect closes its link and loses no other (test_a_fault_in_one_effect_loses_no_other);
- after `stop` nothing is left: no task, no timer, no session (test_stopping_leaves_nothing).
"""

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from heartline.core.codes import Code
from heartline.core.ports import Broker, LogEntry, MaybeAwaitable
from heartline.core.server import effects as do
from heartline.core.server.node import Node
from heartline.core.server.session import Pending
from heartline.core.server.session import Session as CoreSession
from heartline.core.states import check_move
from heartline.transports.clock import now

from .allowance import Allowance
from .calls import Calls
from .eager import Runner
from .entries import Entries
from .intake import LOOK_AT_CLOCK, Intake
from .questions import Questions, settled
from .session import Session
from .socket import HubSocket, Wires

if TYPE_CHECKING:
    from .options import Options

logger: logging.Logger = logging.getLogger("heartline.server")
THROTTLE: Final = 0.005
AT_ONCE: Final = 16  # heartbeats: see _tick
LAST_WORDS: Final = 5.0  # seconds that hooks and the last writes may take when the server stops


class Stage(Enum):
    """NEW → SERVING → STOPPING → STOPPED."""

    NEW = "new"
    """the broker has not started"""
    SERVING = "serving"
    STOPPING = "stopping"
    """nothing more starts; hooks and writes end"""
    STOPPED = "stopped"
    """nothing has any effect"""


STAGE_MOVES: Final[dict[Stage, frozenset[Stage]]] = {
    Stage.NEW: frozenset({Stage.SERVING, Stage.STOPPED}),
    Stage.SERVING: frozenset({Stage.STOPPING}),
    Stage.STOPPING: frozenset({Stage.STOPPED}),
    Stage.STOPPED: frozenset(),
}


_STOPPED: Final = Stage.STOPPED  # naming a member of an enum costs as much as a call on Python 3.11


class Hub:
    """One serving process. Made by `Server.serving`, gone when it ends."""

    def __init__(self, options: "Options", broker: Broker) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.options = options
        self.broker = broker
        self.stage: Stage = Stage.NEW
        self.runner: Runner = Runner(self.loop)
        self.judging: Runner = Runner(self.loop, beside=self.runner)
        self.asking: Runner = Runner(self.loop, beside=self.runner)
        self.calls: Calls = Calls(self, options.handlers)
        self.entries: Entries = Entries(self, broker)
        self.node: Node = Node(
            options.node_name,
            options.codec,
            options.limits,
            options.heartbeat,
            options.new_id,
            durable=broker.durable,
            anonymous=options.anonymous,
            overlapping=options.overlapping,
            lane_of=self.calls.lane_of,
            wall_time=options.wall_time,
            about=options.about,
            presence_grace=options.presence_grace,
            heartbeats=[spoken.heartbeat for spoken in options.spoken.values() if spoken.heartbeat is not None],
            trace=options.trace,
        )
        self.sockets: set[HubSocket] = set()
        self.saving: dict[CoreSession, list[tuple[int, Pending]]] = {}
        self._releases: dict[str, asyncio.Future[bool]] = {}
        self.allowance: Allowance = Allowance(self.loop, self.turn)
        self.intake: Intake = Intake(self)
        self.node.outlet = Wires()
        self.turning: bool = False
        self._end_scheduled = False
        self._empty = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        self._tick_timer: asyncio.Handle | None = None
        self._throttle: asyncio.TimerHandle | None = None
        self._questions = Questions(self)
        self._actions: dict[type, Callable[[Any], None]] = {
            **self._questions.actions,
            do.CloseLink: self._close_link,
            do.Released: self._released,
        }

    # life

    async def start(self) -> None:
        """Start the broker and the clock."""
        await settled(self.broker.start(self.options.node_name, self._on_entry, self._on_release))
        self._go(Stage.SERVING)
        self._tick()

    @property
    def stopping(self) -> bool:
        """Whether nothing more may start."""
        return self.stage is not Stage.SERVING

    def check_serving(self) -> None:
        """Raise RuntimeError when all is over."""
        if self.stage is _STOPPED:
            raise RuntimeError("this server has stopped")

    async def drain(self, seconds: float) -> None:
        """Ask clients to move away; return when all have and nothing runs, or when the time is over."""
        deadline = self.loop.time() + seconds
        self.node.drain_links(0.0, seconds)
        self.turn()
        while self.node.links and (left := deadline + 0.5 - self.loop.time()) > 0:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), left)
            except TimeoutError:
                break
        await self.runner.wait(deadline - self.loop.time())

    def close_links(self, code: int, reason: str) -> None:
        """Say what there is still to say, and goodbye."""
        self.catch_up()
        self.node.flush(now())
        self.turn()
        self.node.close_links(code, reason)
        self.turn()

    def abort(self) -> None:
        """Drop every socket without a word."""
        self.node.close_links(Code.GOING_AWAY, "the server stops at once")
        self.turn()
        for socket in list(self.sockets):
            socket.abort()

    async def stop(self) -> None:
        """End what still runs, let go of every session, end the broker.

        A handler that has to be cancelled did not end: with a durable broker it is treated as after a crash.
        """
        if self.stage is Stage.NEW:
            self._go(Stage.STOPPED)
            await self.runner.close()
            return
        self._go(Stage.STOPPING)
        self.allowance.close()
        try:
            await self._end_work()
        except BaseException:  # not `finally`: an await in there is wrong when it is compiled (CONTRIBUTING.md)
            await self._let_go()
            raise
        await self._let_go()

    async def _end_work(self) -> None:
        await self.runner.cancel()
        await self.judging.cancel()
        for session in list(self.node.sessions.values()):
            if not session.durable:
                self.node.end_session(session, "the server stops")
        self.node.flush(now())
        self.turn()
        await self.asking.wait(LAST_WORDS)
        await self.asking.cancel()

    async def _let_go(self) -> None:
        self._go(Stage.STOPPED)
        for release in self._releases.values():
            release.cancel()
        for timer in (self._tick_timer, self._throttle, *self._timers):
            if timer is not None:
                timer.cancel()
        await self.runner.close()
        await settled(self.broker.stop())

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Call something in a while, and take a turn; not at all if the server stops before."""

        def due() -> None:
            self._timers.discard(timer)
            call()
            self.turn()

        timer = self.loop.call_later(seconds, due)
        self._timers.add(timer)

    def _go(self, new: Stage) -> None:
        check_move(STAGE_MOVES, self.stage, new)
        self.stage = new

    # turns

    def catch_up(self) -> None:
        """Deal with what was read, instead of at the end of the turn."""
        self.intake.deal()
        self.turn()

    def turn(self) -> None:
        """Carry out what the node wants: effects, then starts, then writes."""
        if self.turning or self.stage is _STOPPED:
            return
        self.turning = True
        node = self.node
        try:
            if node.effects or node.ready:
                self._work()
            if node.dirty:
                self._write()
        finally:
            self.turning = False
        if not self._end_scheduled and node.wants_flush:
            self.end_turn_soon()

    def end_turn_soon(self) -> None:
        """Have what was read dealt with, and what is fresh handed out, when the loop has done what it is at."""
        if not self._end_scheduled:
            self._end_scheduled = True
            self.loop.call_soon(self._end_turn)

    def _work(self) -> None:
        """Carry out effects and start messages until nothing is left or may start in this turn."""
        node, allowance = self.node, self.allowance
        at, started = now(), 0
        while True:
            if node.effects:
                self._carry_out()
            elif node.ready and allowance.takes(at) and (pending := node.next_start(node.now)) is not None:
                allowance.spend()
                self.calls.start(pending)
                started += 1
                if started % LOOK_AT_CLOCK == 0:
                    at = now()
            else:
                break
        if node.ready and not allowance.takes(at):
            allowance.owe()
        self._wait_for_rates()

    def _wait_for_rates(self) -> None:
        if self.node.throttled and self._throttle is None and not self.stopping:
            self._throttle = self.loop.call_later(THROTTLE, self._unthrottle)

    def begin(self, message: Pending) -> None:
        """Start what nothing stands before; what follows from it is carried out and written in the next turn."""
        self.allowance.spend()
        outer, self.turning = self.turning, True
        try:
            self.calls.start(message)
        finally:
            self.turning = outer

    def _carry_out(self) -> None:
        actions = self._actions
        for effect in self.node.drain():
            try:
                actions[type(effect)](effect)
            except Exception:
                logger.exception("%s could not be carried out", type(effect).__name__)
                link = do.link_of(effect)
                if link is not None and isinstance(link.socket, HubSocket):
                    link.socket.fail()

    def _end_turn(self) -> None:
        try:
            self.catch_up()
        finally:
            self._end_scheduled = False
        self.node.flush(now())
        self.turn()

    def _write(self) -> None:
        node = self.node
        dirty, node.dirty = node.dirty, []
        for link in dirty:
            out, link.out = link.out, []
            if isinstance(link.socket, HubSocket):
                link.socket.write(out)

    def _tick(self) -> None:
        """Wake who is due, few in a turn: nobody waits for all, and who answers at once is in the processor's caches."""
        more = False
        try:
            self.catch_up()  # who has said something is not silent
            more = self.node.tick(now(), AT_ONCE)
            self.turn()
        finally:
            loop, grain = self.loop, self.node.wheel.grain
            self._tick_timer = loop.call_soon(self._tick) if more else loop.call_later(grain, self._tick)

    def _unthrottle(self) -> None:
        self._throttle = None
        self.node.tick(now(), AT_ONCE)
        self.turn()
        self._wait_for_rates()

    # sessions

    def facade(self, core: CoreSession) -> Session:
        """The application's view of a session, the same for as long as the session lives here."""
        session: Session | None = core.view
        if session is None:
            session = Session(self, core)
            if not core.fenced:
                core.view = session
        return session

    def forget(self, core: CoreSession) -> Session:
        """A session is over, or lives elsewhere: let go of what the hub kept of it, and return its last view."""
        self.saving.pop(core, None)
        session: Session | None
        session, core.view = core.view, None
        return session if session is not None else Session(self, core)

    def revoke(self, core: CoreSession, channel: str, message: str) -> None:
        """Take a subscription away."""
        self.node.revoke(core, channel, "forbidden", message or "no longer allowed")
        self.turn()

    def end(self, core: CoreSession, reason: str) -> None:
        """End a session."""
        self.node.end_session(core, reason)
        self.turn()

    def after_save(self, session: CoreSession, revision: int | None, pending: Pending) -> None:
        """Start `pending` when the record that says so is written."""
        if revision is None:
            self.calls.start(pending)
        else:
            self.saving.setdefault(session, []).append((revision, pending))

    # sockets and the broker

    def socket_opened(self, socket: HubSocket) -> None:
        """Know of a socket."""
        self.sockets.add(socket)

    def socket_closed(self, socket: HubSocket) -> None:
        """It is gone."""
        self.sockets.discard(socket)
        if not self.node.links:
            self._empty.set()

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

    def _on_release(self, session: str) -> MaybeAwaitable[bool]:
        """Another node wants a session: the answer comes when what runs of it has ended."""
        self.node.release(session, now())
        self.turn()
        if session not in self.node.sessions:
            return True
        return self._releases.setdefault(session, self.loop.create_future())

    def _released(self, effect: do.Released) -> None:
        waiting = self._releases.pop(effect.session, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(True)
