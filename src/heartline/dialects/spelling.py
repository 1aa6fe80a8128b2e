"""A dialect as its server reads and writes it: what a client's message means, and how an answer or event is spelt.

One `Spelling` serves all links of a path and keeps nothing of any of them.

Invariants:
- every message has one meaning, and rubbish has none (test_every_message_has_one_meaning);
- what a message was said with, fields nobody knows included, is there to answer it
  (test_an_echo_keeps_unknown_fields);
- what an event's data says never overwrites what the form says (test_data_cannot_forge_a_field);
- an entry that many links get in the same words is spelt once (test_an_entry_for_many_is_spelt_once).
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

from msgspec import UNSET, Struct, json

from .forms import TEXT, Form, Heard, Vars, is_lone, match, read, render, variables_of
from .spec import Dialect, Request, Send, Subscribe

ChannelOf = Callable[[Any], str | None]
SHARED: Final = frozenset({"event", "data", "any", "truthy"})
"""Variables that stand for the same on every link."""
KEPT: Final = 64
KEPT_BYTES: Final = 4 << 20
Unspeakable: Final = (ValueError, TypeError, OverflowError, RecursionError)


class Meaning(Enum):
    """What a client's message is about."""

    BEAT = "beat"
    """the client's heartbeat"""
    ALIVE = "alive"
    """the answer to the server's"""
    LOGIN = "login"
    SUBSCRIBE = "subscribe"
    LEAVE = "leave"
    CALL = "call"
    SEND = "send"
    NOTHING = "nothing"


class Said(Struct, frozen=True):
    """One message of a client. `name` is the event of CALL and SEND, the channel of SUBSCRIBE and LEAVE."""

    meaning: Meaning
    heard: Heard
    variables: dict[str, Any] = {}
    name: str = ""
    data: Any = None


