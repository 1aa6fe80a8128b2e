"""A client's channels as its dialect spells them, with the numbers that its machine wants (DIALECTS.md §4.5).

A foreign server numbers nothing and keeps nothing, so offsets are counted here, in one epoch for the process, and
wherever something may be missing a gap says so.

Invariants:
- a subscription is said again on each link, and a gap comes before its next item (test_subscriptions_are_said_again);
- an application that does not keep up gets a gap in the place of what it missed, and memory is bounded
  (test_who_does_not_keep_up_gets_a_gap);
- data that does not come is noticed (test_stale_data_is_asked_for_again_and_then_the_link_is_left);
- what the server ended is asked for again, ever more slowly (test_what_was_ended_is_asked_for_again).
"""

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from typing import Any, Final

from msgspec import UNSET, Raw, json

from heartline.core.frames import INBOX, At, Failure, Gap, GapBody, No, Ok, OkBody, Place, Sub, Unsub

from .client_desk import Desk, Leave, name_of, raw_of, sentence_of, word_of
from .forms import Heard, say, variables_of
from .native import encode_msg
from .spec import Dialect

CREDIT: Final = 4096
CREDIT_BYTES: Final = 4 << 20
"""Entries and bytes of a channel that an application may have before it: beyond them a gap takes their place."""
LONGEST_WAIT: Final = 30.0
MOST_LEAVING: Final = 256
"""Subscriptions that were left, and whose answers are still recognised."""


class Log:
    """The numbers of one channel. `pending` holds (offset, bytes) of what was handed over and not handled."""

    def __init__(self, desk: Desk, channel: str, epoch: str) -> None:
        self.offset = 0
        self._desk = desk
        self._channel = channel
        self._epoch = epoch
        self._pending: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._missed = False

    def hand(self, event: str, data: Raw) -> None:
        """Hand an entry over, unless the application is too far behind."""
        size = len(memoryview(data))
        if self._missed or (self._pending and self._is_full(size)):
            self._missed = True
            return
        self.offset += 1
        self._pending.append((self.offset, size))
        self._bytes += size
        self._desk.down(encode_msg(self._channel, self.offset, event, bytes(data), self.offset - 1))

    def gap(self, beyond: int = 0) -> None:
        """Say that something may be missing here; `beyond` is where the machine believes to be."""
        after = max(self.offset, beyond)
        self.offset = after + 1
        self._missed = False
        self._desk.down(Gap(self._channel, GapBody(self._epoch, after, self.offset, "none")))

    def handled(self, offset: int) -> None:
        """The application is done with everything up to `offset`."""
        self._release(offset)
        if self._missed and len(self._pending) * 2 <= CREDIT and self._bytes * 2 <= CREDIT_BYTES:
            self.gap()

    def resume(self, at: Place | None) -> None:
        """Another link goes on behind `at`: nothing before it, or nothing at all, is still to be handled."""
        if at is not None and at[0] == self._epoch:
            self._release(at[1])
        else:
            self._release(self.offset)
        self._missed = False

    def _release(self, offset: int) -> None:
        pending = self._pending
        while pending and pending[0][0] <= offset:
            self._bytes -= pending.popleft()[1]

    def _is_full(self, size: int) -> bool:
        return len(self._pending) >= CREDIT or self._bytes + size > CREDIT_BYTES


class Follow(Enum):
    """Where a subscription stands on this link."""

    ASKED = "asked"
    ON = "on"
    ENDED = "ended"
    """by the server; it is asked for again at `due`"""


class _Subscription:
    """One subscription on this link."""

    __slots__ = ("at", "channel", "due", "follow", "known", "r", "said_again", "tries")

    def __init__(self, r: int, channel: str, args: Any, at: Place | None) -> None:
        self.r = r
        self.channel = channel
        self.at = at
        self.follow = Follow.ASKED
        self.known: dict[str, Any] = {"channel": channel}
        if args is not UNSET and args is not None:
            self.known["args"] = args
        self.due = inf
        self.said_again = False
        self.tries = 0


