"""Random inputs, sensible and not, at a client machine: what must hold whatever happens."""

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import Raw

from heartline.core import effects as do
from heartline.core.client import ClientMachine
from heartline.core.enums import Outcome, State
from heartline.core.errors import HeartlineError
from heartline.core.outbox import SPAN, Kind, Message
from heartline.core.policy import BackOff, ClientPolicy, Full, OutboxLimits
from heartline.core.saved import Saved
from heartline.core.states import MOVES
from heartline.dialects.native import NativeClient
from tests.core.kit import Dice, welcome

NUMBERS = st.integers(0, 40)
CHANNELS = st.sampled_from(["a", "b", "@"])
FRAMES = st.one_of(
    st.tuples(st.just("ack"), NUMBERS),
    st.tuples(st.just("reply"), NUMBERS, st.none()),
    st.tuples(st.just("fail"), NUMBERS, st.just({"code": "x"})),
    st.tuples(st.just("ok"), NUMBERS, st.just({"epoch": "E", "offset": 3})),
    st.tuples(st.just("no"), NUMBERS, st.just({"code": "x"})),
    st.tuples(st.just("msg"), CHANNELS, NUMBERS, st.just("e"), st.just(1)),
    st.tuples(st.just("msg"), CHANNELS, NUMBERS, st.just("e"), st.just(1), NUMBERS),
    st.builds(
        lambda c, e, a, t: ("gap", c, {"epoch": e, "after": a, "to": t, "reason": "history"}),
        CHANNELS, st.sampled_from(["i", "E", "F"]), NUMBERS, NUMBERS,
    ),
    st.tuples(st.just("now"), CHANNELS, st.just("e"), st.just(1)),
    st.builds(lambda a, s: ("move", {"after": a, "spread": s}), st.floats(0, 5), st.floats(0, 5)),
    st.just(("expiring", {"in": 3})),
    st.tuples(st.just("ping"), st.just("t")),
    st.tuples(st.just("pong"), NUMBERS),
    st.builds(lambda r: ("refused", {"code": "x", "retry": r}), st.sampled_from([False, 0, 5])),
    st.builds(
        lambda s, resumed, n, w: tuple(welcome(s, resumed=resumed, received=n, limits={"window": w})),
        st.sampled_from(["s", "t"]), st.booleans(), st.sampled_from([0, 0, 1, 5]), st.integers(1, 300),
    ),
    st.just(("rubbish",)),
)  # fmt: skip