class Spelling:
    """How a server speaks `dialect`.

    `channel_of` tells the channel that a subscription's arguments mean, or None for none; it is needed where
    `subscribe.say` has no `$channel`, and gets {"channel": …, "args": …} where it has one. `wall_ms`: milliseconds
    since 1970.
    """

    def __init__(self, dialect: Dialect, wall_ms: Callable[[], int], channel_of: ChannelOf | None = None) -> None:
        self.dialect: Final = dialect
        self._wall_ms = wall_ms
        self._channel_of = channel_of
        self._names_channel = dialect.subscribe is not None and "channel" in variables_of(dialect.subscribe.say)
        self._lone_login = dialect.login is not None and is_lone(dialect.login.say)
        self._kept: dict[bytes, bytes] = {}
        self._kept_bytes = 0
        self.finds_by_id: Final = dialect.request is not None and "id" in variables_of(dialect.request.ok)
        """whether every request waits for an answer of its own"""

    # hearing

    def hear(self, data: bytes, *, login: bool) -> Said:
        """What a message means. `login`: whether it may be one."""
        heard = read(data)
        dialect = self.dialect
        beat = dialect.beat
        if beat is not None and beat.say is not UNSET:
            form, meaning = (beat.say, Meaning.BEAT) if beat.by == "client" else (beat.answer, Meaning.ALIVE)
            if form is not UNSET and (found := match(form, heard, {})) is not None:
                return Said(meaning, heard, found)
        if dialect.login is not None and (login or not self._lone_login):
            found = match(dialect.login.say, heard, {})
            if found is not None:
                return Said(Meaning.LOGIN, heard, found, data=_login_of(dialect.login.say, found))
        if dialect.subscribe is not None and (said := self._about_channel(dialect.subscribe, heard)) is not None:
            return said
        for part, meaning in ((dialect.request, Meaning.CALL), (dialect.send, Meaning.SEND)):
            if part is not None and (said := self._message(part, meaning, heard)) is not None:
                return said
        return self._event(heard)

    def _about_channel(self, subscribe: Subscribe, heard: Heard) -> Said | None:
        for form, meaning in ((subscribe.leave, Meaning.LEAVE), (subscribe.say, Meaning.SUBSCRIBE)):
            if form is UNSET or (found := match(form, heard, {})) is None:
                continue
            channel = self._channel(found)
            if channel is not None:
                if "id" in found:
                    found.setdefault("sub", found["id"])
                return Said(meaning, heard, found, channel)
        return None

    def _channel(self, found: dict[str, Any]) -> str | None:
        if self._channel_of is None:
            name = found.get("channel")
            return name if isinstance(name, str) and self._names_channel else None
        args = found.get("args")
        return self._channel_of({"channel": found.get("channel"), "args": args} if self._names_channel else args)

    def _message(self, part: Request | Send, meaning: Meaning, heard: Heard) -> Said | None:
        found = match(part.say, heard, {})
        if found is None:
            return None
        name = found.get("event")
        data = (
            found.get("data", self.dialect.defaults.get("data")) if "data" in variables_of(part.say) else _whole(heard)
        )
        return Said(meaning, heard, found, self._event(heard).name or "message" if name is None else name, data)

    def _event(self, heard: Heard) -> Said:
        for event in self.dialect.events:
            found = match(event.match, heard, {})
            if found is not None:
                data = found.get("data") if "data" in variables_of(event.match) else _whole(heard)
                return Said(Meaning.SEND, heard, found, event.name or found.get("event", "message"), data)
        return Said(Meaning.NOTHING, heard)

    # saying; each raises one of `Unspeakable` for data that cannot be said so

    def beat(self) -> bytes | None:
        """The server's own."""
        beat = self.dialect.beat
        return None if beat is None or beat.by != "server" else self.spell(beat.say, {})

    def beat_answer(self, said: Said) -> bytes | None:
        """What answers a client's beat; None where nothing does."""
        beat = self.dialect.beat
        if beat is None or beat.answer is UNSET:
            return None
        tells_time = "now_ms" in variables_of(beat.say)  # then only the client's is said back
        return self.spell(beat.answer, said.variables, clock=not tells_time)

    def confirmation(self, said: Said) -> bytes | None:
        """What tells that a message was handled; None where nothing does."""
        send = self.dialect.send
        if send is None or send.ok is UNSET or said.meaning is not Meaning.SEND:
            return None
        return self.spell(send.ok, said.variables)

    def reply(self, said: Said, value: Any) -> bytes | None:
        """The answer to a request; None where a handler that returned nothing says nothing."""
        request = self.dialect.request
        if request is None or (value is None and not self.finds_by_id):
            return None
        return self._with(request.ok, said.variables, "reply", value)

    def refusal(self, said: Said, body: Mapping[str, Any]) -> bytes | None:
        """The answer to a message or subscription that ended badly; None where there is none."""
        dialect = self.dialect
        part = {Meaning.CALL: dialect.request, Meaning.SEND: dialect.send, Meaning.SUBSCRIBE: dialect.subscribe}
        form = getattr(part.get(said.meaning), "no", UNSET)
        return None if form is UNSET else self.spell(form, {**said.variables, **_failure(body)})

    def accepted(self, words: object) -> bytes | None:
        """The answer to a login that was accepted; `words`: what it says besides."""
        login = self.dialect.login
        if login is None or login.ok is UNSET:
            return None
        return self.spell(login.ok, {"keep": words, "data": words} if isinstance(words, Mapping) else {})

    def refused(self, code: str, message: str, retry: float | bool) -> bytes | None:
        """The answer to a login that was not."""
        login = self.dialect.login
        if login is None:
            return None
        for_good = retry is False
        forms = (*(login.banned if code == "banned" else ()), *(login.refused if for_good else login.later))
        body = {"code": code, "message": message} | ({} if for_good else {"retry": retry})
        return self.spell(forms[0], _failure(body)) if forms else None

    def subscribed(self, said: Said, state: Any) -> bytes | None:
        """The answer to a subscription."""
        subscribe = self.dialect.subscribe
        if subscribe is None or subscribe.ok is UNSET:
            return None
        return self._with(subscribe.ok, said.variables, "reply", {} if state is None else state)

    def left(self, said: Said) -> bytes | None:
        """The answer to the end of a subscription."""
        subscribe = self.dialect.subscribe
        return None if subscribe is None or subscribe.left is UNSET else self.spell(subscribe.left, said.variables)

    def ended(self, said: Said, body: Mapping[str, Any]) -> bytes | None:
        """A subscription that was granted is taken away."""
        subscribe = self.dialect.subscribe
        if subscribe is None or subscribe.ended is UNSET:
            return self.refusal(said, body)
        return self.spell(subscribe.ended, {**said.variables, **_failure(body)})

    def entry(self, frame: bytes, event: str, data: bytes, said: Said | None) -> bytes:
        """An event for a client: of the channel it subscribed to with `said`, or of its own. `frame` is heartline's."""
        known = self._kept.get(frame)
        if known is not None:
            return known
        subscribe = self.dialect.subscribe
        form = subscribe.items if subscribe is not None and said is not None else UNSET
        if form is UNSET:
            form = self._event_form(event)
        variables = {"event": event} if said is None else {**said.variables, "event": event}
        words = self._with(form, variables, "data", json.decode(data))
        if SHARED.issuperset(variables_of(form)):
            self._kept_bytes += len(words)
            if len(self._kept) >= KEPT or self._kept_bytes > KEPT_BYTES:
                self._kept.clear()
                self._kept_bytes = len(words)
            self._kept[frame] = words
        return words

    def _event_form(self, event: str) -> Form:
        """The first form that says this event; else one that says any data, under no name."""
        forms = self.dialect.events
        for one in forms:
            if one.name == event or (one.name is None and "event" in variables_of(one.match)):
                return one.match
        for one in forms:
            if is_lone(one.match):
                return one.match
        raise ValueError(f"the dialect {self.dialect.name!r} has no form for the event {event!r}")

    def _with(self, form: Form, variables: dict[str, Any], name: str, value: Any) -> bytes:
        """Spell a form with a value, null being none: where `$name` stands, or as fields beside those of the form."""
        if name not in variables_of(form):
            return self.spell(form, variables, value)
        others = {one: part for one, part in variables.items() if one != name}
        return self.spell(form, others if value is None else {**others, name: value})

    def spell(self, form: Form, variables: Vars, more: Any = None, *, clock: bool = True) -> bytes:
        """A form in words. What is no text becomes one, as JSON, where the form is text."""
        variables = {**self.dialect.defaults, **({"now_ms": self._wall_ms()} if clock else {}), **variables}
        if isinstance(form, dict) and TEXT in form:
            text = render(form[TEXT], variables)
            return text.encode() if isinstance(text, str) else json.encode(None if text is UNSET else text)
        value = render(form, variables)
        if more is not None:
            if not isinstance(value, dict) or not isinstance(more, dict):
                raise ValueError("data: expected an object, whose fields go into the message")
            forged = [field for field, part in value.items() if field in more and more[field] != part]
            if forged:
                raise ValueError(f"data: the field {forged[0]!r} belongs to the message itself")
            value.update(more)
        return json.encode(None if value is UNSET else value)


def _whole(heard: Heard) -> Any:
    return heard.text if heard.value is UNSET else heard.value


def _login_of(say: Form, found: dict[str, Any]) -> Any:
    """What the login hook gets: `$login`, with the fields of `$keep` where it is an object."""
    names = set(variables_of(say))
    if names.isdisjoint(("login", "keep")):
        return None
    login, keep = found.get("login", {}), found.get("keep")
    return {**keep, **login} if isinstance(keep, dict) and isinstance(login, dict) else login


def _failure(body: Mapping[str, Any]) -> dict[str, Any]:
    found = {"code": body.get("code", ""), "why": body.get("message", ""), "error": dict(body)}
    return found | ({"retry": body["retry"]} if "retry" in body else {})
