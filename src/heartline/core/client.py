"""The client machine: one session over many links (PROTOCOL 2, 5, 6, 7).

Call an input (`now`: seconds of a monotonic clock), carry out what `drain()` returns, in order, then call `tick` at
`next_deadline()`. Links and dials are the business of `Road`, messages of `Upstream`, channels of `Downstream`.

Invariants:
- input of an older attempt changes nothing (test_older_attempts_are_ignored);
- close is immediate and final in every state: nothing is dialled or sent after it (test_close_is_final);
- nothing numbered precedes welcome, nor, where the outbox is durable, the session's being stored
  (test_nothing_numbered_before_welcome, test_nothing_numbered_before_the_session_is_stored);
- a link that breaks the protocol is left, and costs no message (test_a_broken_server_costs_no_message);
- what a new session must not inherit is settled before the session is remembered (test_settled_before_remembered).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Raw, Struct

from .clock import Clock
from .codes import Code, CodeClass, classify
from .cursors import Reader
from .deadlines import ACK, FLOOR, Due
from .downstream import Downstream
from .effects import Effect, ForgetCursor, Renew, Transmit
from .enums import State
from .errors import BadFrame, ConnectionClosed
from .frames import (
    INBOX,
    NULL,
    Ack,
    Bye,
    Expiring,
    Fail,
    Gap,
    Login,
    Move,
    Msg,
    No,
    Now,
    Ok,
    Ping,
    Pong,
    Refused,
    Reply,
    Welcome,
)
from .identity import Identity
from .liveness import Act, Liveness
from .names import KnownNames, check_channel
from .outbox import PUB, Kind, Outbox
from .policy import ClientPolicy, Heartbeat
from .road import Road
from .states import CLOSED, GREETING
from .upstream import Upstream

if TYPE_CHECKING:
    from .ports import Chance, ClientCodec, Trace
    from .saved import Saved

AT_DELAY: Final = 0.1
FLOOR_DELAY: Final = 1.0
_IDLING = frozenset({State.WAITING, State.GAVE_UP, State.REFUSED})
_ENDED = frozenset({Code.REPLACED, Code.ENDED})
_REFUSALS = {code.name.lower(): code for code in Code if 4200 <= code < 4300}


class ClientMachine:
    """One client. `instance` is random for each process; `saved` is None for an outbox in memory."""

    def __init__(
        self,
        policy: ClientPolicy,
        codec: "ClientCodec",
        random: "Chance",
        instance: str,
        *,
        saved: "Saved | None" = None,
        about: Mapping[str, object] | None = None,
        trace: "Trace | None" = None,
    ) -> None:
        self._policy = policy
        self._encode = codec.encode
        self._decode = codec.decode
        self._effects: list[Effect] = []
        self._me = Identity(instance, about or {}, saved is not None, self._effects)
        self._clock = Clock()
        self._names = KnownNames()
        outbox = Outbox(policy.outbox, durable=saved is not None)
        self._road = Road(policy, random, self._effects, self._clock, trace)
        self._retry = self._road.retry
        self._deadlines = self._road.deadlines
        self._down = Downstream(self._retry, self._effects, self._write)
        self._road.on_lost = self._down.lost
        self._up = Upstream(outbox, self._retry, self._effects, self._write, lambda frame: len(codec.encode(frame)))
        self._life = Liveness(policy.heartbeat or Heartbeat(), 0.0)
        self._places: dict[str, tuple[str, int]] = {}
        if saved is not None:
            self.restore(saved)

    def restore(self, saved: "Saved") -> None:
        """Begin with what a process before this one kept, after `Saved()` said that it will be told. RuntimeError later."""
        if self.state is not State.IDLE or len(self._up.outbox) or not self._up.outbox.durable:
            raise RuntimeError("restore: only for a durable client that was not used yet")
        self._me.restore(saved.session, saved.key)
        self._up.restore(saved.messages, saved.next_number)
        self._places.update(saved.cursors)
        inbox = self._places.pop(INBOX, None)
        if inbox is not None:
            self._down.subscribe(Reader(INBOX, *inbox))

    # what the shell reads

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._road.state

    @property
    def session(self) -> str | None:
        """The session to come back to."""
        return self._me.session

    @property
    def attempt(self) -> int:
        """The number of the latest dial."""
        return self._road.attempt

    @property
    def outbox(self) -> Outbox:
        """What waits to be settled."""
        return self._up.outbox

    @property
    def failures(self) -> int:
        """Attempts without progress in the present outage."""
        return self._retry.failures

    def drain(self) -> list[Effect]:
        """Take the effects that have come up, in order. Carry them out before the next input."""
        effects = self._effects[:]
        self._effects.clear()
        return effects

    def next_deadline(self) -> float | None:
        """When to call `tick`; None: not at all."""
        at = self._deadlines.next()
        if self._road.up:
            life = self._life.next_deadline()
            at = life if at is None else min(at, life)
        expiry = self._up.outbox.next_expiry()
        if expiry is not None and self._road.state is not CLOSED:
            at = expiry if at is None else min(at, expiry)
        return None if at is None else self._clock.outside(at)

    # inputs from the person

    def connect(self, now: float) -> None:
        """Begin."""
        self._clock.tell(now)
        if self.state is State.IDLE:
            self._road.dial("connect")

    def send(
        self,
        kind: Kind,
        event: str,
        data: bytes,
        now: float,
        *,
        target: str = "",
        expires_in: float | None = None,
        idempotent: bool = False,
    ) -> int:
        """Queue a message and return its number. `data` is JSON text, `target` the channel of a publication.

        `expires_in`: seconds after which it ends as expired unless it was written to a link before. Raises OutboxFull
        (try again after `Room`), ConnectionClosed, TypeError, ValueError.
        """
        now = self._clock.tell(now)
        if self._road.state is CLOSED:
            raise ConnectionClosed("this connection was closed: nothing more can be sent on it")
        self._names.check(event, "event")
        if kind is PUB:
            self._names.check(target, "target")
        if not data:
            raise ValueError("data must be JSON text, not empty")
        if expires_in is not None and not expires_in >= 0:
            raise ValueError(f"expires_in must be seconds from now, not {expires_in!r}")
        expires_at = None if expires_in is None else now + expires_in
        n = self._up.send(kind, event, data, target, expires_at, idempotent)
        self._pump()
        return n

    def withdraw(self, n: int, now: float) -> bool:
        """Take back message n if it was never written; it then ends as expired."""
        self._clock.tell(now)
        return self._up.withdraw(n)

    def subscribe(self, channel: str, now: float, epoch: str | None = None, offset: int | None = None) -> None:
        """Follow a channel behind `offset` (epoch None: whatever epoch there is).

        Without an offset: from where a process before this one had got, else from the channel's head. A channel
        that is followed already begins anew: report nothing as handled that came before. Raises ConnectionClosed,
        TypeError, ValueError.
        """
        self._clock.tell(now)
        check_channel(channel, "channel")
        if self._road.state is CLOSED:
            raise ConnectionClosed("this connection was closed: no channel can be followed on it")
        place = self._places.pop(channel, None)
        if offset is None:
            epoch, offset = place or (None, None)
        self._down.subscribe(Reader(channel, epoch, offset))
        self._await()

    def unsubscribe(self, channel: str, now: float) -> None:
        """Follow it no longer, and forget how far it was handled."""
        self._clock.tell(now)
        check_channel(channel, "channel")
        place = self._places.pop(channel, None)
        if (self._down.unsubscribe(channel) or place is not None) and self._up.outbox.durable:
            self._effects.append(ForgetCursor(channel))
        self._await()

    def handled(self, channel: str, epoch: str, offset: int, size: int, now: float) -> None:
        """The application is done with everything up to an entry or gap that `Arrived` brought.

        `size`: the bytes it took of the credit, about those of its frame.
        """
        now = self._clock.tell(now)
        if not self._down.handled(channel, epoch, offset, size):
            self._road.abandon(Code.ABANDONED, "the inbox has a hole")
        self._plan_at(now)

    def retry_now(self, now: float) -> None:
        """The person wants it now: dial at once if waiting, given up or refused; probe if open."""
        now = self._clock.tell(now)
        if self.state in _IDLING:
            self._road.dial("retry now", hurry=True)
        elif self._road.up:
            self._probe(now)

    def hint(self, now: float, reason: str) -> None:
        """Something happened that may have killed the link or brought the network back: find out at once."""
        now = self._clock.tell(now)
        if self.state is State.WAITING:
            self._road.dial(reason)
        elif self._road.up:
            self._probe(now)

    def login(self, payload: Raw, now: float) -> None:
        """Renew the credentials of the present link (the answer to `Renew`)."""
        self._clock.tell(now)
        if self._road.up:
            self._write(Login(payload))

    def close(self, now: float) -> None:
        """Detach: leave at once and for good. A durable outbox keeps what is unsettled, without an outcome."""
        self._clock.tell(now)
        if self.state is not State.CLOSED:
            if not self._up.outbox.durable:
                self._up.give_up("closed")
            self._road.close("closed")
            self._up.wake()

    def end(self, now: float) -> None:
        """Destroy the session, then close. Without a link the server keeps it until its time runs out."""
        self._clock.tell(now)
        if self.state is not State.CLOSED:
            if self._road.linked:
                self._write(Bye("end"))
            self._end_session("ended")
            self._road.close("ended")
            self._up.wake()

    # inputs from the network and the disk

    def opened(self, attempt: int, now: float, login: Raw = NULL) -> None:
        """The dial brought an open socket: introduce ourselves."""
        self._clock.tell(now)
        if not self._road.opened(attempt):
            return
        floor = self._up.outbox.floor
        self._up.outbox.told_floor(floor)
        cursors = self._down.cursors(resuming=self.session is not None)
        self._write(self._me.hello(floor, login, cursors, self._policy.heartbeat))

    def failed(self, attempt: int, now: float, reason: str, *, fatal: bool = False) -> None:
        """The dial failed; `fatal` when no repetition can help."""
        self._clock.tell(now)
        self._road.failed(attempt, reason, fatal=fatal)

    def lost(self, attempt: int, code: int, reason: str, now: float, *, kind: CodeClass | None = None) -> None:
        """The link ended, by a close frame or without one (1006). `kind`: what the code means, if it is not ours."""
        self._clock.tell(now)
        if self._is_link(attempt):
            if code in _ENDED and kind is None:
                self._end_session(reason or "the session ended")
            self._road.lost(code, reason, kind or classify(code))

    def alive(self, attempt: int, now: float) -> None:
        """A sign of life that is no frame of ours, such as an RFC 6455 ping."""
        now = self._clock.tell(now)
        if self._is_link(attempt):
            self._life.heard(now)

    def received(self, attempt: int, data: bytes, now: float, *, proof: bool = True) -> None:
        """One text message, which must not change afterwards. Without `proof` nobody said it (DIALECTS 4.4)."""
        now = self._clock.tell(now)
        if not self._is_link(attempt):
            return
        self._retry.trusting = proof
        try:
            frame = self._decode(data)
            if self._road.state is GREETING:
                self._greeted(frame, now)
            else:
                if proof:
                    self._life.heard(now)
                self._take(frame, now)
        except BadFrame as error:
            self._road.abandon(Code.BAD_FRAME, f"the server broke the protocol: {error}")

    def persisted(self, n: int, now: float) -> None:
        """Messages up to n are on disk and may be written."""
        self._clock.tell(now)
        self._up.outbox.persisted(n)
        self._pump()

    def forgotten(self, n: int, now: float) -> None:
        """What `Forget(n)` asked for is done: the server may forget message n as well."""
        self.all_forgotten((n,), now)

    def all_forgotten(self, numbers: Iterable[int], now: float) -> None:
        """As `forgotten`, for what one commit brought: the window is looked at once."""
        now = self._clock.tell(now)
        for n in numbers:
            self._up.outbox.forgotten(n)
        if self._road.up:
            self._deadlines.set_default(FLOOR, now + FLOOR_DELAY)
        self._pump()

    def remembered(self, session: str | None, now: float) -> None:
        """What `Remember(session, …)` asked for is on disk: messages may be written in this session."""
        self._clock.tell(now)
        if self._me.remembered(session):
            self._pump()

    def tick(self, now: float) -> None:
        """Do what is due. Calling it early or twice does no harm."""
        now = self._clock.tell(now)
        if self._road.state is CLOSED:
            return
        self._up.expire(now)
        for due in self._deadlines.pop_due(now):
            if due is Due.ACK:
                self._down.tell_all()
            elif due is Due.FLOOR:
                self._up.tell_floor()
            else:
                self._road.fire(due)
        if self._road.up and self._life.next_deadline() <= now:
            act = self._life.tick(now)
            if act is Act.PING:
                self._write(Ping(self._life.t))
            elif act is Act.DEAD:
                self._road.abandon(Code.PEER_SILENT, "nothing was heard from the server")

    # the handshake

    def _greeted(self, frame: Struct, now: float) -> None:
        if isinstance(frame, Welcome):
            self._welcomed(frame, now)
        elif isinstance(frame, Refused):
            self._refused(frame)
        elif isinstance(frame, Ping):
            self._write(Pong(frame.t))
        elif not isinstance(frame, Pong):
            raise BadFrame("expected welcome or refused")

    def _welcomed(self, frame: Welcome, now: float) -> None:
        body, known = frame.body, self.session is not None
        self._me.check(body)
        if body.received > self._up.outbox.highest_written:
            self._outgrown(body.received)
            return
        self._road.welcomed("resumed" if body.resumed else "the server lost the session" if known else "new session")
        self._life = Liveness(Heartbeat(body.heartbeat.interval, body.heartbeat.timeout), now)
        if known and not body.resumed:
            self._up.session_lost("the server lost this session")
        self._down.welcomed(body)
        if not body.resumed:
            self._me.adopt(body)
        self._up.welcomed(body)
        self._plan_at(now)
        self._pump()

    def _outgrown(self, received: int) -> None:
        """The session has numbers we never wrote: this outbox was set back, or copied (PROTOCOL 2.4)."""
        self._up.session_lost("the outbox is older than its session", received)
        self._me.forget()
        self._road.abandon(Code.ABANDONED, "the outbox is older than its session")

    def _refused(self, frame: Refused) -> None:
        body = frame.body
        reason = f"refused: {body.code}: {body.message}" if body.message else f"refused: {body.code}"
        if self.state is not State.GREETING:
            self._road.tell(f"renewal {reason}")
        elif body.retry is False:
            code = _REFUSALS.get(body.code, Code.LOGIN_REFUSED)
            self._road.abandon(code, reason, CodeClass.FATAL)
        else:
            self._road.wait_at_least(float(body.retry))
            self._road.abandon(Code.REFUSED_FOR_NOW, reason)

    def _end_session(self, reason: str) -> None:
        """The session is over: everything gets its outcome, and nothing is left to come back to."""
        self._up.give_up(reason)
        self._me.forget()

    # frames of an open link, the frequent ones first

    def _take(self, frame: Struct, now: float) -> None:
        kind = type(frame)
        if kind is Msg:
            if not self._down.msg(frame):  # type: ignore[arg-type]
                self._road.abandon(Code.ABANDONED, "the inbox has a hole")
            elif self._down.untold:
                self._plan_at(now)
        elif kind is Reply:
            self._settled(self._up.reply(frame), now)  # type: ignore[arg-type]
        elif kind is Ack:
            self._settled(self._up.ack(frame), now)  # type: ignore[arg-type]
        elif isinstance(frame, Ping):
            self._write(Pong(frame.t))
        elif isinstance(frame, Pong):
            self._life.pong(frame.t, now)
        elif isinstance(frame, Fail):
            self._settled(self._up.fail(frame), now)
        else:
            self._take_rare(frame, now)

    def _take_rare(self, frame: Struct, now: float) -> None:
        if isinstance(frame, Gap):
            self._down.gap(frame)
        elif isinstance(frame, Now):
            self._down.now(frame)
        elif isinstance(frame, Ok):
            self._answered(self._down.ok(frame), now)
        elif isinstance(frame, No):
            self._answered(self._down.no(frame), now)
        elif isinstance(frame, Expiring):
            self._effects.append(Renew(frame.body.seconds))
        elif isinstance(frame, Refused):
            self._refused(frame)
        elif isinstance(frame, Move):
            self._road.move(frame.body)
        else:
            raise BadFrame("welcome: a second time")

    def _settled(self, progress: bool, now: float) -> None:
        if progress:
            if self._retry.trusting:
                self._life.progress(now)
            self._deadlines.set_default(FLOOR, now + FLOOR_DELAY)
        self._pump()

    def _answered(self, ours: bool, now: float) -> None:
        if ours and self._retry.trusting:
            self._life.progress(now)
        self._plan_at(now)
        self._await()

    # small things

    def _is_link(self, attempt: int) -> bool:
        return attempt == self._road.link and self._road.linked

    def _pump(self) -> None:
        if self._road.up:
            if self._me.stored:
                self._up.expire(self._clock.now)
                self._up.pump()
            self._await()

    def _await(self) -> None:
        self._life.awaiting(self._up.outbox.in_flight > 0 or self._down.waiting, self._clock.now)

    def _plan_at(self, now: float) -> None:
        if self._down.untold:
            self._deadlines.set_default(ACK, now + AT_DELAY)

    def _probe(self, now: float) -> None:
        self._write(Ping(self._life.probe(now)))

    def _write(self, frame: Struct) -> None:
        self._effects.append(Transmit(self._road.link, self._encode(frame)))
