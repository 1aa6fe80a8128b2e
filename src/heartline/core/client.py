"""The client machine: one session over many links (PROTOCOL 2, 5, 6, 7).

Call an input (each takes `now`, seconds of a monotonic clock), then carry out what `drain()` returns, in order, then
arrange to call `tick` at `next_deadline()`. Nothing here waits, draws ids or looks at a clock.

Invariants:
- at most one dial is in flight, and no live link beside it but in MOVING (test_never_two_dials);
- input of an older attempt changes nothing (test_older_attempts_are_ignored);
- close is immediate and final in every state: nothing is dialled or sent after it (test_close_is_final);
- nothing numbered precedes welcome (test_nothing_numbered_before_welcome);
- only progress or a stable time resets the back-off (test_accept_then_drop_grows).
"""

from collections.abc import Mapping
from random import Random

from msgspec import Raw, Struct

from .back_off import Retry
from .codes import Code, CodeClass, classify
from .cursors import Reader
from .deadlines import Deadlines, Due
from .downstream import Downstream
from .effects import Changed, Dial, Drop, Effect, Remember, Renew, Transmit
from .errors import BadFrame, ConnectionClosed
from .frames import (
    NULL,
    Ack,
    Beat,
    Bye,
    Expiring,
    Fail,
    Gap,
    Hello,
    HelloBody,
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
)  # fmt: skip
from .liveness import Act, Liveness
from .outbox import Kind, Message, Outbox
from .policy import ClientPolicy, Heartbeat
from .ports import ClientCodec, Trace
from .saved import Saved
from .states import MOVES, State, check_move
from .upstream import Upstream

AT_DELAY = 0.1
FLOOR_DELAY = 1.0
_LINKED = frozenset({State.GREETING, State.OPEN, State.MOVING})
_UP = frozenset({State.OPEN, State.MOVING})
_ENDED = frozenset({Code.REPLACED, Code.ENDED})


