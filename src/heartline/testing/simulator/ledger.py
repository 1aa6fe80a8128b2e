"""What was sent, started, recorded and settled: the promise upstream, checked as it happens (design §1, §3).

Invariants, each checked under this name: `once`, `in_order`, `one_outcome`, `true_outcome`, `numbers`, `said_is_saved`,
`no_session_lost_without_a_cause`, `one_owner`, `progress`.
"""

from typing import Final

import msgspec

from heartline.core.enums import Outcome
from heartline.core.outbox import Kind
from heartline.core.ports import SessionRecord

from .channels import Channels
from .clock import Violation, World
from .plan import Plan

_decode = msgspec.json.decode
TOKEN_END: Final = ":"


class Start:
    """One start of a handler. `recorded`: its end is in a record that outlives the process."""

    __slots__ = ("dead", "ended", "n", "process", "ran", "recorded", "session", "well")

    def __init__(self, process: str, session: str, n: int) -> None:
        self.process: str = process
        self.session: str = session
        self.n: int = n
        self.ran: bool = False
        self.ended: bool = False
        self.well: bool = False
        self.recorded: bool = False
        self.dead: bool = False


class Word:
    """One message of an application, through all its numbers, starts and outcomes."""

    __slots__ = (
        "client", "event", "expired", "fails", "idempotent", "kind", "outcomes", "process", "reached", "reply_size", "seconds",
        "starts", "stored", "token", "writer", "written",
    )  # fmt: skip

    def __init__(self, token: str, client: int, process: int, kind: Kind, event: str) -> None:
        self.token: str = token
        self.client: int = client
        self.process: int = process
        self.kind: Kind = kind
        self.event: str = event
        self.idempotent: bool = False
        self.fails: bool = False
        self.seconds: float = 0.0
        self.reply_size: int = 0
        self.written: bool = False
        self.reached: bool = False
        self.expired: str = ""
        self.writer: str = ""
        self.stored: bool = False
        self.starts: list[Start] = []
        self.outcomes: dict[str, tuple[Outcome, str]] = {}


def token_of(data: bytes) -> str:
    """The token in a payload."""
    text: str = _decode(data)
    return text.split(TOKEN_END, 1)[0]


def reply_to(word: Word) -> bytes:
    """What a call is answered."""
    return b'"re %b %b"' % (word.token.encode(), b"y" * word.reply_size)


