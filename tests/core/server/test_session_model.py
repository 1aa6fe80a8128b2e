"""A session against a simple model: any order of frames, starts, ends, lost links, writes and crashes.

The model is a client that keeps the protocol and a bookkeeper who knows what was accepted, runs and has ended.
"""

import re
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from heartline.core.errors import BadFrame
from heartline.core.outbox import SPAN, Kind
from heartline.core.policy import ServerLimits
from heartline.core.ports import SessionRecord
from heartline.core.server.session import Lane, Pending, Session

pytestmark = pytest.mark.pure  # its sessions write to a Wire

LIMITS = ServerLimits(rate=None)
NUMBERED = re.compile(rb'\["(reply|fail|ack)",(\d+)')


class Wire:
    """Where a session writes; each frame is judged when it is written."""

    def __init__(self, model: "SessionModel") -> None:
        self.model = model
        self.said: list[bytes] = []

    def say(self, payload: bytes) -> None:
        self.said.append(payload)
        self.model.judge(payload)


class SessionModel(RuleBasedStateMachine):
    durable = False

    def __init__(self) -> None:
        super().__init__()
        self.unsaved: dict[str, Session] = {}
        self.session = Session("s", "k", "", "i", LIMITS, self.unsaved if self.durable else None)
        self.wire: Wire | None = None
        self.kinds: dict[int, Kind] = {}
        """every number the client ever used"""
        self.backlog: list[int] = []
        """what the client says again before anything newer"""
        self.known: set[int] = set()
        """numbers whose outcome the client has heard"""
        self.floor = 1
        self.received = 0
        self.open: dict[int, Pending] = {}
        """accepted in this memory and not ended, in order"""
        self.lanes: dict[int, Lane] = {}
        self.starts: list[int] = []
        self.answers: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.stored: SessionRecord | None = None
        self.resume()

    # what is written

    def judge(self, payload: bytes) -> None:
        match = NUMBERED.match(payload)
        assert match is not None, payload
        n = int(match[2])
        if match[1] == b"ack":
            assert not [m for m in self.open if m <= n], f"ack {n} covers what has not ended"
            assert n <= self.received
            if self.durable:  # what it covers beyond the record are holes in the numbers
                assert self.stored is not None
                done, results = self.stored.done, self.stored.results
                assert not [m for m in self.kinds if done < m <= n and m not in results], "an ack before it is saved"
            silent = {m for m, kind in self.kinds.items() if m <= n and kind is not Kind.CALL}
            unheard = {m for m in silent if m in self.answers and m >= self.floor} - self.known
            assert not unheard, f"ack {n} before the failures {unheard}"
            self.known |= silent
        else:
            assert self.answers[n] == payload, "another answer than the handler gave"
            if self.durable:
                assert self.stored is not None
                assert n in self.stored.results or n < self.stored.floor, "an answer before it is saved"
            self.known.add(n)

    # links

    @precondition(lambda self: self.wire is not None)
    @rule()
    def lose(self) -> None:
        self.session.link = None
        self.wire = None

    @rule()
    def resume(self) -> None:
        """A newer link, whether or not the older was seen dying."""
        session = self.session
        session.claim("i", self.floor)
        self.wire = Wire(self)
        session.link = cast(Any, self.wire)
        if self.durable:
            self.write()
        said = session.answers()
        assert said == [self.answers[n] for n in sorted(self.answers) if n >= self.floor]
        for payload in said:
            self.wire.say(payload)
        self.acknowledge()
        assert session.received == self.received
        self.backlog = [n for n in self.kinds if n > self.received and n not in self.known]

    # the client

    @precondition(lambda self: self.wire is not None)
    @rule(step=st.integers(1, 3), kind=st.sampled_from(Kind), lane=st.sampled_from(Lane), size=st.integers(0, 50))
    def send(self, step: int, kind: Kind, lane: Lane, size: int) -> None:
        if self.backlog:
            n = self.backlog.pop(0)
            kind = self.kinds[n]
        else:
            n = max(self.kinds, default=0) + step
        if n >= self.floor + SPAN:
            with pytest.raises(BadFrame):
                self.session.accept(n, kind, "e", b"x" * size, "", lane)
            return
        fresh = n > self.received and n not in self.ended
        message = self.session.accept(n, kind, "e", b"x" * size, "", lane)
        self.kinds[n] = kind
        self.received = max(self.received, n)
        assert (message is not None) is fresh
        if message is not None:
            self.open[n] = message
            self.lanes[n] = lane

    @precondition(lambda self: self.wire is not None and self.repeatable())
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        n = data.draw(st.sampled_from(self.repeatable()))
        wire = self.wire
        assert wire is not None
        before = len(wire.said)
        assert self.session.accept(n, self.kinds[n], "e", b"", "", Lane.ALONE) is None
        said = wire.said[before:]
        if n in self.open:
            assert said == []
        elif n in self.answers:
            assert said == [self.answers[n]] or self.durable
        else:
            assert said == []
            self.acknowledge()
            assert self.durable or n > self.session.done or wire.said[-1] == b'["ack",%d]' % self.session.done

    def repeatable(self) -> list[int]:
        return [n for n in self.kinds if self.floor <= n <= self.received and (n in self.open or n in self.ended)]

    @precondition(lambda self: self.wire is not None)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        unsettled = min((n for n in self.kinds if n not in self.known), default=max(self.kinds, default=0) + 1)
        self.floor = data.draw(st.integers(self.floor, max(self.floor, unsettled)))
        self.session.settled(self.floor)

    @precondition(lambda self: self.session.floor > 1)
    @rule()
    def the_floor_never_falls(self) -> None:
        with pytest.raises(BadFrame):
            self.session.settled(self.session.floor - 1)

    # handlers

    @rule()
    def start(self) -> None:
        waiting = [n for n in self.open if n not in self.starts]
        message = self.session.next_start(0.0)
        running = {self.lanes[n] for n in self.open if n in self.starts} - {Lane.FREE}
        wants = self.lanes[waiting[0]] if waiting else Lane.FREE
        if not waiting or (wants and running and not {wants} == running == {Lane.TOGETHER}):
            assert message is None
        else:
            assert message is self.open[waiting[0]]
            assert not self.starts or waiting[0] > self.starts[-1]
            self.starts.append(waiting[0])

    @precondition(lambda self: any(n in self.open for n in self.starts))
    @rule(data=st.data(), good=st.booleans())
    def finish(self, data: st.DataObject, good: bool) -> None:
        n = data.draw(st.sampled_from([n for n in self.starts if n in self.open]))
        payload = None
        if not good:
            payload = b'["fail",%d,{"code":"failed","message":""}]' % n
        elif self.kinds[n] is Kind.CALL:
            payload = b'["reply",%d,1]' % n
        message = self.open.pop(n)
        self.ended.add(n)
        if payload is not None:
            self.answers[n] = payload
        assert self.session.finish(message, payload) is True
        assert self.session.finish(message, payload) is False

    @precondition(lambda self: self.wire is not None)
    @rule()
    def acknowledge(self) -> None:
        n = self.session.ack()
        if n is not None:
            self.session.say(b'["ack",%d]' % n)

    # the store

    @precondition(lambda self: self.durable)
    @rule()
    def write(self) -> None:
        self.stored = self.session.record("n", 0.0)
        self.session.saved(self.session.revision)

    @precondition(lambda self: self.durable and self.stored is not None)
    @rule()
    def crash(self) -> None:
        """The process is gone; another one goes on from what was written."""
        assert self.stored is not None
        self.wire = None
        self.session = Session.restored(self.stored, LIMITS, self.unsaved)
        self.received = self.stored.done
        self.open, self.lanes, self.starts = {}, {}, []
        self.ended = {n for n in self.ended if n <= self.stored.done or n in self.stored.results}
        self.answers = {n: payload for n, payload in self.answers.items() if n in self.stored.results}
        assert self.session.done == self.stored.done

    # what holds always

    @invariant()
    def the_books_agree(self) -> None:
        session = self.session
        assert session.received == self.received
        assert [message.n for message in session.pending] == list(self.open)
        assert session.pending_bytes == sum(len(message.data) for message in self.open.values())
        assert session.done == (min(self.open) - 1 if self.open else self.received)
        floor = session.floor
        results = dict(session.results.items())
        assert results == {n: p for n, p in self.answers.items() if n >= floor}
        assert session.results.size == sum(map(len, results.values()))
        assert session.ended.keys() <= self.ended
        assert len(session.results) <= SPAN
        assert len(session.ended) <= SPAN

    @precondition(lambda self: self.durable)
    @invariant()
    def what_is_not_written_is_known_to_be(self) -> None:
        session = self.session
        assert session.saved_revision == session.revision or "s" in self.unsaved


class DurableSessionModel(SessionModel):
    durable = True


SessionModel.TestCase.settings = DurableSessionModel.TestCase.settings = settings(
    max_examples=120, stateful_step_count=60, deadline=None
)
TestSession = SessionModel.TestCase
TestDurableSession = DurableSessionModel.TestCase
