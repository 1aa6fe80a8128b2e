"""A client's messages as its dialect spells them, and what confirms them (protocol/DIALECTS.md §4.4).

Invariants:
- at most once: what was said and not confirmed when its link ended has an unknown outcome, and is never said again
  (test_at_most_once_is_never_said_again);
- at least once: it is said again on the next link, until it is confirmed (test_at_least_once_is_said_again);
- two requests of one name each get their own answer, and one that nobody waits for keeps its place
  (test_answers_find_their_requests_in_order, test_a_late_answer_is_not_the_next_one_s);
- the machine gets one outcome for each number, and the same one again when it asks (test_one_outcome_for_each_number).
"""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final

from msgspec import UNSET, Raw, json

from heartline.core.frames import Call, Fail, Pub, Reply, Send

from .client_beats import Beats, Probe
from .client_desk import Desk, raw_of, sentence_of, word_of
from .forms import Heard, say, variables_of
from .native import encode
from .spec import Dialect
from .spec import Request as RequestForms
from .spec import Send as SendForms

Numbered = Call | Send | Pub
MOST_PLACES: Final = 256
"""Requests that nobody waits for any more, and whose places are kept on one link."""
Note = tuple[bool, str]
"""Of a message: whether it may be said again, and its channel ("": none)."""


class _Record:
    """One message that the machine may still ask about. `known`: what its variables stand for."""

    __slots__ = ("again", "due", "forms", "known", "link", "mark", "outcome")

    def __init__(self, again: bool, forms: RequestForms | SendForms, known: dict[str, Any]) -> None:
        self.again = again
        self.forms = forms
        self.known = known
        self.link = 0
        self.mark = 0
        self.due = inf
        self.outcome: bytes | None = None


class Messages:
    """The way up. `note(n)` tells what the sender of a message wants, `sub_of(channel)` what `$sub` stands for."""

    def __init__(self, desk: Desk, beats: Beats, note: Callable[[int], Note], sub_of: Callable[[str], Any]) -> None:
        self._desk = desk
        self._beats = beats
        self._note = note
        self._sub_of = sub_of
        self._records: dict[int, _Record] = {}
        self._highest = 0
        self._link = 0
        self._mark = 0
        self._calls: list[tuple[int, _Record]] = []
        self._sends: list[tuple[int, _Record]] = []
        self._unproven: list[tuple[int, _Record]] = []

    # links

    def begin(self, floor: int, *, resumed: bool) -> None:
        """A link opened. What was said on an earlier one is the machine's to repeat."""
        if not resumed:
            self._records.clear()
            self._highest = 0
        self.floor(floor)
        self._link += 1
        self._mark = 0
        self.end()

    def end(self) -> None:
        """The link is gone, and nothing on it will be confirmed any more."""
        self._calls.clear()
        self._sends.clear()
        self._unproven.clear()

    def received(self, floor: int) -> int:
        """What welcome tells the machine, so that it asks about everything that is unsettled."""
        return min(floor - 1, self._highest)

    def floor(self, floor: int) -> None:
        """The machine asks about nothing below."""
        for n in [n for n in self._records if n < floor]:
            del self._records[n]

    # saying

    def take(self, frame: Numbered, now: float) -> None:
        """Say a message, or tell what became of it."""
        n = frame.n
        record = self._records.get(n)
        if record is not None and record.outcome is not None:
            self._desk.down(record.outcome)
            return
        if record is not None and not record.again:
            self._settle(n, record, unknown(n, "its link ended before anything confirmed it"))
            return
        if record is None:
            record = self._record(frame)
        if record is None:
            self._desk.down(failure(n, "unspelt", "this dialect has no such message"))
            return
        self._highest = max(self._highest, n)
        self._records[n] = record
        record.known |= {"id": self._desk.next_id()}
        if record.known.get("channel") is not None:
            record.known["sub"] = self._sub_of(record.known["channel"])
        record.known = {name: value for name, value in record.known.items() if value is not UNSET and value is not None}
        try:
            said = self._desk.say(record.forms.say, self._desk.saying(now, **record.known))
        except ValueError as error:
            self._settle(n, record, failure(n, "invalid", str(error)))
            return
        if not said:
            self._settle(n, record, failure(n, "invalid", "data: there is nothing to say"))
            return
        self._said(n, record, now)

    def _record(self, frame: Numbered) -> _Record | None:
        dialect = self._desk.dialect
        forms = dialect.request if isinstance(frame, Call) else dialect.send
        if forms is None:
            return None
        again, channel = self._note(frame.n)
        if isinstance(frame, Pub):
            channel = frame.channel
        known = {"event": frame.event, "data": json.decode(frame.data), "channel": channel or None}
        return _Record(again, forms, known)

    def _said(self, n: int, record: _Record, now: float) -> None:
        self._mark += 1
        record.link, record.mark = self._link, self._mark
        confirm = False
        if isinstance(record.forms, RequestForms):
            self._calls.append((n, record))
        elif record.forms.ok is not UNSET:
            record.due = inf if record.again else now + record.forms.within
            self._sends.append((n, record))
        elif record.again and self._beats.probe is not Probe.NONE:
            confirm = True
            self._unproven.append((n, record))
        else:
            self._settle(n, record, Reply(n, Raw(b"null")))
        self._beats.said(self._mark, now, confirm=confirm)

    def forget(self, n: int) -> None:
        """Nobody waits for the answer to request n any more. It keeps its place among those that are answered in order."""
        record = self._records.get(n)
        if record is not None and record.outcome is None and isinstance(record.forms, RequestForms):
            self._settle(n, record, unknown(n, "no reply in time"))
            places = [one for one in self._calls if one[1].outcome is not None]
            if len(places) > MOST_PLACES:
                self._calls.remove(places[0])

    # hearing

    def take_reply(self, heard: Heard) -> bool:
        """Whether this message answers a request; then that is settled."""
        for i, (n, record) in enumerate(self._calls):
            forms = record.forms
            found = self._desk.hear(forms.ok, heard, **record.known)
            if found is not None:
                del self._calls[i]
                self._settle(n, record, Reply(n, raw_of(*_reply_of(found, forms, heard))))
                return True
            refused = self._desk.hear(forms.no, heard, **record.known)
            if refused is not None:
                del self._calls[i]
                self._settle(n, record, refusal(n, refused))
                return True
        return False

    def take_confirmation(self, heard: Heard) -> bool:
        """Whether this message confirms or refuses one that was sent; then that is settled."""
        for i, (n, record) in enumerate(self._sends):
            if self._desk.hear(record.forms.ok, heard, **record.known) is not None:
                del self._sends[i]
                self._settle(n, record, Reply(n, Raw(b"null")))
                return True
            refused = self._desk.hear(record.forms.no, heard, **record.known)
            if refused is not None:
                del self._sends[i]
                self._settle(n, record, refusal(n, refused))
                return True
        return False

    def proven(self, mark: int, now: float) -> None:
        """What was said on this link up to `mark` has arrived."""
        waiting = self._unproven
        while waiting and waiting[0][1].mark <= mark:
            n, record = waiting.pop(0)
            self._settle(n, record, Reply(n, Raw(b"null")))
        if waiting:
            self._beats.still_waiting(now)

    # time

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return min((record.due for _, record in self._sends), default=inf)

    def tick(self, now: float) -> None:
        """End what was not confirmed in time."""
        for n, record in [one for one in self._sends if one[1].due <= now]:
            self._sends.remove((n, record))
            self._settle(n, record, unknown(n, "nothing confirmed it in time"))

    def _settle(self, n: int, record: _Record, frame: Reply | Fail) -> None:
        if record.outcome is None:
            record.outcome = encode(frame)
            self._desk.down(record.outcome)