class RandomClient(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.live: set[int] = set()
        self.dialling: set[int] = set()
        self.welcome_seen: set[int] = set()
        self.hello_seen: set[int] = set()
        self.numbers: dict[int, int] = {}
        self.settled: dict[int, Outcome] = {}
        self.told = "idle"
        self.ended = False
        self.first = 1
        self.taken = 0
        self.forgotten_order: list[int] = []

    @initialize(durable=st.booleans(), attempts=st.sampled_from([None, 3]), full=st.sampled_from(Full))
    def begin(self, durable: bool, attempts: int | None, full: Full) -> None:
        policy = ClientPolicy(
            max_attempts=attempts, back_off=BackOff(stable=5.0), outbox=OutboxLimits(messages=30, full=full)
        )
        saved = Saved("s", "k", 10, (Message(4, Kind.SEND, "e", b"1"), Message(6, Kind.CALL, "e", b"1")))
        self.durable = durable
        self.taken = 9 if durable else 0
        self.machine = ClientMachine(policy, NativeClient(), Dice(), "me", saved=saved if durable else None)

    def look(self) -> None:
        machine = self.machine
        for effect in machine.drain():
            if isinstance(effect, do.Dial):
                assert not self.ended, "dialled after close"
                assert not self.dialling, "two dials"
                assert not self.live or self.told == "moving"
                self.dialling.add(effect.attempt)
            elif isinstance(effect, do.Drop):
                self.live.discard(effect.attempt)
                self.dialling.discard(effect.attempt)
                assert len(effect.reason.encode()) <= 120
            elif isinstance(effect, do.Transmit):
                self.transmitted(effect)
            elif isinstance(effect, do.Settle):
                assert effect.message.n not in self.settled, "settled twice"
                self.settled[effect.message.n] = effect.outcome
                if effect.outcome is Outcome.EXPIRED:
                    assert not effect.message.written
            elif isinstance(effect, do.Changed):
                assert effect.old == effect.new or State(effect.new) in MOVES[State(effect.old)]
                self.told = effect.new
                if effect.new == "closed":
                    self.ended = True
            elif isinstance(effect, do.Forget | do.Persist | do.ForgetCursor):
                assert self.durable
        assert len(self.live) <= 1

    def transmitted(self, effect: do.Transmit) -> None:
        frame = json.loads(effect.payload)
        attempt = effect.attempt
        assert not self.ended, "written after close"
        assert attempt in self.live, "written to a link there is not"
        assert (attempt in self.hello_seen) == (frame[0] != "hello"), "hello comes first, and once"
        self.hello_seen.add(attempt)
        if frame[0] in {"call", "send", "pub"}:
            assert attempt in self.welcome_seen, "a number before welcome"
            assert frame[1] > self.numbers.get(attempt, 0), "numbers fall"
            self.numbers[attempt] = frame[1]
        elif frame[0] not in {"hello", "ping", "pong", "bye"}:
            assert attempt in self.welcome_seen, f"{frame[0]} before welcome"

    # the person

    @rule()
    def connect(self) -> None:
        self.machine.connect(self.now)
        self.look()

    @rule(
        kind=st.sampled_from(Kind), idempotent=st.booleans(), expires=st.sampled_from([None, None, 0.0, 2.0]),
        count=st.integers(1, 12),
    )  # fmt: skip
    def send(self, kind: Kind, idempotent: bool, expires: float | None, count: int) -> None:
        for _ in range(count):
            try:
                n = self.machine.send(kind, "e", b"1", self.now, target="a", expires_in=expires, idempotent=idempotent)
            except HeartlineError:
                assert self.ended or len(self.machine.outbox) == 30
            else:
                assert n > self.taken, "a number was used twice"
                self.taken = n
            self.look()

    @rule(n=NUMBERS)
    def withdraw(self, n: int) -> None:
        self.machine.withdraw(n, self.now)
        self.look()

    @rule(channel=st.sampled_from(["a", "b"]), place=st.sampled_from([(), ("E", 3), (None, 2)]))
    def subscribe(self, channel: str, place: tuple[Any, ...]) -> None:
        if not self.ended:
            self.machine.subscribe(channel, self.now, *place)
            self.look()

    @rule(channel=st.sampled_from(["a", "b"]))
    def unsubscribe(self, channel: str) -> None:
        self.machine.unsubscribe(channel, self.now)
        self.look()

    @rule(channel=CHANNELS, epoch=st.sampled_from(["i", "E", "F"]), offset=NUMBERS)
    def handled(self, channel: str, epoch: str, offset: int) -> None:
        self.machine.handled(channel, epoch, offset, 5, self.now)
        self.look()

    @rule(what=st.sampled_from(["retry_now", "hint", "login"]))
    def poke(self, what: str) -> None:
        if what == "retry_now":
            self.machine.retry_now(self.now)
        elif what == "hint":
            self.machine.hint(self.now, "network")
        else:
            self.machine.login(Raw(b"1"), self.now)
        self.look()

    @rule(end=st.booleans(), really=st.integers(0, 19))
    def close(self, end: bool, really: int) -> None:
        if really == 0:
            if end:
                self.machine.end(self.now)
            else:
                self.machine.close(self.now)
            self.look()

    # the network

    @rule(back=st.sampled_from([0, 0, 0, 1, 2]))
    def opened(self, back: int) -> None:
        attempt = self.machine.attempt - back
        if attempt in self.dialling:
            self.dialling.discard(attempt)
            self.live.add(attempt)
            old = self.live - {attempt}
            self.machine.opened(attempt, self.now)
            effects = self.machine.drain()
            for link in old:
                assert any(isinstance(e, do.Drop) and e.attempt == link for e in effects)
            self.machine._effects[:0] = effects
        else:
            self.machine.opened(attempt, self.now)
        self.look()

    @rule(fatal=st.integers(0, 9))
    def failed(self, fatal: int) -> None:
        attempt = self.machine.attempt
        if attempt in self.dialling:
            self.dialling.discard(attempt)
            self.machine.failed(attempt, self.now, "no", fatal=fatal == 0)
            self.look()

    @rule(code=st.sampled_from([1006, 1006, 1006, 1000, 4001, 4100, 4200, 4202, 4203, 4204]), all_=st.booleans())
    def lost(self, code: int, all_: bool) -> None:
        for attempt in list(self.live) if all_ else [self.machine.attempt]:
            self.live.discard(attempt)
            self.machine.lost(attempt, code, "", self.now)
            self.look()

    @rule(frame=FRAMES, back=st.sampled_from([0, 0, 0, 0, 1]))
    def hear(self, frame: tuple[Any, ...], back: int) -> None:
        attempt = self.machine.attempt - back
        if frame[0] == "welcome":
            self.welcome_seen.add(attempt)
        self.machine.received(attempt, json.dumps(frame).encode(), self.now)
        self.look()

    @rule(limit=st.integers(1, 12))
    def be_kind(self, limit: int) -> None:
        """A server that answers as it should, so that open links are not rare."""
        machine = self.machine
        if machine.state in {State.IDLE, State.WAITING}:
            machine.connect(self.now)
            machine.retry_now(self.now)
            self.look()
        if machine.state is State.DIALLING:
            self.opened(0)
        if machine.state is State.GREETING:
            resumed = machine.session is not None
            self.welcome_seen.add(machine.attempt)
            frame = welcome(machine.session or "s", resumed=resumed, received=0, limits={"window": limit})
            machine.received(machine.attempt, json.dumps(frame).encode(), self.now)
            self.look()

    @rule(n=st.integers(0, 60))
    def disk(self, n: int) -> None:
        self.machine.persisted(n, self.now)
        self.machine.forgotten(n, self.now)
        self.machine.remembered(self.machine.session, self.now)
        self.look()

    # time

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.3, 2.0, 11.0, 40.0, 5000.0, -0.5, -30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.machine.tick(self.now)
        self.look()

    @rule()
    def wake(self) -> None:
        at = self.machine.next_deadline()
        if at is not None:
            self.now = max(self.now, at)
            self.machine.tick(self.now)
            self.look()

    # what always holds

    @invariant()
    def pure(self) -> None:
        machine = self.machine
        before = (machine.next_deadline(), machine.outbox.floor, machine.outbox.in_flight)
        assert before == (machine.next_deadline(), machine.outbox.floor, machine.outbox.in_flight)
        assert machine.drain() == []
        if self.ended:
            assert machine.next_deadline() is None

    @invariant()
    def bounded(self) -> None:
        outbox = self.machine.outbox
        numbers = [m.n for m in outbox]
        assert numbers == sorted(numbers)
        assert len(numbers) <= 32
        assert 0 <= outbox.in_flight <= len(numbers)
        written = max(self.numbers.values(), default=0)
        assert written < outbox._told + SPAN or not self.live
        if not self.durable:
            assert set(range(1, self.taken + 1)) == set(numbers) | set(self.settled), "a message without an end"


RandomClient.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestRandomClient = RandomClient.TestCase
