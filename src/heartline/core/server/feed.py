"""What one link follows: positions, credit and fair catching up (PROTOCOL 4).

Invariants:
- no subscription runs further beyond its `at` than its credit, the link not beyond its total, but a lone entry always
  goes (test_credit_bounds_what_is_in_flight);
- catching up takes turns, the inbox first (test_catching_up_takes_turns_inbox_first);
- what history no longer holds is named as a gap before anything newer (test_trimmed_history_is_a_gap);
- the answer to a subscription comes from the log as it is now, never from memory
  (test_resubscription_is_answered_anew);
- what the client has handled before it is said again takes no credit for ever
  (test_what_is_handled_before_it_is_said_again_takes_no_credit).
"""

from typing import TYPE_CHECKING

from heartline.core.frames import INBOX, At, Failure, Gap, GapBody, No, Ok, OkBody
from heartline.core.ports import Slice
from heartline.core.states import check_move

from .bounds import Bounds
from .effects import Authorise, Head, Read
from .flow import FLOW_MOVES, Flow
from .tail import Batch, Mark, Tail, encode_entries

if TYPE_CHECKING:
    from .link import ServerLink

READ_ENTRIES = 64
READ_BYTES = 32 << 10


class Subscription:
    """One channel on one link. `sent` is the last offset written, `after` where the client asked to go on.

    `told` is the highest `at` heard in this epoch; None: another log has taken its place, and what the client says may
    still mean the old one.
    """

    __slots__ = (
        "after", "channel", "epoch", "feed", "flight", "flight_bytes", "flow", "later", "need", "oldest", "r", "sent",
        "tail", "told", "wanted",
    )  # fmt: skip

    def __init__(self, feed: "Feed", r: int, channel: str, after: tuple[str | None, int] | None) -> None:
        # What every delivery looks at comes first, side by side in memory.
        self.flow: Flow = Flow.ASKING
        self.epoch: str = ""
        self.sent: int = 0
        self.feed: Feed = feed
        self.flight: int = 0
        self.flight_bytes: int = 0
        self.oldest: Mark | None = None  # of what is in flight; mostly there is no other, and no list to look at
        self.later: list[Mark] | None = None
        self.need: int = 1
        self.r: int = r
        self.channel: str = channel
        self.after: tuple[str | None, int] | None = after
        self.tail: Tail | None = None
        self.told: int | None = 0
        self.wanted: bool = False

    @property
    def wire_name(self) -> str:
        """How the client calls the channel."""
        return INBOX if self.r == 0 else self.channel

    def go(self, new: Flow) -> None:
        """Move, if the table allows it."""
        check_move(FLOW_MOVES, self.flow, new)
        self.flow = new

    def take(self, batch: Batch, prev: int, now: float) -> bool:
        """Take credit for the entries of one turn, or fall behind for want of it or of an entry before them."""
        feed, mark = self.feed, batch.mark
        if prev > self.sent or not feed.lets(self, mark.count, mark.size):
            self.fall_behind()
            return False
        feed.take_credit(self, mark, now)
        return True

    def sending(self, mark: Mark) -> None:
        """A batch is on its way."""
        self.sent = mark.last
        self.flight += mark.count
        self.flight_bytes += mark.size
        if self.oldest is None:
            self.oldest = mark
        elif self.later is None:
            self.later = [mark]
        else:
            self.later.append(mark)

    def handled(self, offset: int) -> bool:
        """Let go of the batches up to an offset; whether there were any."""
        mark = self.oldest
        if mark is None or mark.last > offset:
            return False
        left = self.later or []
        done = 0
        while mark is not None and mark.last <= offset:
            self.flight -= mark.count
            self.flight_bytes -= mark.size
            mark = left[done] if done < len(left) else None
            done += 1
        self.oldest = mark
        self.later = left[done:] or None
        return True

    def fall_behind(self) -> None:
        """Read the log from here on; with nothing in flight no `at` would come to begin it."""
        self.go(Flow.BEHIND)
        self.feed.want(self)
        self.feed.read_on()