class Ledger:
    """One schedule's truth."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self.channels: Channels = Channels(world, plan)
        self.words: dict[str, Word] = {}
        self.records: dict[str, SessionRecord] = {}
        self.excuses: dict[int, str] = {}
        """Clients whose messages may end as unknown, and why."""
        self.lost_sessions: dict[str, str] = {}
        self.floors: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self._numbers: dict[tuple[str, int], str] = {}
        self._last_start: dict[tuple[str, str], int] = {}
        self._first_start: dict[str, int] = {}
        self._open: dict[str, list[Start]] = {}
        self._presumed: set[tuple[str, str]] = set()
        self._by_session: dict[str, list[Start]] = {}

    def count(self, what: str, n: int = 1) -> None:
        """Count something for the report."""
        self.counts[what] = self.counts.get(what, 0) + n

    # the client's side

    def sent(self, word: Word) -> None:
        """An application queued a message."""
        self.words[word.token] = word
        self.count("sent")

    def wrote(self, session: str | None, n: int, data: bytes, process: str) -> Word:
        """A client wrote a message to a link."""
        word = self.words[token_of(data)]
        word.written = True
        word.writer = process
        if session is not None:
            known = self._numbers.setdefault((session, n), word.token)
            if known != word.token and self.plan.copy_at is None:
                raise Violation("numbers", f"{n} of session {session} was {known} and is now {word.token}")
        return word

    def settled(self, client: int, process: str, data: bytes, outcome: Outcome, body: bytes) -> None:
        """A client learnt the outcome of a message."""
        word = self.words[token_of(data)]
        code = ""
        if outcome is Outcome.REJECTED:
            code = _decode(body)["code"]
        if process in word.outcomes:
            raise Violation("one_outcome", f"{word.token}: {word.outcomes[process]}, then {outcome.value}")
        earlier = [o for o, _ in word.outcomes.values()]
        word.outcomes[process] = (outcome, code)
        self.count(outcome.value)
        if outcome is Outcome.HANDLED:
            self._was_handled(word, body)
        elif outcome is Outcome.EXPIRED:
            word.expired = process
            if word.reached and self.plan.copy_at is None:
                raise Violation("true_outcome", f"{word.token} is 'expired' though a server had received it")
        elif outcome is Outcome.UNKNOWN:
            if client not in self.excuses:
                raise Violation("true_outcome", f"{word.token} is 'unknown' though no server lost it")
        else:
            self._was_rejected(word, code)
        untrue = outcome is Outcome.EXPIRED or code == "failed"
        if untrue and Outcome.HANDLED in earlier and self.plan.copy_at is None:
            raise Violation("one_outcome", f"{word.token} was handled and is now {outcome.value}")

    def _was_handled(self, word: Word, body: bytes) -> None:
        if not any(start.ended and start.well for start in word.starts):
            if self.plan.copy_at is not None:
                return  # numbers of two instances of one outbox have met
            raise Violation("true_outcome", f"{word.token} is 'handled' but no handler ended well")
        if word.kind is Kind.CALL and body != reply_to(word):
            raise Violation("true_outcome", f"call {word.token} ended without its reply: {body[:40]!r}")

    def _was_rejected(self, word: Word, code: str) -> None:
        if code == "failed":
            if not any(start.ended and not start.well for start in word.starts):
                raise Violation("true_outcome", f"{word.token} is 'rejected' but no handler failed")
        elif code == "busy":
            self.count("publications refused")
            if not self.counts.get("broker errors"):
                raise Violation("true_outcome", f"{word.token} is 'busy' though no broker failed")
        elif code == "reply_lost":
            self.count("reply_lost")
            if self.plan.limits.results_bytes > 100_000:
                raise Violation("true_outcome", f"the reply to {word.token} was dropped below the byte limit")
            if not any(start.ended and start.well for start in word.starts):
                raise Violation("true_outcome", f"{word.token} is 'reply_lost' but was not handled")
        elif code == "unknown":
            self.count("unknown by fail")
            if not any(start.dead for start in word.starts):
                raise Violation("true_outcome", f"{word.token} is 'unknown' though no process crashed with it")
        else:
            raise Violation("true_outcome", f"{word.token} is rejected as {code!r}, which nobody said")

    def not_resumed(self, session: str, client: int, floor: int) -> None:
        """A client asked for a session, with this floor, and got another."""
        if self.plan.copy_at is not None and floor < self.floors.get(session, 1):
            self.session_lost(session, "the copy of an outbox was older than the session")
        self.count("sessions lost")
        self.excuses[client] = "a server lost its session"
        if session not in self.lost_sessions:
            raise Violation("no_session_lost_without_a_cause", f"client {client} asked for {session} in vain")

    def told_floor(self, session: str, floor: int) -> None:
        """A client told a floor."""
        self.floors[session] = max(floor, self.floors.get(session, 1))

    # the server's side

    def reached(self, data: bytes) -> None:
        """A server received a message."""
        word = self.words[token_of(data)]
        word.reached = True
        if word.expired and word.expired == word.writer:
            raise Violation("true_outcome", f"{word.token} had 'expired' and was received by a server")

    def start(self, process: str, session: str, n: int, data: bytes) -> Start:
        """A server took a message to start it."""
        word = self.words[token_of(data)]
        self.count("starts")
        start = Start(process, session, n)
        if (process, session) in self._presumed:
            # Another node has taken over, and this one, asleep at the time, does not know yet (design §3.6).
            self.count("starts of the presumed dead")
            start.dead = True
            word.starts.append(start)
            return start
        for earlier in word.starts:
            self._may_repeat(word, earlier, start)
        last = self._last_start.get((process, session), 0)
        if n <= last:
            raise Violation("in_order", f"{word.token} ({n}) starts after {last} in {process}")
        self._last_start[(process, session)] = n
        if not any(s.session == session for s in word.starts):
            first = self._first_start.get(session, 0)
            if n < first:
                raise Violation("in_order", f"{word.token} ({n}) starts for the first time after {first}")
            self._first_start[session] = n
        word.starts.append(start)
        self._open.setdefault(session, []).append(start)
        self._by_session.setdefault(session, []).append(start)
        return start

    def _may_repeat(self, word: Word, earlier: Start, start: Start) -> None:
        if earlier.session != start.session:
            if not word.idempotent and self.plan.copy_at is None:
                raise Violation("once", f"{word.token} starts again in another session, {start.session}")
        elif not earlier.dead:
            raise Violation("once", f"{word.token} starts again though {earlier.process} lives")
        elif earlier.recorded:
            raise Violation("once", f"{word.token} starts again though its end was recorded")
        elif word.event == "u" and earlier.ran:
            raise Violation("once", f"{word.token} starts again though its start was to be recorded first")

    def recorded(self, record: SessionRecord) -> None:
        """A session record was written."""
        before = self.records.get(record.session)
        if before is not None and (
            record.generation < before.generation
            or (record.generation == before.generation and record.owner != before.owner)
        ):
            was, now = (f"{r.generation} of {r.owner}" for r in (before, record))
            raise Violation("one_owner", f"the record of session {record.session} was {was} and is now {now}")
        self.records[record.session] = record
        rest = []
        for start in self._open.get(record.session, ()):
            if start.ended and not start.dead and (start.n <= record.done or start.n in record.results):
                start.recorded = True
            elif not start.dead:
                rest.append(start)
        self._open[record.session] = rest

    def process_died(self, process: str) -> None:
        """A server process is gone with what ran in it."""
        for starts in self._by_session.values():
            for start in starts:
                if start.process == process:
                    start.dead = True

    def presumed_dead(self, node: str, life: int, session: str) -> None:
        """A node did not answer and counts as crashed for one session."""
        self._presumed.add((f"{node}/{life}", session))
        for start in self._by_session.get(session, ()):
            if start.process.split("/")[0] == node:
                start.dead = True

    def session_lost(self, session: str, why: str) -> None:
        """The servers know nothing of a session any more."""
        self.lost_sessions.setdefault(session, why)

    def said(self, session: str, kind: str, n: int) -> None:
        """A server with a durable broker told the end of a message, or, with an ack, of all up to it.

        An ack may cover holes, numbers never written; and what is below the floor is settled, in the record or not.
        """
        record = self.records.get(session)
        done, results, floor = (record.done, record.results, record.floor) if record is not None else (0, {}, 1)
        first = max(done + 1, floor) if kind == "ack" and self.plan.copy_at is None else max(n, done + 1)
        if any((session, m) in self._numbers and m not in results for m in range(first, n + 1)):
            raise Violation("said_is_saved", f"{kind} {n} of session {session} was said before the record tells it")
