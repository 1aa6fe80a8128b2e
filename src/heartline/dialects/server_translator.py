"""A foreign client's end of a link, for a server that speaks heartline.1: a translator between socket and link.

To the link it is a heartline.1 client that never resumes; to the foreign client it is the server of its dialect. So the
same handlers, login and channels serve every dialect.

After each input send what `down` holds to the socket, give what `up` holds to the link, in order, and empty both; what
is in `down` is a text message, or PROBE for an RFC 6455 ping.

Invariants:
- what the link is told is always good heartline.1, whatever the client says (test_rubbish_never_reaches_the_link);
- messages reach the link in the order in which they came, and none is lost while the window is closed
  (test_messages_wait_for_the_window);
- nothing but beats counts before the login (test_nothing_counts_before_the_login);
- answers go to what asked, by order where the dialect has no ids (test_answers_go_to_what_asked);
- an entry is handled when the socket has taken it, and not before; nor is anything begun while it takes nothing
  (test_credit_follows_the_socket, test_nothing_is_begun_while_the_socket_is_full);
- subscribing twice subscribes once (test_subscribing_twice_subscribes_once);
- what cannot be spelt is told to the operator and loses nothing else (test_what_cannot_be_spelt).
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

from msgspec import Raw, Struct, json

from heartline.core.frames import (
    INBOX,
    Ack,
    At,
    Call,
    Fail,
    Gap,
    Hello,
    HelloBody,
    Login,
    Move,
    MoveBody,
    Msg,
    No,
    Now,
    Ok,
    Ping,
    Pong,
    Refused,
    Reply,
    Send,
    Settled,
    Sub,
    Unsub,
    Welcome,
)
from heartline.core.names import is_name
from heartline.core.outbox import SPAN
from heartline.core.server.presence import WHO
from heartline.core.states import check_move

from .native import decode_down, encode
from .spelling import Meaning, Said, Spelling, Unspeakable

PROBE: Final = None
"""In `down`: an RFC 6455 ping."""
FULL: Final = 64
FULL_BYTES: Final = 256 << 10
"""Messages, and bytes of them, that wait for the window when `is_full`; one read of the socket may bring more."""
_NOISE: Final = encode(Ping(0))  # said to the link for what is nothing else: it is life, and it is counted


class Stage(Enum):
    """LOGIN → WELCOMING → LIVE, and OVER from anywhere."""

    LOGIN = "login"
    """the client has not said who it is"""
    WELCOMING = "welcoming"
    """hello was said to the link"""
    LIVE = "live"
    OVER = "over"
    """refused: the link is about to be closed"""


STAGE_MOVES: Final[dict[Stage, frozenset[Stage]]] = {
    Stage.LOGIN: frozenset({Stage.WELCOMING, Stage.OVER}),
    Stage.WELCOMING: frozenset({Stage.LIVE, Stage.OVER}),
    Stage.LIVE: frozenset({Stage.OVER}),
    Stage.OVER: frozenset(),
}


class _Following(Struct):
    """A subscription: how the client said it, under which number the link knows it, whether it was granted."""

    said: Said
    r: int
    granted: bool = False


class ServerTranslator:
    """One foreign client.

    `judged`: whether the application has a login; then the client's is waited for, where the dialect has one.
    `window` messages or `window_bytes` at most are with the link at a time. `complain` is told, for the operator, what
    could not be spelt; `instance` is random.
    """

    __slots__ = (
        "_asked", "_asked_bytes", "_at", "_awaits_login", "_beat_at", "_complain", "_floor", "_following",
        "_instance", "_leaves", "_n", "_r", "_spelling", "_stage", "_waiting", "_waiting_bytes", "_welcome_owed",
        "_window", "_window_bytes", "blocked", "down", "ignored", "leaving", "missed", "up",
    )  # fmt: skip

    def __init__(
        self,
        spelling: Spelling,
        *,
        judged: bool,
        instance: str,
        window: int,
        window_bytes: int,
        complain: Callable[[str], None],
    ) -> None:
        self.up: list[bytes] = []
        self.down: list[bytes | None] = []
        self.leaving: MoveBody | None = None
        """set when the server wants its clients to move away: when to close, for the dialect cannot say it"""
        self.ignored: int = 0
        """messages that meant nothing"""
        self.missed: int = 0
        """gaps, which no dialect can tell: the client was too slow for what its channel keeps"""
        self.blocked: bool = False
        """set while the socket takes nothing more: then nothing is begun that would have to be answered"""
        self._spelling = spelling
        self._instance = instance
        self._window = min(window, SPAN)
        self._window_bytes = window_bytes
        self._complain = complain
        self._awaits_login = judged and spelling.dialect.login is not None
        self._stage = Stage.LOGIN
        self._welcome_owed = False
        self._waiting: deque[Said] = deque()
        self._waiting_bytes = 0
        self._asked: dict[int, tuple[Said, int]] = {}
        self._asked_bytes = 0
        self._n = 0
        self._floor = 1
        self._r = 0
        self._following: dict[str, _Following] = {}
        self._leaves: dict[int, Said] = {}
        self._at: dict[str, int] = {}
        self._beat_at: float | None = None

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the window that the socket should not be read on."""
        return len(self._waiting) >= FULL or self._waiting_bytes >= FULL_BYTES

    @property
    def is_owing(self) -> bool:
        """Whether messages wait that will be handled, even if their client is gone by now."""
        return bool(self._waiting) and self._stage in (Stage.WELCOMING, Stage.LIVE)

    @property
    def is_idle(self) -> bool:
        """Whether nothing the client said is still to be answered."""
        return not self._waiting and not self._asked

    # inputs from the socket

    def opened(self, now: float) -> None:
        """The socket is open."""
        beat = self._spelling.dialect.beat
        if beat is not None and beat.by == "server":
            self._beat_at = now + (0.0 if beat.first else beat.interval)
        if not self._awaits_login:
            self._hello(None)

    def heard(self, data: bytes) -> None:
        """One message of the client, text or binary."""
        if self._stage is Stage.OVER:
            return
        said = self._spelling.hear(data, login=self._stage is Stage.LOGIN)
        match said.meaning:
            case Meaning.BEAT:
                self._say(self._spelling.beat_answer, said)
                self.up.append(_NOISE)
            case Meaning.ALIVE:
                self.up.append(_NOISE)
            case Meaning.NOTHING:
                self._ignore()
            case Meaning.LOGIN:
                self._login(said)
            case _ if self._stage is Stage.LOGIN:
                self._ignore()
                self._refuse(said, {"code": "login_required", "message": "log in first"})
            case _:
                self._waiting.append(said)
                self._waiting_bytes += len(data)
                self._pass_on()

    def taken(self) -> None:
        """The socket has taken what it was given and takes more: entries written so far count as handled."""
        self.blocked = False
        self._pass_on()
        if self._stage is Stage.LIVE:
            self.up += [encode(At(channel, offset)) for channel, offset in self._at.items()]
        self._at.clear()

    def next_deadline(self) -> float | None:
        """When `tick` has something to do: only where the server beats."""
        return self._beat_at

    def tick(self, now: float) -> None:
        """Say the server's beat when it is due."""
        beat = self._spelling.dialect.beat
        if self._beat_at is not None and beat is not None and now >= self._beat_at:
            self._beat_at = max(self._beat_at + beat.interval, now)
            self._say(self._spelling.beat)

    # inputs from the link

    def said(self, payload: bytes, words: object = None, *, paused: bool = False) -> None:
        """One frame of the link. `words`: what the login says back; `paused`: the socket is not being read."""
        frame: Any = decode_down(payload)
        match frame:
            case Msg():
                self._at[frame.channel] = frame.offset
                self._entry(payload, frame.channel, frame.event, frame.data)
            case Now():
                self._entry(payload, frame.channel, frame.event, frame.data)
            case Ack():
                self._acked(frame.n)
            case Reply():
                self._replied(frame.n, frame.data)
            case Fail():
                self._failed(frame.n, json.decode(frame.body))
            case Ping():
                if paused and not self.blocked:  # nothing can be heard, and that is our doing
                    self.up.append(encode(Pong(frame.t)))
                else:
                    self.down.append(PROBE)
            case Ok() | No():
                self._about_channel(frame, words)
            case Gap():
                self.missed += 1
            case _:
                self._about_link(frame, words)

    def _about_link(self, frame: Any, words: object) -> None:
        match frame:
            case Welcome():
                self._go(Stage.LIVE)
                if self._awaits_login or self._welcome_owed:
                    self._say(self._spelling.accepted, words)
                self._pass_on()
            case Refused():
                self._say(self._spelling.refused, frame.body.code, frame.body.message, frame.body.retry)
                if self._stage is Stage.WELCOMING:
                    self._go(Stage.OVER)
            case Move():
                self.leaving = frame.body
            case _:  # pong, expiring: no dialect can say them
                pass

    # logging in

    def _hello(self, login: Any) -> None:
        self._go(Stage.WELCOMING)
        self.up.append(encode(Hello(HelloBody(self._instance, 1, login=Raw(json.encode(login))))))

    def _login(self, said: Said) -> None:
        if self._stage is Stage.LOGIN:
            self._hello(said.data)
        elif not self._awaits_login:  # everybody is welcome
            self.up.append(_NOISE)
            if self._stage is Stage.LIVE:
                self._say(self._spelling.accepted, None)
            self._welcome_owed = True
        elif self._stage is Stage.LIVE:
            self.up.append(encode(Login(Raw(json.encode(said.data)))))
        else:  # the same again while it is judged
            self._ignore()

    # messages

    def _pass_on(self) -> None:
        """Give the link what waits, as far as the window allows."""
        while self._waiting and self._stage is Stage.LIVE and not self.blocked:
            if len(self._asked) >= self._window or self._n + 1 >= self._floor + SPAN:
                self._settle()
                if len(self._asked) >= self._window or self._n + 1 >= self._floor + SPAN:
                    return
            said = self._waiting[0]
            if said.meaning in (Meaning.CALL, Meaning.SEND):
                data = json.encode(said.data)
                if self._asked and self._asked_bytes + len(data) > self._window_bytes:
                    return
                self._ask(said, data)
            else:
                self._follow(said)
            self._waiting.popleft()
            self._waiting_bytes -= len(said.heard.data)

    def _ask(self, said: Said, data: bytes) -> None:
        if not is_name(said.name):
            self._ignore()
            self._end(said, {"code": "unknown_event", "message": "no such event"})
            return
        self._n += 1
        self._asked[self._n] = (said, len(data))
        self._asked_bytes += len(data)
        kind = Call if said.meaning is Meaning.CALL else Send
        self.up.append(encode(kind(self._n, said.name, Raw(data))))

    def _settle(self) -> None:
        """Tell the link what it need not keep any more."""
        floor = next(iter(self._asked), self._n + 1)
        if floor > self._floor:
            self._floor = floor
            self.up.append(encode(Settled(floor)))

    def _over(self, n: int) -> Said | None:
        """A message has ended."""
        said, size = self._asked.pop(n, (None, 0))
        self._asked_bytes -= size
        return said

    def _acked(self, n: int) -> None:
        for number in [one for one in self._asked if one <= n]:
            said = self._over(number)
            if said is not None:
                self._say(self._spelling.confirmation, said)
        self._pass_on()

    def _replied(self, n: int, data: Raw) -> None:
        said = self._over(n)
        if said is not None and not self._say(self._spelling.reply, said, json.decode(data)):
            self._refuse(said, {"code": "failed", "message": "the answer cannot be said"})
        self._pass_on()

    def _failed(self, n: int, body: dict[str, Any]) -> None:
        said = self._over(n)
        if said is not None:
            self._end(said, body)
        self._pass_on()

    def _end(self, said: Said, body: dict[str, Any]) -> None:
        """A message ended badly. What nobody handles is met with silence, unless the client waits for this very one."""
        if body.get("code") != "unknown_event" or self._spelling.finds_by_id:
            self._refuse(said, body)

    # channels

    def _follow(self, said: Said) -> None:
        channel = said.name
        following = self._following.get(channel)
        if said.meaning is Meaning.LEAVE:
            if following is None:
                self._say(self._spelling.left, said)
                self.up.append(_NOISE)
                return
            del self._following[channel]
            self._r += 1
            self._leaves[self._r] = said
            self.up.append(encode(Unsub(self._r, channel)))
        elif following is not None:
            following.said = said
            self.up.append(_NOISE)
            if following.granted:
                self._say(self._spelling.subscribed, said, None)
        elif not is_name(channel.removeprefix(WHO)):
            self._ignore()
            self._refuse(said, {"code": "invalid", "message": "not a channel name"})
        else:
            self._r += 1
            self._following[channel] = _Following(said, self._r)
            self.up.append(encode(Sub(self._r, channel)))

    def _about_channel(self, frame: Ok | No, words: object) -> None:
        if frame.r == 0:
            self._say(self._spelling.accepted, words)
            return
        left = self._leaves.pop(frame.r, None)
        if left is not None:
            self._say(self._spelling.left, left)
            return
        channel = next((name for name, one in self._following.items() if one.r == frame.r), None)
        if channel is None:
            return
        following = self._following[channel]
        if isinstance(frame, Ok):
            following.granted = True
            state = frame.body.state
            self._say(self._spelling.subscribed, following.said, json.decode(state) if isinstance(state, Raw) else None)
        else:
            del self._following[channel]
            say = self._spelling.ended if following.granted else self._spelling.refusal
            self._say(say, following.said, {"code": frame.body.code, "message": frame.body.message})

    def _entry(self, payload: bytes, channel: str, event: str, data: Raw) -> None:
        following = None if channel == INBOX else self._following.get(channel)
        self._say(self._spelling.entry, payload, event, bytes(data), None if following is None else following.said)

    # the inside

    def _say(self, spell: Callable[..., bytes | None], *what: Any) -> bool:
        """Spell something and say it; whether that was possible."""
        try:
            words = spell(*what)
        except Unspeakable as error:
            self._complain(f"{spell.__name__}: {error}")
            return False
        if words is not None:
            self.down.append(words)
        return True

    def _refuse(self, said: Said, body: dict[str, Any]) -> None:
        self._say(self._spelling.refusal, said, body)

    def _ignore(self) -> None:
        self.ignored += 1
        self.up.append(_NOISE)

    def _go(self, new: Stage) -> None:
        check_move(STAGE_MOVES, self._stage, new)
        self._stage = new
