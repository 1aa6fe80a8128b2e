"""A client's translator: to its machine a heartline.1 server, to a foreign server one of its clients (DIALECTS.md §4).

It belongs to one connection and lives over all its links. Give it what the machine transmits (`up`), what the socket
brings (`heard`, `pong`), the end of a link (`lost`) and the time (`tick` at `next_deadline()`); after each do what
`drain()` returns, in order. It waits for nothing, draws nothing and looks at no clock. What goes down after `heard` and
`pong` shows that somebody is there; what goes down after the others does not.

Invariants:
- welcome comes when the login is accepted, and at once where there is none (test_welcome_comes_with_the_login);
- whatever a server says raises nothing, and what is not understood is counted (test_rubbish_is_ignored_and_counted);
- nothing is said or due between links (test_nothing_is_due_between_links);
- what is said before the login is accepted is handed over after it (test_what_comes_before_welcome_is_handed_over_after_it).
"""

from collections.abc import Callable, Mapping
from enum import Enum
from math import inf, isfinite
from typing import Any, Final, Protocol

from msgspec import UNSET, json

from heartline.core.frames import (
    INBOX,
    At,
    Beat,
    Call,
    Hello,
    HelloBody,
    LimitsBody,
    Ping,
    Place,
    Position,
    Pub,
    Refused,
    RefusedBody,
    Send,
    Settled,
    Sub,
    Unsub,
    Welcome,
    WelcomeBody,
)

from .client_beats import Beats
from .client_channels import CREDIT, CREDIT_BYTES, Channels
from .client_desk import Desk, Output, name_of, raw_of, sentence_of, word_of
from .client_messages import Messages, Note
from .forms import Heard, is_number, read, variables_of
from .native import decode_up
from .spec import Dialect, Login

LIMITS: Final = LimitsBody(16 << 20, 256, 1 << 20, CREDIT, CREDIT_BYTES, 1000)
NO_BEAT: Final = Beat(86_400.0, 86_400.0)
LONGEST_RETRY: Final = 86_400.0
KEY: Final = "-"
MOST_EARLY: Final = 1000
MOST_EARLY_BYTES: Final = 4 << 20
"""Messages and bytes that are kept until the login is accepted; a gap stands for more."""


class Stage(Enum):
    """Where a link stands."""

    NONE = "none"
    LOGIN = "login"
    """the login was said, and its verdict is awaited"""
    OPEN = "open"
    REFUSED = "refused"


class Notes(Protocol):
    """What the application said that no frame carries."""

    def message(self, n: int) -> Note:
        """Of message n: whether it may be said again, and its channel ("": none)."""
        ...

    def args(self, channel: str) -> Any:
        """What `channel` is subscribed with, UNSET for nothing."""
        ...


