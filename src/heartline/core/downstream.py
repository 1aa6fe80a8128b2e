"""The client's way down: subscriptions, entries, gaps, credit (PROTOCOL 4).

Invariants:
- a subscription lives as long as somebody wants it, over any number of links (test_subscriptions_are_restored);
- what is wanted or no longer wanted between hello and welcome is said after welcome
  (test_changes_while_greeting_are_said_after_welcome);
- the server hears `at` before half of its credit is used up, also of what was handled while it was being asked
  (test_at_is_told_before_half_the_credit);
- an application that does not read is given no more after a while, however many links and gaps there were, and
  loses nothing by it (test_who_does_not_read_is_not_swamped);
- what the server says again although it was handled is told again (test_what_is_said_again_is_told_again);
- an inbox that belonged to a lost session is named as a gap (test_lost_inbox_is_a_gap).
"""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import UNSET, Struct

from .back_off import Retry
from .cursors import Follow, Reader, Take
from .effects import Arrived, Effect, MoveCursor, Subscribed, Unsubscribed, Volatile
from .errors import BadFrame
from .frames import INBOX, At, Cursor, Gap, Msg, No, Now, Ok, Start, Sub, SubStart, Unsub, WelcomeBody

_HAND_OVER: Final = Take.HAND_OVER  # naming a member of an enum costs as much as a call on Python 3.11


