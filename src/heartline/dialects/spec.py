"""A protocol as a value: the declarative dialect (protocol/DIALECTS.md §3).

    Dialect(
        name="ticker",
        beat=Beat(say={"op": "ping"}, answer={"op": "pong"}, interval=15, timeout=5),
        send=Send(say={"op": "$event", "d": "$data"}),
        events=[Event({"op": "$event", "d": "$data"})],
    )

Invariants:
- a value that makes no sense raises TypeError or ValueError naming the field, when it is made
  (test_dialects_refuse_nonsense);
- a dialect written in Python and one read from JSON are the same value (test_json_and_python_are_one);
- a dialect is never changed: its forms are copies (test_a_dialect_is_a_value).
"""

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Struct, UnsetType

from .forms import ANY, TRUTHY, Form, check_form, is_lone, variables_of

MaybeForm: TypeAlias = Any | UnsetType

Delivery: TypeAlias = Literal["at_most_once", "at_least_once"]
"""What happens to a message that was written, and whose link ended before anything confirmed it: its outcome is
unknown and it is never said again; or it is said again on the next link, until it is confirmed."""

DELIVERIES = ("at_most_once", "at_least_once")

_ALWAYS = frozenset({"id", "now_ms", "param", "keep", "more"})
_HEARD = frozenset({ANY, TRUTHY})
_SENDING = _ALWAYS | {"event", "data", "channel", "sub"}
_FOLLOWING = _ALWAYS | {"channel", "args", "sub"}
_REFUSAL = frozenset({"code", "why", "error", "retry"}) | _HEARD
_NAME_LENGTH = 64
_EVENT_LENGTH = 255


def _check(where: str, form: MaybeForm, allowed: Iterable[str]) -> None:
    if form is not UNSET:
        check_form(form, where, frozenset(allowed))


