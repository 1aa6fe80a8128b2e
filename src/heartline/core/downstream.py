"""The client's way down: subscriptions, entries, gaps, credit (PROTOCOL 4).

Invariants:
- a subscription lives as long as somebody wants it, over any number of links (test_subscriptions_are_restored);
- the server hears `at` before half of its credit is used up (test_at_is_told_before_half_the_credit);
- an inbox that belonged to a lost session is named as a gap (test_lost_inbox_is_a_gap).
"""

from collections.abc import Callable, Iterator

from msgspec import UNSET, Struct

from .cursors import Follow, Reader, Take
from .effects import Arrived, Effect, Lost, MoveCursor, Subscribed, Unsubscribed, Volatile
from .frames import INBOX, At, Cursor, Gap, Msg, No, Now, Ok, Sub, Unsub, WelcomeBody


class Downstream:
    """Channels of one client machine. `write` takes a frame for the present link."""

    def __init__(self, effects: list[Effect], write: Callable[[Struct], None]) -> None:
        self._effects = effects
        self._write = write
        self._readers: dict[str, Reader] = {}
        self._asked: dict[int, Reader] = {}
        self._by_r: dict[int, Reader] = {}
        self._r = 0
        self._credit = 512
        self._credit_bytes = 256 << 10
        self._untold: set[str] = set()
        self.online = False

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

    def subscribe(self, reader: Reader) -> None:
        """Follow a channel from now on, replacing an earlier reader of it."""
        self._readers[reader.channel] = reader
        if self.online:
            self._ask(reader)

    def unsubscribe(self, channel: str) -> None:
        """Follow it no longer."""
        reader = self._readers.pop(channel, None)
        self._untold.discard(channel)
        if reader is None:
            return
        self._asked.pop(reader.r, None)
        self._by_r.pop(reader.r, None)
        if self.online and reader.follow is not Follow.OFFLINE:
            self._r += 1
            self._write(Unsub(self._r, channel))

    def cursors(self) -> list[Cursor]:
        """What hello asks to restore; request numbers begin anew with the link."""
        self._asked.clear()
        self._by_r.clear()
        self._untold.clear()
        self._r = 0
        return [self._request(reader) for reader in self._readers.values()]

    def welcomed(self, welcome: WelcomeBody, *, had_session: bool) -> None:
        """The link is up; the inbox begins, or begins anew."""
        self.online = True
        self._credit = welcome.limits.credit
        self._credit_bytes = welcome.limits.credit_bytes
        inbox = self._readers.get(INBOX)
        if inbox is None:
            inbox = self._readers[INBOX] = Reader(INBOX)
        epoch, offset = welcome.inbox.epoch, welcome.inbox.offset
        if not welcome.resumed:
            lost_from = inbox.handled
            fresh = self._readers[INBOX] = Reader(INBOX, epoch, offset)
            if had_session and lost_from is not None:
                fresh.unhandled = 1
                self._effects.append(Arrived(Lost(INBOX, epoch, 0, offset, "epoch")))
            inbox = fresh
        inbox.granted(epoch, offset)

    def lost(self) -> None:
        """The link is gone."""
        self.online = False
        for reader in self._readers.values():
            reader.follow = Follow.OFFLINE
        self._asked.clear()
        self._untold.clear()

    def ok(self, frame: Ok) -> None:
        """A subscription was granted."""
        reader = self._asked.pop(frame.r, None)
        epoch, offset = frame.body.epoch, frame.body.offset
        if reader is None or epoch is None or offset is UNSET:
            return
        reader.granted(epoch, offset)
        state = None if frame.body.state is UNSET else bytes(frame.body.state)
        self._effects.append(Subscribed(reader.channel, epoch, offset, state))

    def no(self, frame: No) -> None:
        """A subscription was refused or withdrawn: it is over."""
        reader = self._by_r.pop(frame.r, None)
        self._asked.pop(frame.r, None)
        if reader is None:
            return
        self._readers.pop(reader.channel, None)
        self._effects.append(Unsubscribed(reader.channel, frame.body.code, frame.body.message))

    def msg(self, frame: Msg) -> bool:
        """Take an entry; False when the server ran beyond the credit it gave itself."""
        reader = self._readers.get(frame.channel)
        if reader is None:
            return True
        take = reader.take(frame)
        if take is Take.HAND_OVER:
            self._effects.append(Arrived(reader.entry(frame)))
            return reader.unhandled <= self._credit + 16
        if take is Take.HOLE:
            self._ask(reader)
        return True

    def gap(self, frame: Gap) -> None:
        """Take a gap."""
        reader = self._readers.get(frame.channel)
        if reader is None or reader.follow is not Follow.LIVE:
            return
        lost = reader.gap(frame.body)
        if lost is not None:
            self._effects.append(Arrived(lost))

    def now(self, frame: Now) -> None:
        """Hand over a volatile message of a channel we follow."""
        if frame.channel in self._readers:
            self._effects.append(Volatile(frame.channel, frame.event, frame.data))

    def handled(self, channel: str, epoch: str, offset: int, size: int) -> bool:
        """The application is done with an item; whether a cursor moved."""
        reader = self._readers.get(channel)
        if reader is None or not reader.handle(epoch, offset, size):
            return False
        self._effects.append(MoveCursor(channel, epoch, offset))
        if reader.follow is Follow.LIVE:
            if reader.since_told * 4 >= self._credit or reader.since_told_bytes * 4 >= self._credit_bytes:
                self._tell(reader)
            else:
                self._untold.add(channel)
        return True

    def tell_all(self) -> None:
        """Say how far every channel was handled."""
        for channel in sorted(self._untold):
            reader = self._readers.get(channel)
            if reader is not None:
                self._tell(reader)
        self._untold.clear()

    def _tell(self, reader: Reader) -> None:
        self._untold.discard(reader.channel)
        offset = reader.tell()
        if offset is not None:
            self._write(At(reader.channel, offset))

    def _request(self, reader: Reader) -> Cursor:
        if reader.channel == INBOX:
            return reader.ask(0)
        self._r += 1
        self._by_r.pop(reader.r, None)
        request = reader.ask(self._r)
        self._asked[self._r] = self._by_r[self._r] = reader
        return request

    def _ask(self, reader: Reader) -> None:
        if reader.channel == INBOX:
            return
        request = self._request(reader)
        self._write(Sub(request.r, request.channel, request.at))
