"""A client reads two channels of a model server over links that die at any frame, out of logs that are trimmed or lost.

What must hold (PROTOCOL 4, the promise): an entry is handed over once and in order, or a gap that covers it comes
before anything newer; the cursor is never beyond what was handled; the server never waits for an `at` that does not
come.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from heartline.core import effects as do
from heartline.core.enums import State
from tests.core.kit import Kit, welcome

CHANNELS = ("a", "b")
CREDIT = 4


class Log:
    """One channel on the server: (offset, previous offset) of what it keeps."""

    def __init__(self) -> None:
        self.serial = 0
        self.epoch = "E0"
        self.head = 0
        self.trimmed = 0
        self.entries: list[tuple[int, int]] = []
        self.history: dict[str, list[int]] = {"E0": []}

    def append(self, step: int) -> None:
        offset = self.head + step
        self.entries.append((offset, self.head))
        self.history[self.epoch].append(offset)
        self.head = offset

    def trim(self, keep: int) -> None:
        while len(self.entries) > keep:
            self.trimmed = self.entries.pop(0)[0]

    def lose(self) -> None:
        self.serial += 1
        self.epoch = f"E{self.serial}"
        self.head = self.trimmed = 0
        self.entries = []
        self.history[self.epoch] = []


class Follower:
    """What the server knows of one subscription on one link."""

    def __init__(self, log: Log, r: int, at: list[Any] | None) -> None:
        self.log = log
        self.epoch = log.epoch
        self.sent = log.head if at is None else at[1]
        self.at = self.sent
        self.flight: list[int] = []
        self.frames: list[list[Any]] = [["ok", r, {"epoch": log.epoch, "offset": self.sent}]]
        if at is not None and at[0] not in (None, log.epoch):
            self.sent = self.at = 0
            self.frames = [["ok", r, {"epoch": log.epoch, "offset": 0}]]
            self.frames.append(["gap", "", {"epoch": log.epoch, "after": 0, "to": 0, "reason": "epoch"}])

    def next_frames(self) -> list[list[Any]]:
        """What it says of its own accord, within the credit."""
        log, frames = self.log, self.frames
        self.frames = []
        if log.epoch != self.epoch:
            self.epoch, self.sent, self.at, self.flight = log.epoch, 0, 0, []
            frames.append(["gap", "", {"epoch": log.epoch, "after": 0, "to": 0, "reason": "epoch"}])
        if log.trimmed > self.sent:
            gap = {"epoch": log.epoch, "after": self.sent, "to": log.trimmed, "reason": "history"}
            frames.append(["gap", "", gap])
            self.sent = log.trimmed
        for offset, prev in log.entries:
            if offset > self.sent and len(self.flight) < CREDIT:
                self.flight.append(offset)
                frames.append(["msg", "", offset, "e", offset, *([] if prev == offset - 1 else [prev])])
                self.sent = offset
        return frames


class DownstreamModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.kit = Kit()
        self.logs = {channel: Log() for channel in CHANNELS}
        self.followers: dict[str, Follower] = {}
        self.pipe: list[list[Any]] = []
        self.inbox: dict[str, list[Any]] = {channel: [] for channel in CHANNELS}
        self.seen: dict[str, tuple[str, int] | None] = dict.fromkeys(CHANNELS)
        """(epoch, offset) up to which all was handed over or named as lost"""
        for channel in CHANNELS:
            self.kit.subscribe(channel)

    # the wire

    def carry_up(self) -> None:
        for frame in self.kit.frames():
            if frame[0] == "hello":
                for r, channel, *at in frame[1]["cursors"]:
                    if channel != "@":
                        self.follow(channel, r, at[0] if at else None)
            elif frame[0] == "sub":
                self.follow(frame[2], frame[1], frame[3] if len(frame) > 3 else None)
            elif frame[0] == "at":
                follower = self.followers[frame[1]]
                seen = self.seen[frame[1]]
                if seen is not None and seen[0] == follower.epoch:
                    assert follower.at <= frame[2] <= follower.sent  # again, where the server said something again
                elif not follower.at < frame[2] <= follower.sent:
                    continue  # it crossed the gap that tells of another epoch
                follower.at = frame[2]
                follower.flight = [offset for offset in follower.flight if offset > frame[2]]

    def follow(self, channel: str, r: int, at: list[Any] | None) -> None:
        assert (at is None) == (self.seen[channel] is None), "a cursor was forgotten, or invented"
        self.followers[channel] = Follower(self.logs[channel], r, at)

    def look(self) -> None:
        """Judge what the machine did with the last input."""
        for effect in self.kit.new:
            if isinstance(effect, do.Subscribed):
                if self.seen[effect.channel] is None:
                    self.seen[effect.channel] = (effect.epoch, effect.offset)
            elif isinstance(effect, do.Arrived):
                self.arrived(effect.item)
        assert not self.kit.of(do.Drop), self.kit.new
        self.carry_up()

    def arrived(self, item: do.Entry | do.Lost) -> None:
        channel = item.channel
        seen = self.seen[channel]
        assert seen is not None
        epoch, offset = seen
        if isinstance(item, do.Lost):
            assert item.epoch != epoch or item.to > offset
            self.seen[channel] = (item.epoch, item.to)
        else:
            assert item.epoch == epoch, "another epoch without a gap"
            missed = [o for o in self.logs[channel].history[epoch] if offset < o < item.offset]
            assert item.offset > offset, "twice, or out of order"
            assert not missed, "entries were passed over in silence"
            assert bytes(item.data) == str(item.offset).encode()
            self.seen[channel] = (epoch, item.offset)
        self.inbox[channel].append(item)

    # what happens

    @rule()
    def connect(self) -> None:
        kit = self.kit
        if kit.state in {State.OPEN, State.GREETING}:
            return
        self.pipe.clear()
        self.followers.clear()
        if kit.state is State.IDLE:
            kit.machine.connect(kit.now)
        else:
            kit.machine.retry_now(kit.now)
        kit.step()
        kit.opened()
        self.look()
        limits = {"credit": CREDIT}
        self.pipe.append(welcome("s", resumed=kit.machine.session == "s", limits=limits))

    @rule(n=st.integers(1, 12))
    @precondition(lambda self: self.kit.state in {State.OPEN, State.GREETING})
    def deliver(self, n: int) -> None:
        for _ in range(n):
            if not self.pipe:
                for channel, follower in self.followers.items():
                    for frame in follower.next_frames():
                        if frame[0] != "ok":
                            frame[1] = channel
                        self.pipe.append(frame)
            if not self.pipe:
                return
            self.kit.hear(*self.pipe.pop(0))
            self.look()

    @rule()
    @precondition(lambda self: self.kit.state in {State.OPEN, State.GREETING})
    def cut(self) -> None:
        self.kit.lose()

    @rule(channel=st.sampled_from(CHANNELS), n=st.integers(0, 5), answers=st.integers(0, 3))
    @precondition(lambda self: self.kit.state in {State.OPEN, State.GREETING})
    def flap(self, channel: str, n: int, answers: int) -> None:
        """Lose the link, get another, and handle something while it is being greeted or answered."""
        self.kit.lose()
        self.connect()
        if answers:
            self.deliver(answers)
        if n:
            self.handle(channel, n)

    @rule(channel=st.sampled_from(CHANNELS), steps=st.lists(st.sampled_from((1, 1, 1, 3)), min_size=1, max_size=8))
    def publish(self, channel: str, steps: list[int]) -> None:
        for step in steps:
            self.logs[channel].append(step)

    @rule(channel=st.sampled_from(CHANNELS), keep=st.integers(0, 5))
    def trim(self, channel: str, keep: int) -> None:
        self.logs[channel].trim(keep)

    @rule(channel=st.sampled_from(CHANNELS))
    def lose_log(self, channel: str) -> None:
        self.logs[channel].lose()

    @rule(channel=st.sampled_from(CHANNELS), n=st.integers(1, 5))
    def handle(self, channel: str, n: int) -> None:
        for _ in range(min(n, len(self.inbox[channel]))):
            item = self.inbox[channel].pop(0)
            offset = item.offset if isinstance(item, do.Entry) else item.to
            self.kit.handled(channel, item.epoch, offset)
            self.look()

    @rule()
    def tick(self) -> None:
        kit = self.kit
        if kit.state is State.OPEN:
            kit.tick(kit.now + 0.1)
            self.look()

    # what always holds

    @invariant()
    def cursor_is_not_beyond_what_was_handled(self) -> None:
        for reader in self.kit.machine._down:
            if reader.channel in CHANNELS and reader.handled is not None:
                for item in self.inbox[reader.channel]:
                    offset = item.offset if isinstance(item, do.Entry) else item.to
                    assert (reader.handled_epoch, reader.handled) != (item.epoch, offset)

    def teardown(self) -> None:
        """From here on everything is kind: all that is left must come, or be named."""
        self.connect()
        for _ in range(200):
            self.deliver(100)
            for channel in CHANNELS:
                self.handle(channel, 100)
            self.tick()
        for channel, log in self.logs.items():
            assert not self.inbox[channel]
            epoch, offset = self.seen[channel] or ("", 0)
            assert epoch == log.epoch
            assert offset >= max(log.trimmed, log.head if log.entries else 0), "the rest never came"


def test_once_in_order_or_gap() -> None:
    kind = settings(max_examples=150, stateful_step_count=60, deadline=None)
    run_state_machine_as_test(DownstreamModel, settings=kind)