class Channels:
    """The way down of one client. `args_of(channel)` gives what the application subscribed with, UNSET for nothing."""

    def __init__(self, desk: Desk, epoch: str, args_of: Callable[[str], Any]) -> None:
        self._desk = desk
        self._forms = desk.dialect.subscribe
        self._epoch = epoch
        self._args_of = args_of
        self._logs: dict[str, Log] = {}
        self._on: dict[str, _Subscription] = {}
        self._leaving: deque[dict[str, Any]] = deque(maxlen=MOST_LEAVING)
        self.inbox = self._log(INBOX)
        forms = self._forms
        self._stale = None if forms is None else forms.stale_after

    def _log(self, channel: str) -> Log:
        log = self._logs.get(channel)
        if log is None:
            log = self._logs[channel] = Log(self._desk, channel, self._epoch)
        return log

    # links

    def end(self) -> None:
        """The link is gone."""
        self._on.clear()
        self._leaving.clear()

    def sub_of(self, channel: str) -> Any:
        """What `$sub` stands for in this channel's messages."""
        one = self._on.get(channel)
        return UNSET if one is None else one.known["id"]

    # from the machine

    def subscribe(self, frame: Sub, now: float) -> None:
        """Follow a channel."""
        if self._forms is None:
            self._desk.down(No(frame.r, Failure("unspelt", "this dialect has no subscriptions")))
            return
        self._log(frame.channel).resume(frame.at)
        one = self._on[frame.channel] = _Subscription(frame.r, frame.channel, self._args_of(frame.channel), frame.at)
        self._ask(one, now)

    def _ask(self, one: _Subscription, now: float) -> None:
        assert self._forms is not None
        one.follow = Follow.ASKED
        one.known["id"] = one.known["sub"] = self._desk.next_id()
        one.due = inf if self._stale is None else now + self._stale
        try:
            said = self._desk.say(self._forms.say, self._desk.saying(now, **one.known))
        except ValueError as error:
            self._refuse(one, "invalid", str(error))
            return
        if not said:
            self._refuse(one, "invalid", "args: there is nothing to say")
        elif self._forms.ok is UNSET:
            self._grant(one, UNSET)

    def unsubscribe(self, frame: Unsub, now: float) -> None:
        """Follow it no longer."""
        self._logs.pop(frame.channel, None)
        one = self._on.pop(frame.channel, None)
        if one is None or self._forms is None or one.follow is Follow.ENDED:
            return
        if self._forms.leave is not UNSET:
            known = {**one.known, "id": self._desk.next_id()}
            self._desk.say(self._forms.leave, self._desk.saying(now, **known))
            if self._forms.left is not UNSET:
                self._leaving.append(known)

    def handled(self, frame: At) -> None:
        """The application has handled a channel so far."""
        log = self._logs.get(frame.channel)
        if log is not None:
            log.handled(frame.offset)

    # from the server

    def take(self, heard: Heard, now: float) -> bool:
        """Whether this message is about a subscription, and no item of one; then it is dealt with."""
        forms = self._forms
        if forms is None:
            return False
        for i, known in enumerate(self._leaving):
            if self._desk.hear(forms.left, heard, **known) is not None:
                del self._leaving[i]
                return True
        return any(self._answers(one, heard, now) for one in list(self._on.values()))

    def _answers(self, one: _Subscription, heard: Heard, now: float) -> bool:
        assert self._forms is not None
        hear, forms = self._desk.hear, self._forms
        if one.follow is Follow.ENDED:
            return False
        found = hear(forms.ok, heard, **one.known)
        if found is not None:
            if one.follow is Follow.ASKED:
                self._grant(one, found.get("reply", UNSET))
            return True
        found = hear(forms.no, heard, **one.known)
        if found is not None:
            why = found.get("why", found.get("error", UNSET))
            self._refuse(one, word_of(found.get("code", UNSET), "refused"), sentence_of(why))
            return True
        if hear(forms.ended, heard, **one.known) is None:
            return False
        one.follow = Follow.ENDED
        one.due = now + min(2.0**one.tries, LONGEST_WAIT)
        one.tries = min(one.tries + 1, 10)
        return True

    def take_item(self, heard: Heard, now: float) -> bool:
        """Hand an item to every subscription that it belongs to; whether there was one."""
        if self._forms is None or self._forms.items is UNSET:
            return False
        ours = False
        for one in list(self._on.values()):
            found = None if one.follow is Follow.ENDED else self._desk.hear(self._forms.items, heard, **one.known)
            if found is None:
                continue
            if one.follow is Follow.ASKED:
                self._grant(one, UNSET)
            ours = True
            one.tries, one.said_again = 0, False
            if self._stale is not None:
                one.due = now + self._stale
            name = name_of(found.get("event", UNSET), "message")
            if name:
                has_data = "data" in set(variables_of(self._forms.items))
                data = found.get("data", None if has_data else UNSET)
                self._log(one.channel).hand(name, raw_of(data, heard))
        return ours

    # time

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return min((one.due for one in self._on.values()), default=inf)

    def tick(self, now: float) -> None:
        """Ask again for what was ended, or has not come."""
        for one in [one for one in self._on.values() if one.due <= now]:
            if one.follow is not Follow.ENDED:
                if one.said_again:
                    one.due = inf
                    self._desk.put(Leave(f"no data for {one.channel!r}"))
                    return
                one.said_again = True
            one.at = (self._epoch, self._log(one.channel).offset)
            self._ask(one, now)

    # small things

    def _grant(self, one: _Subscription, state: Any) -> None:
        """The server follows it; what came between the last link and this one is missing."""
        one.follow = Follow.ON
        log, at = self._log(one.channel), one.at
        snapshot = UNSET if state is UNSET else Raw(json.encode(state))
        self._desk.down(Ok(one.r, OkBody(self._epoch, log.offset, snapshot)))
        if at is not None:
            log.gap(at[1] if at[0] in (None, self._epoch) else 0)

    def _refuse(self, one: _Subscription, code: str, why: str) -> None:
        self._on.pop(one.channel, None)
        self._logs.pop(one.channel, None)
        self._desk.down(No(one.r, Failure(code, why)))


def check_subscription(dialect: Dialect, channel: str, args: Any, params: Mapping[str, Any]) -> None:
    """Raise ValueError where a dialect cannot spell this subscription."""
    if dialect.subscribe is None:
        raise ValueError(f"the dialect {dialect.name!r} has no subscriptions; its messages come to conn.on(…)")
    always = {"param": {**dialect.params, **params}, "keep": {}, "now_ms": 0, "id": 1, "sub": 1, "channel": channel}
    given = {} if args is None else {"args": args}
    if say(dialect.subscribe.say, {**dialect.defaults, **always, **given}) is None:
        raise ValueError(f"args: the dialect {dialect.name!r} has nothing to say without them")