class Feed:
    """The subscriptions of one link."""

    __slots__ = (
        "_bounds", "_reading", "_starved", "_turns", "by_channel", "flight_bytes", "in_flight", "inbox",
        "link", "present",
    )  # fmt: skip

    def __init__(self, link: "ServerLink", bounds: Bounds) -> None:
        self.link: ServerLink = link
        self.in_flight: int = 0
        self.flight_bytes: int = 0
        self._bounds: Bounds = bounds
        self._turns: list[Subscription] | None = None
        self._reading: Subscription | None = None
        self._starved: dict[Subscription, None] | None = None
        self.present: dict[str, None] = {}
        self.inbox: Subscription | None = None
        self.by_channel: dict[str, Subscription] = {}
        """all but the inbox"""

    # requests

    def subscribe(self, r: int, channel: str, after: tuple[str | None, int] | None) -> None:
        """Begin, or begin anew, to follow a channel."""
        if channel in self.by_channel:
            self.end(channel)
        elif len(self.by_channel) >= self._bounds.subscriptions:
            self._no(r, "too_many", f"at most {self._bounds.subscriptions} subscriptions")
            return
        subscription = Subscription(self, r, channel, after)
        self.by_channel[channel] = subscription
        self.link.node.effects.append(Authorise(subscription))

    def follow_inbox(self, channel: str, cursor: tuple[str | None, int] | None, head: tuple[str, int]) -> None:
        """Follow the session's own channel, from the cursor of hello or from its head."""
        subscription = Subscription(self, 0, channel, cursor or head)
        self.inbox = subscription
        self.granted(subscription)  # also from the head: something may have come between reading it and following

    def granted(self, subscription: Subscription) -> None:
        """The application allows it: follow first, then ask for the head or read on."""
        node = self.link.node
        subscription.tail = node.follow(subscription)
        subscription.go(Flow.HEADING)
        if subscription.after is None:
            node.effects.append(Head(subscription))
        else:
            self._read(subscription, subscription.after[1])

    def refuse(self, subscription: Subscription, code: str, message: str) -> None:
        """The application refuses, or withdraws, the channel."""
        if self.by_channel.get(subscription.channel) is subscription:
            self.end(subscription.channel)
            self._no(subscription.r, code, message)

    def end(self, channel: str) -> None:
        """Follow a channel no longer."""
        subscription = self.by_channel.pop(channel, None)
        if subscription is not None:
            self._end(subscription)

    def _end(self, subscription: Subscription) -> None:
        subscription.go(Flow.ENDED)
        if self._starved is not None:
            self._starved.pop(subscription, None)
        self._give_back(subscription.flight, subscription.flight_bytes)
        if subscription.tail is not None:
            self.link.node.unfollow(subscription)
        if self._reading is subscription:
            self._reading = None
        self.read_on()

    def end_all(self) -> None:
        """The link is gone."""
        self._turns = self._starved = None
        for subscription in self.subscriptions():
            self._end(subscription)
        self.inbox = None
        self.by_channel.clear()

    def subscriptions(self) -> list[Subscription]:
        """All of them, the inbox first."""
        return ([] if self.inbox is None else [self.inbox]) + list(self.by_channel.values())

    # answers of the broker

    def headed(self, subscription: Subscription, epoch: str, offset: int, now: float) -> None:
        """The head of the channel, where a new subscription begins."""
        if subscription.flow is not Flow.HEADING:
            return
        subscription.epoch = epoch
        subscription.sent = offset
        self._ok(subscription, offset)
        self._settle_down(subscription, offset, now)

    def read(self, subscription: Subscription, piece: Slice, now: float) -> None:
        """A piece of the log."""
        if subscription.flow is Flow.HEADING:
            if self._begin(subscription, piece):
                return
        elif subscription.flow is Flow.READING:
            self._reading = None
            if piece.epoch != subscription.epoch:
                self._new_epoch(subscription, piece)
                subscription.fall_behind()
                return
        else:
            return
        if subscription.told is not None and subscription.told > subscription.sent:
            subscription.sent = max(subscription.sent, min(subscription.told, piece.head))
        if piece.trimmed > subscription.sent:
            self._gap(subscription, piece.trimmed, "history" if piece.kept else "none")
        self._write_entries(subscription, piece, now)
        self._settle_down(subscription, max(piece.head, subscription.sent), now)
        self.read_on()

    def at(self, frame: At, now: float) -> bool:
        """The client has handled a channel up to an offset; whether that moved anything."""
        subscription = self.inbox if frame.channel == INBOX else self.by_channel.get(frame.channel)
        if subscription is None:
            return False
        if frame.offset > subscription.sent:
            if subscription.told is None:
                return False
            subscription.told = max(subscription.told, frame.offset)  # handled before we said it again
        count, size = subscription.flight, subscription.flight_bytes
        if not subscription.handled(frame.offset):
            return False
        self._give_back(count - subscription.flight, size - subscription.flight_bytes)
        if subscription.flow is Flow.BEHIND:
            self.want(subscription)
        self.read_on()
        return True

    # writing

    def lets(self, subscription: Subscription, entries: int, size: int) -> bool:
        """Whether credit allows this much more."""
        flight = subscription.flight
        if not flight and entries == 1:
            return True
        bounds = self._bounds
        return (
            flight + entries <= bounds.credit
            and subscription.flight_bytes + size <= bounds.credit_bytes
            and self.flight_bytes + size <= bounds.link_credit_bytes
        )

    def write(self, subscription: Subscription, batch: Batch, now: float) -> None:
        """Write entries and take their credit."""
        self.take_credit(subscription, batch.mark, now)
        self.link.say_batch(batch)

    def take_credit(self, subscription: Subscription, mark: Mark, now: float) -> None:
        """Entries are being written."""
        subscription.sending(mark)
        subscription.need = 1
        if not self.in_flight:
            self.link.life.awaiting(True, now)
        self.in_flight += mark.count
        self.flight_bytes += mark.size

    # catching up

    def want(self, subscription: Subscription) -> None:
        """Queue a subscription that is behind for its turn, if it has credit; the inbox jumps the queue."""
        if subscription.wanted:
            return
        if not self.lets(subscription, 1, subscription.need):
            self._starve(subscription)
            return
        subscription.wanted = True
        if self._turns is None:
            self._turns = [subscription]
        elif subscription.r == 0:
            self._turns.insert(0, subscription)
        else:
            self._turns.append(subscription)

    def _starve(self, subscription: Subscription) -> None:
        if self._starved is None:
            self._starved = {}
        self._starved[subscription] = None

    def read_on(self) -> None:
        """Read the next piece for whoever's turn it is; one at a time."""
        while self._reading is None and self._turns:
            subscription = self._turns.pop(0)
            subscription.wanted = False
            if subscription.flow is not Flow.BEHIND:
                continue
            if not self.lets(subscription, 1, subscription.need):
                self._starve(subscription)
                continue
            subscription.go(Flow.READING)
            self._reading = subscription
            self._read(subscription, subscription.sent)

    def _read(self, subscription: Subscription, after: int) -> None:
        bounds = self._bounds
        entries = max(1, min(READ_ENTRIES, bounds.credit - subscription.flight))
        size = max(1, min(READ_BYTES, bounds.credit_bytes - subscription.flight_bytes))
        self.link.node.effects.append(Read(subscription, after, entries, size))

    def _write_entries(self, subscription: Subscription, piece: Slice, now: float) -> None:
        entries = [e for e in piece.entries if e.offset > subscription.sent]
        codec = self.link.node.codec
        while entries:
            batch = encode_entries(codec, subscription.wire_name, entries)
            size = batch.mark.size
            if self.lets(subscription, len(entries), size):
                self.write(subscription, batch, now)
                return
            subscription.need = size
            entries = entries[: len(entries) // 2]

    def _give_back(self, count: int, size: int) -> None:
        """Credit is free again: those who wait for that of the link get their turns."""
        self.in_flight -= count
        self.flight_bytes -= size
        if not self.in_flight:
            self.link.life.awaiting(False, self.link.node.now)
        if self._starved and count:
            starved, self._starved = self._starved, None
            for subscription in starved:
                if subscription.flow is Flow.BEHIND:
                    self.want(subscription)

    def _settle_down(self, subscription: Subscription, head: int, now: float) -> None:
        """Join the live end when nothing is missing, else wait for the next turn."""
        tail = subscription.tail
        passed = tail is not None and tail.is_passed_by(subscription.epoch, subscription.sent)
        if subscription.sent >= head and not passed:
            subscription.go(Flow.LIVE)
        else:
            subscription.fall_behind()

    # answers to the client

    def _begin(self, subscription: Subscription, piece: Slice) -> bool:
        """Answer a subscription with a cursor; whether the log must be read again from its start."""
        assert subscription.after is not None
        epoch, offset = subscription.after
        if epoch is not None and epoch != piece.epoch:
            subscription.epoch = piece.epoch
            self._ok(subscription, 0)
            self._new_epoch(subscription, piece)
            subscription.fall_behind()
            return True
        subscription.epoch = epoch if subscription.r == 0 and epoch else piece.epoch  # of an inbox the copy kept anyway
        subscription.sent = offset
        self._ok(subscription, offset)
        return False

    def _new_epoch(self, subscription: Subscription, piece: Slice) -> None:
        """The log was lost and began anew: say so, and go on from the new one's beginning."""
        subscription.epoch = piece.epoch
        subscription.told = None
        subscription.sent = 0
        subscription.oldest = subscription.later = None
        count, size = subscription.flight, subscription.flight_bytes
        subscription.flight = subscription.flight_bytes = 0
        self._give_back(count, size)
        self._gap(subscription, 0, "epoch")

    def _gap(self, subscription: Subscription, to: int, reason: str) -> None:
        body = GapBody(subscription.epoch, subscription.sent, to, reason)
        subscription.sent = to
        self.link.say(self.link.node.codec.encode(Gap(subscription.wire_name, body)))

    def _ok(self, subscription: Subscription, offset: int) -> None:
        if subscription.r == 0:
            return
        body = OkBody(epoch=subscription.epoch, offset=offset)
        state = self.link.node.snapshot(subscription.channel)
        if state is not None:
            body.state = state
        self.link.say(self.link.node.codec.encode(Ok(subscription.r, body)))

    def _no(self, r: int, code: str, message: str) -> None:
        self.link.say(self.link.node.codec.encode(No(r, Failure(code, message))))
