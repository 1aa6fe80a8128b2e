"""The road to the server: which link there is, which is being dialled, and when to dial again (PROTOCOL 6, 7).

Invariants:
- at most one dial is in flight, and no live link beside it but in MOVING (test_never_two_dials);
- a link or dial is left by a Drop or is told as lost, never silently (test_nothing_is_left_open);
- only progress or a stable time resets the back-off (test_accept_then_drop_grows);
- a server that asks to wait is not dialled before, hints or not; the person may (test_min_wait_is_honoured).
"""

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from .back_off import Retry
from .clock import Clock
from .codes import Code, CodeClass
from .deadlines import Deadlines, Due
from .effects import Changed, Dial, Drop, Effect
from .enums import State
from .frames import MoveBody
from .policy import ClientPolicy
from .states import MOVES, check_move

if TYPE_CHECKING:
    from .ports import Chance, Trace

REASON_BYTES = 120
_OF_A_LINK = (Due.HELLO, Due.STABLE, Due.ACK, Due.FLOOR, Due.MOVE)


class Road:
    """Links and dials of one client machine. `on_lost` is called whenever the present link ends.

    `linked` and `up` say of the state whether there is a link, and whether it is welcome: asked for every frame.
    """

    def __init__(
        self,
        policy: ClientPolicy,
        random: "Chance",
        effects: list[Effect],
        clock: Clock,
        trace: "Trace | None",
    ) -> None:
        self.state: State = State.IDLE
        self.linked: bool = False
        self.up: bool = False
        self.attempt: int = 0
        self.link: int = 0
        self.deadlines: Deadlines = Deadlines()
        self.retry: Retry = Retry(policy.back_off, random)
        self._policy = policy
        self._random = random
        self._effects = effects
        self._clock = clock
        self.on_lost: Callable[[], None] = _nobody
        self._trace = trace
        self._not_before = -inf

    # dialling

    def dial(self, why: str, *, hurry: bool = False) -> None:
        """Dial now; with `hurry` even where a server asked to wait. A hint does nothing before that time."""
        if hurry:
            self.retry.failures = 0
            self._not_before = -inf
        if self._clock.now >= self._not_before:
            self.deadlines.clear(Due.RETRY)
            self._start_dial(State.DIALLING, why)

    def opened(self, attempt: int) -> bool:
        """The dial brought an open socket; whether it is the one we want."""
        if attempt != self.attempt or self.state not in {State.DIALLING, State.MOVING}:
            if attempt != self.link:
                self.drop(attempt, Code.ABANDONED, "no longer wanted")
            return False
        if self.state is State.MOVING:
            self.leave(Code.ABANDONED, "moving on")
            self.retry.left()
        self.link = attempt
        self.go(State.GREETING, "open")
        self.deadlines.clear(Due.CONNECT)
        self.deadlines.set(Due.HELLO, self._clock.now + self._policy.hello_timeout)
        return True

    def failed(self, attempt: int, reason: str, *, fatal: bool) -> None:
        """The dial failed."""
        if attempt != self.attempt or self.state not in {State.DIALLING, State.MOVING}:
            return
        self.deadlines.clear(Due.CONNECT)
        if self.state is State.MOVING:
            self.go(State.OPEN, f"could not move: {reason}")
        else:
            self._rest(reason, None, CodeClass.FATAL if fatal else CodeClass.RETRY)

    def welcomed(self, reason: str) -> None:
        """The session is on."""
        self.deadlines.clear(Due.HELLO)
        self.deadlines.set(Due.STABLE, self._clock.now + self._policy.back_off.stable)
        self._not_before = -inf
        self.go(State.OPEN, reason)

    def move(self, body: MoveBody) -> None:
        """The server asks us to dial again."""
        if self.state is State.OPEN and Due.MOVE not in self.deadlines:
            wait = body.after + self._random.uniform(0.0, body.spread)
            self.deadlines.set(Due.MOVE, self._clock.now + wait + self.retry.before_moving())

    # leaving

    def wait_at_least(self, seconds: float) -> None:
        """The server does not want us back earlier."""
        self._not_before = self._clock.now + seconds

    def abandon(self, code: int, reason: str, kind: CodeClass = CodeClass.RETRY) -> None:
        """Leave the present link on our own account and go on as `kind` says."""
        self.drop(self.link, code, reason)
        self.lost(code, reason, kind)

    def lost(self, code: int, reason: str, kind: CodeClass) -> None:
        """The present link ended."""
        self._end_link()
        if kind is not CodeClass.FATAL and self.state is State.MOVING:
            self.retry.left()
            self.go(State.DIALLING, reason, code)
            return
        if self.state is State.MOVING:
            self.drop(self.attempt, Code.ABANDONED, "no longer wanted")
            self.deadlines.clear(Due.CONNECT)
        self._rest(reason, code, kind)

    def leave(self, code: int, reason: str) -> None:
        """Leave the present link, if there is one, without a word about what comes next."""
        if self.link:
            self.drop(self.link, code, reason)
            self._end_link()

    def close(self, reason: str) -> None:
        """Leave everything, for good."""
        if self.state in {State.DIALLING, State.MOVING}:
            self.drop(self.attempt, Code.ABANDONED, reason)
        self.leave(Code.NORMAL, reason)
        self.deadlines.clear_all()
        self.go(State.CLOSED, reason)

    # timers

    def fire(self, due: Due) -> None:
        """One of this module's deadlines has come."""
        if due is Due.CONNECT:
            self.drop(self.attempt, Code.ABANDONED, "the dial took too long")
            self.failed(self.attempt, "the dial took too long", fatal=False)
        elif due is Due.HELLO and self.state is State.GREETING:
            self.abandon(Code.HELLO_TIMEOUT, "the server did not say welcome in time")
        elif due is Due.RETRY and self.state is State.WAITING:
            self._start_dial(State.DIALLING, "retry")
        elif due is Due.STABLE:
            self.retry.stable()
        elif due is Due.MOVE and self.state is State.OPEN:
            self._start_dial(State.MOVING, "the server asked to move")

    # small things

    def drop(self, attempt: int, code: int, reason: str) -> None:
        """Leave one link or dial; the reason is cut to what a close frame takes."""
        brief = reason.encode("utf-8", "replace")[:REASON_BYTES].decode("utf-8", "ignore")
        self._effects.append(Drop(attempt, int(code), brief))

    def go(self, new: State, reason: str, code: int | None = None, retry_in: float | None = None) -> None:
        """Move, if the table allows it, and tell."""
        check_move(MOVES, self.state, new)
        old, self.state = self.state, new
        plain = None if code is None else int(code)
        self.up = new is State.OPEN or new is State.MOVING
        self.linked = self.up or new is State.GREETING
        self._effects.append(Changed(old.value, new.value, reason, self.attempt, plain, retry_in))
        if self._trace is not None:
            self._trace(self._clock.now, "client.state", {"old": old.value, "new": new.value, "reason": reason})

    def tell(self, reason: str) -> None:
        """Say something about the connection that moves nothing."""
        self._effects.append(Changed(self.state.value, self.state.value, reason, self.attempt))

    def _start_dial(self, state: State, why: str) -> None:
        self.attempt += 1
        self.go(state, why)
        self.deadlines.set(Due.CONNECT, self._clock.now + self._policy.connect_timeout)
        self._effects.append(Dial(self.attempt))

    def _end_link(self) -> None:
        self.link = 0
        self.deadlines.clear(*_OF_A_LINK)
        self.on_lost()

    def _rest(self, reason: str, code: int | None, kind: CodeClass) -> None:
        """No link and no dial: wait, give up or accept the refusal."""
        if kind is CodeClass.FATAL:
            self.retry.left()
            self.go(State.REFUSED, reason, code)
            return
        delay = max(0.0, self._not_before - self._clock.now) + self.retry.failed()
        most = self._policy.max_attempts
        if most is not None and self.retry.failures >= most:
            self.go(State.GAVE_UP, f"{reason} (attempt {self.retry.failures} of {most})", code)
            return
        self.deadlines.set(Due.RETRY, self._clock.now + delay)
        self.go(State.WAITING, reason, code, delay)


def _nobody() -> None:
    """Nobody wants to hear of lost links."""