def check_message(
    dialect: Dialect, kind: str, event: str, data: Any, channel: str | None, params: Mapping[str, Any]
) -> None:
    """Raise ValueError where a dialect cannot spell a message of this kind ("send", "call" or "pub")."""
    forms: RequestForms | SendForms | None = dialect.request if kind == "call" else dialect.send
    what = {"call": "requests", "send": "sends", "pub": "publications"}[kind]
    if forms is None:
        raise ValueError(f"the dialect {dialect.name!r} has no {what}")
    names = set(variables_of(forms.say))
    if channel is not None and "channel" not in names:
        raise ValueError(f"channel: the dialect {dialect.name!r} has none in its {what}")
    if channel is None and "channel" in names:
        raise ValueError(f"channel: the dialect {dialect.name!r} needs one for its {what}")
    given = {"event": event, "data": data, "channel": channel, "id": 1, "sub": 1}
    known = {name: value for name, value in given.items() if value is not None}
    always = {"param": {**dialect.params, **params}, "keep": {}, "now_ms": 0}
    if say(forms.say, {**dialect.defaults, **always, **known}) is None:
        raise ValueError(f"data: the dialect {dialect.name!r} has nothing to say without it")


def unknown(n: int, why: str) -> Fail:
    """Nobody knows whether message n was handled."""
    return failure(n, "unknown", why)


def failure(n: int, code: str, message: str) -> Fail:
    """Message n ended badly."""
    return Fail(n, Raw(json.encode({"code": code, "message": message})))


def refusal(n: int, found: dict[str, Any]) -> Fail:
    """The other end refused message n."""
    body = {"code": word_of(found.get("code", UNSET), "refused"), "message": sentence_of(found.get("why", UNSET))}
    if "error" in found:
        body["error"] = found["error"]
    return Fail(n, Raw(json.encode(body)))


def _reply_of(found: dict[str, Any], forms: RequestForms | SendForms, heard: Heard) -> tuple[Any, Heard]:
    """What a request returns: what `$reply` stands for, null where that is absent, the message where there is none."""
    if "reply" in found:
        return found["reply"], heard
    return (None if "reply" in set(variables_of(forms.ok)) else UNSET), heard