class ClientMachine:
    """One client. `instance` is random for each process; `saved` is None for an outbox in memory."""

    def __init__(
        self,
        policy: ClientPolicy,
        codec: ClientCodec,
        random: Random,
        instance: str,
        *,
        saved: Saved | None = None,
        about: Mapping[str, object] | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.state = State.IDLE
        self.session: str | None = None
        self.attempt = 0
        self._policy = policy
        self._codec = codec
        self._random = random
        self._instance = instance
        self._about = dict(about or {})
        self._trace = trace
        self._key: str | None = None
        self._link = 0
        self._now = 0.0
        self._retry_floor = 0.0
        self._effects: list[Effect] = []
        self._deadlines = Deadlines()
        self._retry = Retry(policy.back_off, random)
        self._life = Liveness(policy.heartbeat or Heartbeat(), 0.0)
        durable = saved is not None
        outbox = Outbox(policy.outbox, durable=durable, first=saved.next_number if saved else 1)
        self._up = Upstream(outbox, self._retry, self._effects, self._write)
        self._down = Downstream(self._effects, self._write)
        if saved is not None:
            self.session, self._key = saved.session, saved.key
            outbox.restore(list(saved.messages), saved.next_number)
            for channel, (epoch, offset) in saved.cursors.items():
                self._down.subscribe(Reader(channel, epoch, offset))

    # what the shell reads

    def drain(self) -> list[Effect]:
        """Take the effects that have come up, in order. Carry them out before the next input."""
        effects = self._effects[:]
        self._effects.clear()
        return effects

    def next_deadline(self) -> float | None:
        """When to call `tick`; None: not at all."""
        at = self._deadlines.next()
        if self.state in _UP:
            life = self._life.next_deadline()
            at = life if at is None else min(at, life)
        expiry = self._up.outbox.next_expiry()
        if expiry is not None and self.state is not State.CLOSED:
            at = expiry if at is None else min(at, expiry)
        return at

    @property
    def outbox(self) -> Outbox:
        """What waits to be settled."""
        return self._up.outbox

    @property
    def failures(self) -> int:
        """Attempts without progress in the present outage."""
        return self._retry.failures

    # inputs from the person

    def connect(self, now: float) -> None:
        """Begin."""
        now = self._tell_time(now)
        if self.state is State.IDLE:
            self._dial(now, "connect")

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
        """Queue a message and return its number. Raises OutboxFull, ConnectionClosed."""
        now = self._tell_time(now)
        if self.state is State.CLOSED:
            raise ConnectionClosed("this connection was closed: nothing more can be sent on it")
        expires_at = None if expires_in is None else now + expires_in

        def make(n: int) -> Message:
            return Message(
                n, kind, event, data, target=target, expires_at=expires_at, idempotent=idempotent
            )

        n = self._up.send(make, len(data) + len(event) + len(target) + 24)
        self._pump(now)
        return n

    def withdraw(self, n: int, now: float) -> bool:
        """Take back message n if it was never written; it then ends as expired."""
        self._tell_time(now)
        return self._up.withdraw(n)

    def subscribe(self, channel: str, now: float, epoch: str | None = None, offset: int | None = None) -> None:
        """Follow a channel: from its head, or behind `offset` (epoch None: whatever epoch there is)."""
        now = self._tell_time(now)
        self._down.subscribe(Reader(channel, epoch, offset))
        self._await(now)

    def unsubscribe(self, channel: str, now: float) -> None:
        """Follow it no longer."""
        now = self._tell_time(now)
        self._down.unsubscribe(channel)
        self._await(now)

    def handled(self, channel: str, epoch: str, offset: int, size: int, now: float) -> None:
        """The application is done with an entry or gap that `Arrived` brought."""
        now = self._tell_time(now)
        if self._down.handled(channel, epoch, offset, size):
            self._retry.progressed()
            if self._down.untold:
                self._deadlines.set_default(Due.ACK, now + AT_DELAY)

    def retry_now(self, now: float) -> None:
        """The person wants it now: dial at once if waiting or given up, probe if open."""
        now = self._tell_time(now)
        if self.state in {State.WAITING, State.GAVE_UP, State.REFUSED}:
            self._retry.failures = 0
            self._dial(now, "retry now")
        elif self.state in _UP:
            self._probe(now)

    def hint(self, now: float, reason: str) -> None:
        """Something happened that may have killed the link or brought the network back: find out at once."""
        now = self._tell_time(now)
        if self.state is State.WAITING:
            self._dial(now, reason)
        elif self.state in _UP:
            self._probe(now)

    def login(self, payload: Raw, now: float) -> None:
        """Renew the credentials of the present link (the answer to `Renew`)."""
        self._tell_time(now)
        if self.state in _UP:
            self._write(Login(payload))

    def close(self, now: float) -> None:
        """Detach: leave at once and for good. A durable outbox keeps what is unsettled."""
        self._tell_time(now)
        self._shut("closed", settle=not self._up.outbox.durable)

    def end(self, now: float) -> None:
        """Destroy the session, then close."""
        self._tell_time(now)
        if self.state in _UP:
            self._write(Bye("end"))
        if self.state is not State.CLOSED:
            self._forget_session()
        self._shut("ended", settle=True)

    # inputs from the network and the disk

    def opened(self, attempt: int, now: float, login: Raw = NULL) -> None:
        """The dial brought an open socket: introduce ourselves."""
        now = self._tell_time(now)
        if attempt != self.attempt or self.state not in {State.DIALLING, State.MOVING}:
            self._effects.append(Drop(attempt, Code.ABANDONED, "no longer wanted"))
            return
        if self.state is State.MOVING:
            self._leave(Code.ABANDONED, "moving on")
        self._link = attempt
        self._go(State.GREETING, "open")
        self._deadlines.clear(Due.CONNECT)
        self._deadlines.set(Due.HELLO, now + self._policy.hello_timeout)
        wish = self._policy.heartbeat
        beat = None if wish is None else Beat(wish.interval, wish.timeout)
        floor = self._up.outbox.floor
        self._up.outbox.told_floor(floor)
        body = HelloBody(
            self._instance, floor, self.session, self._key, login, self._down.cursors(), self._about, beat
        )
        self._write(Hello(body))

    def failed(self, attempt: int, now: float, reason: str, *, fatal: bool = False) -> None:
        """The dial failed; `fatal` when no repetition can help."""
        now = self._tell_time(now)
        if attempt != self.attempt or self.state not in {State.DIALLING, State.MOVING}:
            return
        self._deadlines.clear(Due.CONNECT)
        if self.state is State.MOVING:
            self._go(State.OPEN, f"could not move: {reason}")
        else:
            self._down_again(now, reason, None, CodeClass.FATAL if fatal else CodeClass.RETRY)

    def lost(self, attempt: int, code: int, reason: str, now: float) -> None:
        """The link ended, by a close frame or without one (1006)."""
        now = self._tell_time(now)
        if attempt == self._link and self.state in _LINKED:
            self._lost(now, code, reason, classify(code))

    def alive(self, attempt: int, now: float) -> None:
        """A sign of life that is no frame of ours, such as an RFC 6455 ping."""
        now = self._tell_time(now)
        if attempt == self._link and self.state in _LINKED:
            self._life.heard(now)

    def received(self, attempt: int, data: bytes, now: float) -> None:
        """One text message of the link."""
        now = self._tell_time(now)
        if attempt != self._link or self.state not in _LINKED:
            return
        try:
            frame = self._codec.decode(data)
            if self.state is State.GREETING:
                self._greeted(frame, now)
            else:
                self._life.heard(now)
                self._take(frame, now)
        except BadFrame as error:
            self._abandon(now, Code.BAD_FRAME, f"the server broke the protocol: {error}")

    def persisted(self, n: int, now: float) -> None:
        """Messages up to n are on disk and may be written."""
        now = self._tell_time(now)
        self._up.outbox.persisted(n)
        self._pump(now)

    def tick(self, now: float) -> None:
        """Do what is due. Calling it early or twice does no harm."""
        now = self._tell_time(now)
        if self.state is State.CLOSED:
            return
        self._up.expire(now)
        for due in self._deadlines.pop_due(now):
            self._fire(due, now)
        if self.state in _UP and self._life.next_deadline() <= now:
            act = self._life.tick(now)
            if act is Act.PING:
                self._write(Ping(self._life.t))
            elif act is Act.DEAD:
                self._abandon(now, Code.PEER_SILENT, "nothing was heard from the server")

    # timers

    def _fire(self, due: Due, now: float) -> None:
        if due is Due.CONNECT:
            self._effects.append(Drop(self.attempt, Code.ABANDONED, "the dial took too long"))
            self.failed(self.attempt, now, "the dial took too long")
        elif due is Due.HELLO:
            self._abandon(now, Code.HELLO_TIMEOUT, "the server did not say welcome in time")
        elif due is Due.RETRY and self.state is State.WAITING:
            self._dial(now, "retry")
        elif due is Due.STABLE:
            self._retry.stable()
        elif due is Due.MOVE and self.state is State.OPEN:
            self._start_dial(now, State.MOVING, "the server asked to move")
        elif due is Due.ACK and self.state in _UP:
            self._down.tell_all()
            self._up.tell_floor()

    # links

    def _dial(self, now: float, why: str) -> None:
        self._deadlines.clear(Due.RETRY)
        self._start_dial(now, State.DIALLING, why)

    def _start_dial(self, now: float, state: State, why: str) -> None:
        self.attempt += 1
        self._go(state, why)
        self._deadlines.set(Due.CONNECT, now + self._policy.connect_timeout)
        self._effects.append(Dial(self.attempt))

    def _greeted(self, frame: Struct, now: float) -> None:
        if isinstance(frame, Welcome):
            self._welcomed(frame, now)
        elif isinstance(frame, Refused):
            self._refused(frame, now)
        elif isinstance(frame, Ping):
            self._write(Pong(frame.t))
        elif not isinstance(frame, Pong):
            raise BadFrame("expected welcome or refused")

    def _welcomed(self, frame: Welcome, now: float) -> None:
        body = frame.body
        if body.resumed and body.session != self.session:
            raise BadFrame("resumed a session we did not name")
        if not body.resumed and body.key is None:
            raise BadFrame("a new session without a key")
        had_session = self.session is not None
        if not body.resumed:
            self.session, self._key = body.session, body.key
            self._effects.append(Remember(self.session, self._key))
        self._deadlines.clear(Due.HELLO)
        self._deadlines.set(Due.STABLE, now + self._policy.back_off.stable)
        self._retry_floor = 0.0
        self._life = Liveness(Heartbeat(body.heartbeat.interval, body.heartbeat.timeout), now)
        reason = "resumed" if body.resumed else ("the server lost the session" if had_session else "new session")
        self._go(State.OPEN, reason)
        self._down.welcomed(body, had_session=had_session)
        self._up.welcomed(body, had_session=had_session)
        self._pump(now)

    def _refused(self, frame: Refused, now: float) -> None:
        body = frame.body
        reason = f"refused: {body.code}: {body.message}" if body.message else f"refused: {body.code}"
        if self.state is not State.GREETING:
            self._report(f"renewal {reason}")
        elif body.retry is False:
            self._abandon(now, Code.LOGIN_REFUSED, reason, CodeClass.FATAL)
        else:
            self._retry_floor = float(body.retry)
            self._abandon(now, Code.ABANDONED, reason)

    def _abandon(self, now: float, code: int, reason: str, kind: CodeClass = CodeClass.RETRY) -> None:
        """Leave the present link on our own account and go on as `kind` says."""
        self._effects.append(Drop(self._link, code, reason))
        self._lost(now, code, reason, kind)

    def _lost(self, now: float, code: int, reason: str, kind: CodeClass) -> None:
        self._link = 0
        self._down.lost()
        self._deadlines.clear(Due.HELLO, Due.STABLE, Due.ACK, Due.MOVE)
        if kind is not CodeClass.FATAL and self.state is State.MOVING:
            self._go(State.DIALLING, reason, code)
            return
        if self.state is State.MOVING:
            self._effects.append(Drop(self.attempt, Code.ABANDONED, "no longer wanted"))
            self._deadlines.clear(Due.CONNECT)
        if code in _ENDED:
            self._forget_session()
            self._up.give_up(reason or "the session ended")
        self._down_again(now, reason, code, kind)

    def _down_again(self, now: float, reason: str, code: int | None, kind: CodeClass) -> None:
        """No link and no dial: wait, give up or accept the refusal."""
        if kind is CodeClass.FATAL:
            self._go(State.REFUSED, reason, code)
            return
        delay = max(self._retry.failed(), self._retry_floor)
        most = self._policy.max_attempts
        if most is not None and self._retry.failures >= most:
            self._go(State.GAVE_UP, f"{reason} (attempt {self._retry.failures} of {most})", code)
            return
        self._deadlines.set(Due.RETRY, now + delay)
        self._go(State.WAITING, reason, code, delay)

    def _leave(self, code: int, reason: str) -> None:
        if self._link:
            self._effects.append(Drop(self._link, code, reason))
            self._link = 0
            self._down.lost()
        self._deadlines.clear(Due.HELLO, Due.STABLE, Due.ACK, Due.MOVE)

    def _shut(self, reason: str, *, settle: bool) -> None:
        if self.state is State.CLOSED:
            return
        if self.state in {State.DIALLING, State.MOVING}:
            self._effects.append(Drop(self.attempt, Code.ABANDONED, reason))
        self._leave(Code.NORMAL, reason)
        self._deadlines.clear_all()
        if settle:
            self._up.give_up(reason)
        self._go(State.CLOSED, reason)

    def _forget_session(self) -> None:
        self.session = self._key = None
        self._effects.append(Remember(None, None))

    # frames

    def _take(self, frame: Struct, now: float) -> None:
        kind = type(frame)
        if kind is Msg:
            if not self._down.msg(frame):  # type: ignore[arg-type]
                raise BadFrame("more entries than credit")
        elif kind is Reply:
            self._progress(self._up.reply(frame), now)  # type: ignore[arg-type]
        elif kind is Ack:
            self._progress(self._up.ack(frame), now)  # type: ignore[arg-type]
        elif isinstance(frame, Ping):
            self._write(Pong(frame.t))
        elif isinstance(frame, Pong):
            self._life.pong(frame.t, now)
        elif isinstance(frame, Fail):
            self._progress(self._up.fail(frame), now)
        else:
            self._take_rare(frame, now)

    def _take_rare(self, frame: Struct, now: float) -> None:
        if isinstance(frame, Gap):
            self._down.gap(frame)
        elif isinstance(frame, Now):
            self._down.now(frame)
        elif isinstance(frame, Ok):
            self._down.ok(frame)
            self._progress(False, now)
        elif isinstance(frame, No):
            self._down.no(frame)
            self._progress(False, now)
        elif isinstance(frame, Expiring):
            self._effects.append(Renew(frame.body.seconds))
        elif isinstance(frame, Refused):
            self._refused(frame, now)
        elif isinstance(frame, Move):
            spread = self._random.uniform(0.0, frame.body.spread)
            self._deadlines.set_default(Due.MOVE, now + frame.body.after + spread)
        else:
            raise BadFrame("welcome a second time")

    def _progress(self, progress: bool, now: float) -> None:
        if progress:
            self._life.progress(now)
            self._deadlines.set_default(Due.ACK, now + FLOOR_DELAY)
        self._pump(now)

    # small things

    def _pump(self, now: float) -> None:
        if self.state in _UP:
            self._up.pump()
            self._await(now)

    def _await(self, now: float) -> None:
        self._life.awaiting(self._up.outbox.in_flight > 0 or self._down.waiting, now)

    def _probe(self, now: float) -> None:
        self._write(Ping(self._life.probe(now)))

    def _write(self, frame: Struct) -> None:
        self._effects.append(Transmit(self._link, self._codec.encode(frame)))

    def _tell_time(self, now: float) -> float:
        """A clock that jumps back stands still."""
        if now > self._now:
            self._now = now
        return self._now

    def _go(self, new: State, reason: str, code: int | None = None, retry_in: float | None = None) -> None:
        check_move(MOVES, self.state, new)
        old, self.state = self.state, new
        self._effects.append(Changed(old.value, new.value, reason, self.attempt, code, retry_in))
        if self._trace is not None:
            self._trace(self._now, "client.state", {"old": old.value, "new": new.value, "reason": reason})

    def _report(self, reason: str) -> None:
        self._effects.append(Changed(self.state.value, self.state.value, reason, self.attempt))