class Downstream:
    """Channels of one client machine. `write` takes a frame for the present link."""

    def __init__(self, retry: Retry, effects: list[Effect], write: Callable[[Struct], None]) -> None:
        self._retry = retry
        self._effects = effects
        self._write = write
        self._readers: dict[str, Reader] = {}
        self._asked: dict[int, Reader] = {}
        self._by_r: dict[int, Reader] = {}
        self._in_hello: set[str] = set()
        self._r = 0
        self._credit = 512
        self._credit_bytes = 256 << 10
        self._untold: set[str] = set()
        self.online: bool = False

    @property
    def waiting(self) -> bool:
        """Whether an answer to a subscription is due."""
        return bool(self._asked)

    @property
    def untold(self) -> bool:
        """Whether something was handled that the server has not heard of."""
        return bool(self._untold)

    def __iter__(self) -> Iterator[Reader]:
        return iter(self._readers.values())

    # wanting

    def subscribe(self, reader: Reader) -> None:
        """Follow a channel from now on, replacing an earlier reader of it."""
        earlier = self._readers.get(reader.channel)
        if earlier is not None:
            self._retire(earlier)
        self._readers[reader.channel] = reader
        if self.online:
            self._ask(reader)

    def unsubscribe(self, channel: str) -> bool:
        """Follow it no longer; whether it was followed."""
        reader = self._readers.pop(channel, None)
        if reader is None:
            return False
        self._retire(reader)
        if self.online:
            self._unsub(channel)
        return True

    # links

    def cursors(self, *, resuming: bool) -> list[Cursor | Start]:
        """What hello asks to restore; request numbers begin anew with the link. An inbox belongs to its session."""
        self.lost()
        self._r = 0
        wanted = [r for r in self._readers.values() if resuming or r.channel != INBOX]
        self._in_hello = {r.channel for r in wanted}
        return [self._request(reader) for reader in wanted]

    def welcomed(self, welcome: WelcomeBody) -> None:
        """The link is up; the inbox begins, goes on or begins anew. Then say what changed since hello."""
        self.online = True
        self._credit = welcome.limits.credit
        self._credit_bytes = welcome.limits.credit_bytes
        self._begin_inbox(welcome)
        for channel in sorted(self._in_hello.difference(self._readers)):
            self._unsub(channel)
        for reader in self._readers.values():
            if reader.follow is Follow.OFFLINE:
                self._ask(reader)

    def lost(self) -> None:
        """The link is gone."""
        self.online = False
        for reader in self._readers.values():
            reader.follow = Follow.OFFLINE
            reader.r = 0
        self._asked.clear()
        self._by_r.clear()
        self._in_hello.clear()
        self._untold.clear()

    # frames

    def ok(self, frame: Ok) -> bool:
        """A subscription was granted; whether it is one we asked for. Raises BadFrame."""
        reader = self._asked.pop(frame.r, None)
        if reader is None:
            return False
        epoch, offset = frame.body.epoch, frame.body.offset
        if epoch is None or offset is UNSET:
            raise BadFrame("ok: a subscription needs epoch and offset")
        self._grant(reader, epoch, offset)
        state = None if frame.body.state is UNSET else bytes(frame.body.state)
        self._effects.append(Subscribed(reader.channel, epoch, offset, state))
        return True

    def no(self, frame: No) -> bool:
        """A subscription was refused or withdrawn: it is over. Whether it is one of ours."""
        reader = self._by_r.pop(frame.r, None)
        self._asked.pop(frame.r, None)
        if reader is None:
            return False
        del self._readers[reader.channel]
        self._untold.discard(reader.channel)
        self._effects.append(Unsubscribed(reader.channel, frame.body.code, frame.body.message))
        return True

    def msg(self, frame: Msg) -> bool:
        """Take an entry; False when the inbox has a hole: only another link closes it. Raises BadFrame."""
        reader = self._readers.get(frame.channel)
        if reader is None or reader.is_swamped(self._credit):
            return True
        take = reader.take(frame)
        if take is _HAND_OVER:
            if not self._retry.proven:
                self._retry.progressed()
            self._effects.append(Arrived(reader.entry(frame)))
            self._check_credit(reader)
        elif take is Take.DROP and reader.followed and reader.said_again(frame.offset):
            self._untold.add(frame.channel)
        elif take is Take.HOLE:
            if frame.channel == INBOX:
                return False
            self._ask(reader)
        return True

    def gap(self, frame: Gap) -> None:
        """Take a gap. Raises BadFrame."""
        reader = self._readers.get(frame.channel)
        if reader is None or not reader.followed or reader.is_swamped(self._credit):
            return
        lost = reader.gap(frame.body)
        if lost is not None:
            self._effects.append(Arrived(lost))
            self._check_credit(reader)

    def now(self, frame: Now) -> None:
        """Hand over a volatile message of a channel we follow."""
        if frame.channel in self._readers:
            self._effects.append(Volatile(frame.channel, frame.event, frame.data))

    # handling

    def handled(self, channel: str, epoch: str, offset: int, size: int) -> bool:
        """The application is done with everything up to an item; False when the inbox now has a hole, as in `msg`."""
        reader = self._readers.get(channel)
        if reader is None:
            return True
        self._move(reader, epoch, offset, size)
        if reader.has_room_again(self._credit) and self.online:
            if channel == INBOX:
                return False
            self._ask(reader)
        return True

    def _move(self, reader: Reader, epoch: str, offset: int, size: int) -> None:
        channel = reader.channel
        if not reader.handle(epoch, offset, size):
            return
        self._effects.append(MoveCursor(channel, epoch, offset))
        if not reader.followed:
            return
        if reader.since_told * 4 >= self._credit or reader.since_told_bytes * 4 >= self._credit_bytes:
            self._tell(reader)
        elif reader.untold:
            self._untold.add(channel)

    def tell_all(self) -> None:
        """Say how far every channel was handled."""
        for channel in sorted(self._untold):
            self._tell(self._readers[channel])

    # the inside

    def _begin_inbox(self, welcome: WelcomeBody) -> None:
        epoch, offset = welcome.inbox.epoch, welcome.inbox.offset
        inbox = self._readers.get(INBOX)
        if inbox is None:
            inbox = self._readers[INBOX] = Reader(INBOX)
        if welcome.resumed or inbox.handled is None:
            self._grant(inbox, epoch, offset)
            return
        lost = inbox.restart(epoch, 0, offset, "epoch")
        inbox.granted(epoch, offset)
        self._effects.append(MoveCursor(INBOX, inbox.handled_epoch or "", inbox.handled or 0))
        self._effects.append(Arrived(lost))

    def _grant(self, reader: Reader, epoch: str, offset: int) -> None:
        if reader.granted(epoch, offset):
            self._effects.append(MoveCursor(reader.channel, epoch, reader.handled or 0))
        if reader.untold:
            self._untold.add(reader.channel)

    def _check_credit(self, reader: Reader) -> None:
        if reader.overrun(self._credit, self._credit_bytes):
            raise BadFrame("more entries than the credit allows")

    def _tell(self, reader: Reader) -> None:
        self._untold.discard(reader.channel)
        offset = reader.tell()
        if offset is not None:
            self._write(At(reader.channel, offset))

    def _retire(self, reader: Reader) -> None:
        """What the server still says about this reader's request no longer matters."""
        self._asked.pop(reader.r, None)
        self._by_r.pop(reader.r, None)
        self._untold.discard(reader.channel)

    def _request(self, reader: Reader) -> Cursor | Start:
        if reader.channel == INBOX:
            return reader.ask(0)
        self._retire(reader)
        self._r += 1
        request = reader.ask(self._r)
        self._asked[self._r] = self._by_r[self._r] = reader
        return request

    def _ask(self, reader: Reader) -> None:
        request = self._request(reader)
        if isinstance(request, Cursor):
            self._write(Sub(request.r, request.channel, request.at))
        else:
            self._write(SubStart(request.r, request.channel))

    def _unsub(self, channel: str) -> None:
        self._r += 1
        self._write(Unsub(self._r, channel))