class ClientTranslator:
    """One connection's translator.

    `epoch` names this process's count of offsets, and its made-up session. `can_ping`: the platform has RFC 6455 pings.
    `now_ms` gives the time of day in milliseconds for a `now`.
    """

    def __init__(
        self,
        dialect: Dialect,
        notes: Notes,
        epoch: str,
        *,
        params: Mapping[str, Any] | None = None,
        keep: Mapping[str, Any] | None = None,
        can_ping: bool = True,
        now_ms: Callable[[float], int] = lambda now: round(now * 1000),
    ) -> None:
        self._dialect = dialect
        self._epoch = epoch
        self._desk = Desk(dialect, params or {}, keep or {}, now_ms)
        self._beats = Beats(self._desk, can_ping, self._proven)
        self._channels = Channels(self._desk, epoch, notes.args)
        self._messages = Messages(self._desk, self._beats, notes.message, self._channels.sub_of)
        self._stage = Stage.NONE
        self._resumed = False
        self._floor = 1
        self._cursors: list[tuple[int, str, Place | None]] = []
        self._early: list[Heard] = []
        self._early_bytes = 0
        self._early_missed = False
        self._now = 0.0
        self.ignored: int = 0
        """messages that nobody understood"""

    @property
    def kept(self) -> Mapping[str, Any]:
        """What `$keep` stands for: what the last login gave to keep. Another value when that changed."""
        return self._desk.keep

    def restore(self, keep: Mapping[str, Any]) -> None:
        """Take what an earlier process kept, where nothing was given."""
        self._desk.keep = {**keep, **self._desk.keep}

    def drain(self) -> list[Output]:
        """Take what is to be done, in order. Do it before the next input."""
        return self._desk.drain()

    def next_deadline(self) -> float | None:
        """When to call `tick`; None: not at all."""
        if self._stage in {Stage.NONE, Stage.REFUSED}:
            return None
        at = min(self._beats.next_deadline(), self._messages.next_deadline(), self._channels.next_deadline())
        return None if at == inf else at

    # inputs

    def up(self, data: bytes, now: float) -> None:
        """One frame of the machine. A hello begins a link."""
        self._now = now
        frame = decode_up(data)
        if isinstance(frame, Hello):
            self._begin(frame.body, now)
        elif self._stage is not Stage.OPEN:
            return
        elif isinstance(frame, Call | Send | Pub):
            self._messages.take(frame, now)
        elif isinstance(frame, Ping):
            self._beats.ping(frame, now)
        elif isinstance(frame, At):
            self._channels.handled(frame)
        elif isinstance(frame, Settled):
            self._messages.floor(frame.floor)
        elif isinstance(frame, Sub):
            self._channels.subscribe(frame, now)
        elif isinstance(frame, Unsub):
            self._channels.unsubscribe(frame, now)

    def heard(self, data: bytes, now: float) -> bool:
        """One message of the server, text or binary; whether it was understood."""
        self._now = now
        if self._stage in {Stage.NONE, Stage.REFUSED}:
            return True
        self._beats.heard(now)
        understood = self._take(read(data), now)
        if not understood:
            self.ignored += 1
        return understood

    def pong(self, payload: bytes, now: float) -> None:
        """The pong to what `SendPing` asked for, or any other."""
        self._now = now
        if self._stage in {Stage.LOGIN, Stage.OPEN}:
            self._beats.heard(now)
            self._beats.pong(payload)

    def lost(self) -> None:
        """The link is gone, or was left."""
        self._stage = Stage.NONE
        self._beats.end()
        self._messages.end()
        self._channels.end()
        self._desk.clear()
        self._early.clear()
        self._early_bytes = 0
        self._early_missed = False

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._now = now
        if self._stage in {Stage.LOGIN, Stage.OPEN}:
            self._messages.tick(now)
            self._channels.tick(now)
            self._beats.tick(now)

    def goodbye(self, now: float) -> None:
        """The link is about to be closed on purpose: say so where the dialect has words for it."""
        if self._stage is Stage.OPEN and self._dialect.goodbye is not UNSET:
            self._desk.say(self._dialect.goodbye, self._desk.saying(now, id=self._desk.next_id()))

    def forget(self, n: int) -> None:
        """Nobody waits for the reply to request n any more: it is settled, but keeps its place."""
        self._messages.forget(n)

    # the login

    def _begin(self, hello: HelloBody, now: float) -> None:
        self.lost()
        self._resumed = hello.session == self._epoch
        self._floor = hello.floor
        self._messages.begin(hello.floor, resumed=self._resumed)
        self._cursors = [(one.r, one.channel, one.at) for one in hello.cursors]
        self._stage = Stage.LOGIN
        self._beats.begin(now)
        forms, login = self._dialect.login, json.decode(hello.login)
        said = forms is not None and self._log_in(forms, login, now)
        if forms is None or not said or forms.ok is UNSET:
            self._welcome(now)
        self._beats.tick(now)

    def _log_in(self, forms: Login, login: Any, now: float) -> bool:
        """Say the login, unless there is none to say; whether it was said."""
        if login is None and "login" in set(variables_of(forms.say)):
            return False
        try:
            return self._desk.say(forms.say, self._desk.saying(now, login=login, id=self._desk.next_id()))
        except ValueError as error:
            self._refuse("login_refused", f"login: {error}", False)
            return True

    def _judged(self, forms: Login, heard: Heard, now: float) -> bool:
        """Whether this message is the verdict on the login; then it is carried out."""
        hear = self._desk.hear
        found = hear(forms.ok, heard)
        if found is not None:
            if "keep" in found:
                self._desk.keep = {**self._desk.keep, **found["keep"]}
            self._welcome(now)
            return True
        for form in forms.later:
            found = hear(form, heard)
            if found is not None:
                self._refuse(word_of(found.get("code", UNSET), "later"), _why(found), _seconds(found.get("retry")))
                return True
        for code, verdicts in (("login_refused", forms.refused), ("banned", forms.banned)):
            for form in verdicts:
                found = hear(form, heard)
                if found is not None:
                    self._refuse(code, _why(found), False)
                    return True
        return False

    def _refuse(self, code: str, why: str, retry: float | bool) -> None:
        self._stage = Stage.REFUSED
        self._desk.down(Refused(RefusedBody(code, why, retry)))

    def _welcome(self, now: float) -> None:
        if self._stage is not Stage.LOGIN:
            return
        self._stage = Stage.OPEN
        beat, inbox = self._dialect.beat, self._channels.inbox
        at = next((at for _, channel, at in self._cursors if channel == INBOX), None)
        inbox.resume(at)
        body = WelcomeBody(
            session=self._epoch,
            resumed=self._resumed,
            received=self._messages.received(self._floor) if self._resumed else 0,
            heartbeat=NO_BEAT if beat is None else Beat(beat.interval, beat.timeout),
            limits=LIMITS,
            inbox=Position(self._epoch, inbox.offset),
            key=None if self._resumed else KEY,
        )
        self._desk.down(Welcome(body))
        if self._resumed and inbox.offset:
            inbox.gap()
        for form in self._dialect.opening:
            self._desk.say(form, self._desk.saying(now, id=self._desk.next_id()))
        for r, channel, at in self._cursors:
            if channel != INBOX:
                self._channels.subscribe(Sub(r, channel, at), now)
        self._cursors = []
        early, self._early = self._early, []
        for heard in early:
            self._take(heard, now)
        if self._early_missed:
            inbox.gap()

    # what is heard

    def _take(self, heard: Heard, now: float) -> bool:
        """Whether anybody understood it; the first that does, in the order of DIALECTS.md §4.2."""
        forms = self._dialect.login
        if self._beats.take(heard, now):
            return True
        if self._stage is Stage.LOGIN:
            if forms is None or not self._judged(forms, heard, now):
                self._keep_early(heard)
            return True
        if self._channels.take(heard, now) or self._messages.take_reply(heard):
            return True
        understood = self._messages.take_confirmation(heard)
        understood = self._channels.take_item(heard, now) or understood
        return self._take_event(heard) or understood

    def _keep_early(self, heard: Heard) -> None:
        self._early_bytes += len(heard.data)
        if len(self._early) < MOST_EARLY and self._early_bytes <= MOST_EARLY_BYTES:
            self._early.append(heard)
        else:
            self._early_missed = True

    def _take_event(self, heard: Heard) -> bool:
        for event in self._dialect.events:
            found = self._desk.hear(event.match, heard)
            if found is None:
                continue
            name = event.name if event.name is not None else name_of(found.get("event", UNSET), "")
            if name:
                has_data = "data" in set(variables_of(event.match))
                self._channels.inbox.hand(name, raw_of(found.get("data", None if has_data else UNSET), heard))
                return True
        return False

    def _proven(self, mark: int) -> None:
        self._messages.proven(mark, self._now)


def _why(found: Mapping[str, Any]) -> str:
    why, code = sentence_of(found.get("why", UNSET)), word_of(found.get("code", UNSET), "")
    return f"{why} ({code})" if why and code else why or code


def _seconds(value: Any) -> float:
    """How long the server wants us away."""
    return min(float(value), LONGEST_RETRY) if is_number(value) and isfinite(value) and value > 0 else 0.0
