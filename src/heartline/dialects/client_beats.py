"""A client's heartbeat as its dialect wants it, and the answers that prove a link (protocol/DIALECTS.md §4.3).

What must be answered is a *probe*: the dialect's beat where an answer to it is spelt, else an RFC 6455 ping where the
platform has them, else nothing. Whether the other end is alive is the machine's to judge: its pings are put on probes,
and their answers are its pongs.

Invariants:
- beats keep the dialect's own time, whatever else is said or heard (test_beats_keep_their_time);
- nothing of one link is said on the next (test_no_beat_outlives_its_link);
- a ping of the machine is answered by what answers a probe said for it, or just before it
  (test_the_answer_to_an_earlier_beat_is_no_pong);
- where nothing can be proven nobody is declared dead (test_nobody_is_dead_for_lack_of_an_answer);
- no verdict on a late wake-up without a fresh wait (test_a_late_wake_up_is_no_verdict).
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Final

from msgspec import UNSET

from heartline.core.frames import Ping, Pong, Stamp

from .client_desk import Desk, Leave, SendPing
from .forms import Heard, variables_of
from .spec import Beat

FRESH: Final = 1.0
"""Seconds for which a probe that is out already serves for a ping of the machine."""
CONFIRM_AFTER: Final = 0.1
"""Seconds after which a probe is said to confirm messages, unless one is out."""
MOST_OUT: Final = 8


class Probe(Enum):
    """What the other end must answer."""

    BEAT = "beat"
    PING = "ping"
    NONE = "none"


class _Out:
    """One probe that was said and not answered. `mark`: the last message said before it."""

    __slots__ = ("at", "id", "mark", "t")

    def __init__(self, number: int, at: float, mark: int, t: Stamp | None) -> None:
        self.id = number
        self.at = at
        self.mark = mark
        self.t = t


class Beats:
    """The heartbeat of one client. `on_proof(mark)`: everything said up to `mark` has arrived."""

    def __init__(self, desk: Desk, can_ping: bool, on_proof: Callable[[int], None]) -> None:
        beat = desk.dialect.beat
        self._desk = desk
        self._beat = beat
        self._on_proof = on_proof
        self.probe: Final = _probe_of(beat, can_ping)
        self._says = beat is not None and beat.by == "client" and beat.say is not UNSET
        self._by_id = self._says and "id" in set(variables_of(beat.answer))  # type: ignore[union-attr]
        self._out: deque[_Out] = deque()
        self._mark = 0
        self._due = self._confirm = self._silent = inf
        self._late = False

    def begin(self, now: float) -> None:
        """A link opened."""
        self.end()
        self._mark = 0
        if self._beat is not None:
            self._listen(now)
            if self._says:
                self._due = now if self._beat.first else now + self._beat.interval

    def end(self) -> None:
        """The link is gone."""
        self._out.clear()
        self._due = self._confirm = self._silent = inf
        self._late = False

    def next_deadline(self) -> float:
        """When `tick` has something to do."""
        return min(self._due, self._confirm, self._silent)

    def tick(self, now: float) -> None:
        """Say what is due."""
        if self._confirm <= now:
            self._confirm = inf
            if not self._out:
                self._say(now, None)
        beat = self._beat
        if beat is None:
            return
        if self._due <= now:
            self._due = now + beat.interval if now - self._due >= beat.interval else self._due + beat.interval
            if beat.after_answer:
                self._due = now + beat.interval + beat.timeout  # should the answer not come, and other things do
            self._say_beat(now, None)
        if self._silent <= now:
            self._judge(beat, now)

    def _judge(self, beat: Beat, now: float) -> None:
        """The server's own beats have not come."""
        late = now - self._silent > max(1.0, beat.timeout / 2)
        if late and not self._late:
            self._late = True
            self._silent = now + beat.timeout
        else:
            self._silent = inf
            self._desk.put(Leave("nothing was heard from the server"))

    # what is heard

    def heard(self, now: float) -> None:
        """Something came."""
        beat = self._beat
        if beat is not None:
            self._listen(now)
            if beat.quiet and self._says:
                self._due = now + beat.interval

    def take(self, heard: Heard, now: float) -> bool:
        """Whether this message is the heartbeat's; then it is dealt with."""
        beat, desk = self._beat, self._desk
        if beat is None:
            return False
        if beat.by == "server":
            found = desk.hear(beat.say, heard)
            if found is not None and beat.answer is not UNSET:
                desk.say(beat.answer, {**desk.saying(now), **found})
            return found is not None
        if desk.hear(beat.answer, heard) is None:
            return False
        if beat.after_answer:
            self._due = now + beat.interval
        self._answered(lambda out: not self._by_id or desk.hear(beat.answer, heard, id=out.id) is not None)
        return True

    def pong(self, payload: bytes) -> None:
        """An RFC 6455 pong came."""
        if self.probe is Probe.PING:
            self._answered(lambda out: payload == b"%d" % out.id)

    def _answered(self, fits: Callable[[_Out], bool]) -> None:
        for number, out in enumerate(self._out):
            if fits(out):
                for _ in range(number + 1):
                    self._out.popleft()
                self._on_proof(out.mark)
                if out.t is not None:
                    self._desk.down(Pong(out.t))
                return

    # what is said

    def ping(self, frame: Ping, now: float) -> None:
        """The machine wants to know whether the other end is there."""
        if self.probe is Probe.NONE:
            self._desk.down(Pong(frame.t))
            return
        last = self._out[-1] if self._out else None
        if last is not None and last.t == frame.t:
            return
        if last is not None and last.t is None and now - last.at < FRESH:
            last.t = frame.t
        else:
            self._say(now, frame.t)

    def said(self, mark: int, now: float, *, confirm: bool) -> None:
        """Message `mark` was said; with `confirm` the answer to a probe after it is wanted."""
        self._mark = mark
        if confirm and self._confirm == inf:
            self._confirm = now + CONFIRM_AFTER

    def still_waiting(self, now: float) -> None:
        """Messages wait for the answer to a probe that is yet to be said."""
        if self._confirm == inf and not self._out:
            self._confirm = now + CONFIRM_AFTER

    def _say(self, now: float, t: Stamp | None) -> None:
        if self.probe is Probe.BEAT:
            self._say_beat(now, t)
        else:
            out = self._note(now, t)
            self._desk.put(SendPing(b"%d" % out.id))

    def _say_beat(self, now: float, t: Stamp | None) -> None:
        assert self._beat is not None
        if self.probe is Probe.BEAT:
            number = self._note(now, t).id
        else:
            number = self._desk.next_id()
        self._desk.say(self._beat.say, self._desk.saying(now, id=number))

    def _note(self, now: float, t: Stamp | None) -> _Out:
        out = _Out(self._desk.next_id(), now, self._mark, t)
        self._out.append(out)
        if len(self._out) > MOST_OUT:
            self._out.popleft()
        return out

    def _listen(self, now: float) -> None:
        """Where the server says the beats, they have to come; all else is the machine's to judge."""
        beat = self._beat
        if beat is not None and beat.by == "server":
            self._silent = now + beat.interval + beat.timeout
            self._late = False


def _probe_of(beat: Beat | None, can_ping: bool) -> Probe:
    if beat is None:
        return Probe.NONE
    if beat.by == "client" and beat.answer is not UNSET:
        return Probe.BEAT
    return Probe.PING if can_ping and beat.probe else Probe.NONE