def _check_seconds(where: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{where}: expected seconds above 0, got {value!r}")
    if not value > 0 or math.isinf(value):
        raise ValueError(f"{where}: expected seconds above 0, got {value!r}")


def _check_flags(where: str, **flags: object) -> None:
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise TypeError(f"{where}.{name}: expected true or false, got {value!r}")


def _one_of(where: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{where}: expected {' or '.join(map(repr, choices))}, got {value!r}")


def _list(where: str, value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{where}: expected a list, got {type(value).__name__}")
    return value


class Beat(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The heartbeat. Times in seconds.

    `say`: how a beat is spelt; without one it is an RFC 6455 ping. `answer`: what answers it; without one nothing does.
    `by`: who sends it. `first`: the first one right after the link opened, and not an interval later. One follows every
    `interval`, whatever else is said; with `quiet` only when nothing was heard for an interval; with `after_answer` an
    interval after each answer. `probe`: where no answer is spelt, RFC 6455 pings show whether the other end is alive,
    on platforms that have them.
    """

    say: MaybeForm = UNSET
    answer: MaybeForm = UNSET
    by: Literal["client", "server"] = "client"
    interval: float = 25.0
    timeout: float = 10.0
    first: bool = False
    quiet: bool = False
    after_answer: bool = False
    probe: bool = True

    def __post_init__(self) -> None:
        _check_seconds("beat.interval", self.interval)
        _check_seconds("beat.timeout", self.timeout)
        _one_of("beat.by", self.by, ("client", "server"))
        _check_flags("beat", first=self.first, quiet=self.quiet, after_answer=self.after_answer, probe=self.probe)
        _check("beat.say", self.say, _ALWAYS)
        _check("beat.answer", self.answer, _ALWAYS | _HEARD)
        if self.say is UNSET and self.answer is not UNSET:
            raise ValueError("beat.answer: an RFC 6455 ping is answered by a pong, which is not spelt")
        if self.by == "server" and self.say is UNSET:
            raise ValueError("beat.say: what the server says is needed, for a client answers RFC 6455 pings anyway")
        if self.say is not UNSET and is_lone(self.say):
            raise ValueError("beat.say: one variable alone would take every message for a beat")
        if self.answer is not UNSET and is_lone(self.answer):
            raise ValueError("beat.answer: one variable alone would take every message for an answer")
        if self.after_answer and self.say is not UNSET and self.answer is UNSET:
            raise ValueError("beat.after_answer: needs beat.answer")


class Login(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The login: how it is said, and what accepts it, refuses it for now, for good, or bans. The first that fits counts.

    `$keep.x` in `ok` is kept and can be said with the next login. Without `ok` nobody waits for a verdict.
    """

    say: Form
    ok: MaybeForm = UNSET
    later: tuple[Form, ...] = ()
    refused: tuple[Form, ...] = ()
    banned: tuple[Form, ...] = ()

    def __post_init__(self) -> None:
        _check("login.say", self.say, _ALWAYS | {"login"})
        _check("login.ok", self.ok, _ALWAYS | _HEARD | {"data"})
        for name in ("later", "refused", "banned"):
            forms = getattr(self, name)
            if not isinstance(forms, list | tuple):
                raise TypeError(f"login.{name}: expected a list of forms, got {type(forms).__name__}")
            for i, form in enumerate(forms):
                _check(f"login.{name}[{i}]", form, _REFUSAL | {"id"})


class Send(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Messages that no reply belongs to. `ok`: what confirms one, such as its echo; it stays an event as well.

    `within`: seconds in which it comes; without it the outcome is unknown then. `delivery`: see `Delivery`.
    """

    say: Form
    ok: MaybeForm = UNSET
    no: MaybeForm = UNSET
    delivery: Delivery = "at_most_once"
    within: float = 30.0

    def __post_init__(self) -> None:
        _one_of("send.delivery", self.delivery, DELIVERIES)
        _check_seconds("send.within", self.within)
        _check("send.say", self.say, _SENDING)
        _check("send.ok", self.ok, _SENDING | _HEARD)
        _check("send.no", self.no, _SENDING | _REFUSAL)


class Request(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Messages with a reply. `ok` spells it: with `$id` it finds its request by that, else by name in order of sending.

    `$reply` is what the request returns; without it, the whole message. `no` refuses. `delivery`: see `Delivery`.
    """

    say: Form
    ok: Form
    no: MaybeForm = UNSET
    delivery: Delivery = "at_most_once"

    def __post_init__(self) -> None:
        _one_of("request.delivery", self.delivery, DELIVERIES)
        _check("request.say", self.say, _SENDING)
        _check("request.ok", self.ok, _SENDING | _HEARD | {"reply"})
        _check("request.no", self.no, _SENDING | _REFUSAL)
        if "id" in variables_of(self.ok) and "id" not in variables_of(self.say):
            raise ValueError("request.ok: has $id, which request.say does not tell the other end")


class Subscribe(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is said again on every link: subscriptions, bindings. `$channel` and `$args` are the application's.

    `ok` and `no` answer it; `leave` ends it; `items` are the messages that belong to it; `ended` is the server's end
    of it, after which it is said again. `stale_after`: seconds without an item after which it is said again, and
    after as many more the link is left.
    """

    say: Form
    ok: MaybeForm = UNSET
    no: MaybeForm = UNSET
    leave: MaybeForm = UNSET
    left: MaybeForm = UNSET
    items: MaybeForm = UNSET
    ended: MaybeForm = UNSET
    stale_after: float | None = None

    def __post_init__(self) -> None:
        _check("subscribe.say", self.say, _FOLLOWING)
        _check("subscribe.ok", self.ok, _FOLLOWING | _HEARD | {"reply"})
        _check("subscribe.no", self.no, _FOLLOWING | _REFUSAL)
        _check("subscribe.leave", self.leave, _FOLLOWING)
        _check("subscribe.left", self.left, _FOLLOWING | _HEARD)
        _check("subscribe.items", self.items, _FOLLOWING | _HEARD | {"event", "data"})
        _check("subscribe.ended", self.ended, _FOLLOWING | _REFUSAL)
        if self.stale_after is not None:
            _check_seconds("subscribe.stale_after", self.stale_after)
            if self.items is UNSET:
                raise ValueError("subscribe.stale_after: needs subscribe.items, which say what data is")


class Event(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Messages that reach handlers: those that fit `match`, under `name` or what `$event` stands for.

    Their data is what `$data` stands for; without it, the whole message.
    """

    match: Form
    name: str | None = None

    def __post_init__(self) -> None:
        _check("events.match", self.match, frozenset({"event", "data", "channel"}) | _HEARD)
        if self.name is None and "event" not in variables_of(self.match):
            raise ValueError("events.name: needed where events.match has no $event")
        name: object = self.name
        if name is not None and not (isinstance(name, str) and 1 <= len(name) <= _EVENT_LENGTH):
            raise ValueError(f"events.name: expected the name of an event, got {self.name!r}")


class Reconnect(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When to dial again, in seconds: after half to all of `delay`, doubled while links come to nothing, up to `cap`.

    `attempts` in a row without a good link, then give up and say so; None: never. A link is good when something that
    the other end said settled a message or was handed over, or when it has lived for `stable`.
    """

    delay: float = 1.0
    cap: float = 30.0
    attempts: int | None = None
    stable: float = 10.0

    def __post_init__(self) -> None:
        for name in ("delay", "cap", "stable"):
            _check_seconds(f"reconnect.{name}", getattr(self, name))
        if self.cap < self.delay:
            raise ValueError(f"reconnect.cap: {self.cap} must not be below reconnect.delay ({self.delay})")
        attempts = self.attempts
        if attempts is not None and (type(attempts) is not int or attempts < 1):
            raise ValueError(f"reconnect.attempts: expected a number above 0 or None, got {attempts!r}")


class Dialect(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a protocol is spelt. Every part may be left out; what is not spelt cannot be done.

    `opening`: said on every link, after the login. `goodbye`: said before an active close. `params`: what `$param.x`
    stands for unless `connect(params=…)` says otherwise. `defaults`: what a variable stands for when it has no value.
    """

    name: str
    about: str = ""
    subprotocol: str | None = None
    beat: Beat | None = None
    login: Login | None = None
    opening: tuple[Form, ...] = ()
    send: Send | None = None
    request: Request | None = None
    subscribe: Subscribe | None = None
    events: tuple[Event, ...] = ()
    goodbye: MaybeForm = UNSET
    reconnect: Reconnect = Reconnect()
    params: dict[str, Any] = {}
    defaults: dict[str, Any] = {}

    def __post_init__(self) -> None:
        named: object = self.name
        if not (isinstance(named, str) and 1 <= len(named) <= _NAME_LENGTH):
            raise ValueError(f"name: expected a text of 1 to {_NAME_LENGTH} characters, got {self.name!r}")
        for name, wanted in _PARTS.items():
            part = getattr(self, name)
            if part is not None and not isinstance(part, wanted):
                raise TypeError(f"{name}: expected {wanted.__name__} or None, got {type(part).__name__}")
        if not isinstance(self.reconnect, Reconnect):
            raise TypeError(f"reconnect: expected Reconnect, got {type(self.reconnect).__name__}")
        if any(not isinstance(event, Event) for event in _list("events", self.events)):
            raise TypeError("events: expected a list of Event")
        for i, form in enumerate(_list("opening", self.opening)):
            _check(f"opening[{i}]", form, _ALWAYS)
        _check("goodbye", self.goodbye, _ALWAYS)
        for name in ("params", "defaults"):
            if not isinstance(getattr(self, name), Mapping):
                raise TypeError(f"{name}: expected an object, got {type(getattr(self, name)).__name__}")
        force = msgspec.structs.force_setattr
        force(self, "events", tuple(copy.deepcopy(self.events)))
        force(self, "opening", tuple(copy.deepcopy(self.opening)))
        for name in ("goodbye", "params", "defaults", *_PARTS):
            force(self, name, copy.deepcopy(getattr(self, name)))

    @classmethod
    def from_json(cls, text: bytes | str) -> "Dialect":
        """Read one. Raises ValueError naming the field."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError as error:
            raise ValueError(f"dialect: {error}") from None

    def to_json(self) -> bytes:
        """Write it, so that `from_json` gives the same value."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2)


_PARTS: dict[str, type] = {"beat": Beat, "login": Login, "send": Send, "request": Request, "subscribe": Subscribe}
