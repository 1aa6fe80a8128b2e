"""The outbox against a list: any order of inputs, the same answers, and the limits of PROTOCOL 3 throughout."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from heartline.core.errors import OutboxFull
from heartline.core.outbox import FIRST_WINDOW, FIRST_WINDOW_BYTES, SPAN, Kind, Message, Outbox, size_of
from heartline.core.policy import Full, OutboxLimits


@dataclass
class Item:
    """A message as the model keeps it."""

    n: int
    kind: Kind
    size: int
    idempotent: bool
    expires_at: float | None
    written: bool = False
    on_link: bool = False
    """written on this link, or known to be at the server"""


class OutboxModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.box = Outbox(OutboxLimits())
        self.items: list[Item] = []
        self.now = 0.0
        self.next = 1
        self.last = 0
        """the highest number written on this link or accepted"""
        self.highest = 0
        self.told = 1
        self.window = FIRST_WINDOW
        self.window_bytes = FIRST_WINDOW_BYTES
        self.most = (SPAN, 1 << 20)
        self.since = 0

    @initialize(full=st.sampled_from(Full), messages=st.integers(1, 40), size=st.integers(200, 60_000))
    def begin(self, full: Full, messages: int, size: int) -> None:
        self.box = Outbox(OutboxLimits(messages, size, full))

    # what the model knows

    def floor(self) -> int:
        return self.items[0].n if self.items else self.next

    def flight(self) -> list[Item]:
        return [i for i in self.items if i.on_link]

    def remove(self, numbers: list[int], *, settled: bool = False) -> None:
        if settled:
            for _ in range(sum(1 for i in self.items if i.n in numbers and i.on_link)):
                self.since += 1
                if self.since >= self.window:
                    self.since = 0
                    self.window = min(self.window * 2, self.most[0])
                    self.window_bytes = min(self.window_bytes * 2, self.most[1])
        self.items = [i for i in self.items if i.n not in numbers]

    # inputs

    @rule(
        kind=st.sampled_from(Kind),
        size=st.one_of(st.integers(1, 60), st.integers(1, 20_000)),
        idempotent=st.booleans(),
        expires=st.one_of(st.none(), st.floats(0, 20)),
    )
    def send(self, kind: Kind, size: int, idempotent: bool, expires: float | None) -> None:
        data = b"x" * size
        total = size_of("e", "", data)
        limits = self.box.limits
        fits = len(self.items) < limits.messages and sum(i.size for i in self.items) + total <= limits.bytes
        try:
            dropped = [m.n for m in self.box.make_room(total)]
        except ValueError:
            assert total > limits.bytes
            return
        except OutboxFull:
            assert not fits
            if limits.full is Full.DROP_OLDEST:
                stay = [i for i in self.items if i.written]
                assert len(stay) >= limits.messages or sum(i.size for i in stay) + total > limits.bytes
            return
        if dropped:
            assert limits.full is Full.DROP_OLDEST
            assert not fits
            assert dropped == [i.n for i in self.items if not i.written][: len(dropped)]
        self.remove(dropped)
        n = self.box.take_number()
        assert n == self.next
        self.next += 1
        at = None if expires is None else self.now + expires
        self.box.add(Message(n, kind, "e", data, idempotent=idempotent, expires_at=at))
        self.items.append(Item(n, kind, total, idempotent, at))

    @rule()
    def write(self) -> None:
        while (message := self.box.next_to_write()) is not None:
            item = next(i for i in self.items if not i.on_link)
            assert message.n == item.n > self.last
            assert message.n < self.told + SPAN
            before = self.flight()
            assert not before or (
                len(before) < self.window and sum(i.size for i in before) + item.size <= self.window_bytes
            )
            item.written = item.on_link = True
            self.last = item.n
            self.highest = max(self.highest, item.n)
        waiting = [i for i in self.items if not i.on_link]
        if waiting and not self.flight():
            assert waiting[0].n >= self.told + SPAN  # a lone message only ever waits for the floor

    @rule(back=st.integers(0, 30))
    def ack(self, back: int) -> None:
        n = max(0, self.last - back)
        settled = [m.n for m in self.box.ack(n)]
        assert settled == [i.n for i in self.items if i.n <= n and i.kind is not Kind.CALL and i.written]
        self.remove(settled, settled=True)
        calls = [m.n for m in self.box.unanswered(n)]
        assert calls == [i.n for i in self.items if i.n <= n]
        self.remove(calls, settled=True)

    @rule(data=st.data())
    @precondition(lambda self: self.items)
    def answer(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.items))
        message = self.box.settle(item.n)
        assert (message is not None) == item.written
        if item.written:
            self.remove([item.n], settled=True)
            assert self.box.settle(item.n) is None

    @rule(data=st.data())
    @precondition(lambda self: self.items)
    def withdraw(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.items))
        message = self.box.withdraw(item.n)
        assert (message is None) == item.written
        if message is not None:
            self.remove([item.n])

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        gone = sorted(m.n for m in self.box.expire(self.now))
        assert gone == [
            i.n for i in self.items if not i.written and i.expires_at is not None and i.expires_at <= self.now
        ]
        self.remove(gone)

    @rule(idle=st.booleans())
    def tell_floor(self, idle: bool) -> None:
        floor = self.box.floor_to_tell(idle=idle)
        if floor is not None:
            assert self.told < floor == self.floor()
            self.told = floor
        elif idle:
            assert self.told == self.floor()

    @rule(data=st.data(), window=st.integers(1, SPAN), window_bytes=st.integers(1, 1 << 20))
    def reconnect(self, data: st.DataObject, window: int, window_bytes: int) -> None:
        received = data.draw(st.integers(0, self.highest))
        self.box.told_floor(self.box.floor)
        self.told = self.floor()
        self.box.welcome(received, window, window_bytes)
        self.most = (window, window_bytes)
        self.window, self.window_bytes = min(FIRST_WINDOW, window), min(FIRST_WINDOW_BYTES, window_bytes)
        self.since = 0
        self.last = received
        for item in self.items:
            item.on_link = item.n <= received
            item.written = item.written or item.on_link

    @rule()
    def forget_session(self) -> None:
        lost = [m.n for m in self.box.forget_session()]
        assert lost == [i.n for i in self.items if i.written and not i.idempotent]
        self.remove(lost)
        self.highest = 0
        self.box.welcome(0, SPAN, 1 << 20)
        self.told_anew()

    def told_anew(self) -> None:
        self.box.told_floor(self.box.floor)
        self.told = self.floor()
        self.most = (SPAN, 1 << 20)
        self.window, self.window_bytes, self.since, self.last = FIRST_WINDOW, FIRST_WINDOW_BYTES, 0, 0
        for item in self.items:
            item.on_link = False

    # what always holds

    @invariant()
    def same(self) -> None:
        box = self.box
        assert [m.n for m in box] == [i.n for i in self.items]
        assert [m.written for m in box] == [i.written for i in self.items]
        assert box.floor == self.floor()
        assert box.bytes == sum(i.size for i in self.items)
        assert box.in_flight == len(self.flight())
        assert box.next_number == self.next
        assert box.highest_written == self.highest
        expiries = [i.expires_at for i in self.items if not i.written and i.expires_at is not None]
        assert box.next_expiry() == (min(expiries) if expiries else None)
        assert len(self.items) <= box.limits.messages
        assert box.bytes <= box.limits.bytes


OutboxModel.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestOutboxModel = OutboxModel.TestCase
