"""One link on the server: handshake, frames, heartbeat (PROTOCOL 2, 3, 5).

Invariants:
- nothing numbered is taken before welcome (test_nothing_numbered_before_welcome);
- what a closed or fenced link says has no effect, and nothing more is written to it (test_old_link_is_fenced);
- rubbish closes this link with 4200 and disturbs nobody else (test_rubbish_closes_one_link);
- the handshake ends in time or the link does (test_handshake_has_a_time_limit);
- the heartbeat of a dialect is what the dialect says, whatever the node's is
  (test_a_dialect_has_its_own_heartbeat).
"""

from typing import TYPE_CHECKING, Final, cast

from msgspec import Raw, Struct

from heartline.core.codes import Code
from heartline.core.errors import BadFrame
from heartline.core.frames import (
    INBOX,
    Ack,
    At,
    Bye,
    Call,
    Expiring,
    ExpiringBody,
    Failure,
    Hello,
    HelloBody,
    Login,
    No,
    Ok,
    OkBody,
    Ping,
    Pong,
    Pub,
    Refused,
    RefusedBody,
    Send,
    Settled,
    Sub,
    Unsub,
)
from heartline.core.liveness import Act, Liveness, Pulse
from heartline.core.names import is_name
from heartline.core.outbox import Kind
from heartline.core.policy import Heartbeat
from heartline.core.states import LINK_MOVES, LinkState, check_move

from .effects import CloseLink, Judge
from .feed import Feed
from .presence import WHO
from .session import Lane
from .tail import Batch
from .wheel import Sleeper

if TYPE_CHECKING:
    from .node import Node
    from .session import Pending, Session

RENEW_AHEAD = 30.0

# On Python 3.11 naming a member of an enum costs as much as a call: the hot paths name theirs once.
# Compiled code looks every global up by its name but a Final.
_At: Final[type] = At
_Call: Final[type] = Call
_Ping: Final[type] = Ping
_Pong: Final[type] = Pong
_Pub: Final[type] = Pub
_Send: Final[type] = Send
_Settled: Final[type] = Settled
_CALL: Final = Kind.CALL
_SEND: Final = Kind.SEND
_PUB: Final = Kind.PUB
_FREE: Final = Lane.FREE
_ALONE: Final = Lane.ALONE
_CALM: Final = Pulse.CALM
_DEAD: Final = Act.DEAD
_PING: Final = Act.PING
_CLOSED: Final = LinkState.CLOSED
_LIVE: Final = LinkState.LIVE


class ServerLink(Sleeper):
    """One socket as the node sees it.

    The shell writes what `out` holds, in order, and empties it, also before it closes; it keeps its own in `socket`.
    `pipe`, where the shell gives one, is what the node's outlet writes to.
    """

    __slots__ = (
        "_about_expiry",
        "_ahead",
        "_frames",
        "_frames_from",
        "congested",
        "feed",
        "hello",
        "info",
        "last_number",
        "life",
        "node",
        "opened_at",
        "out",
        "pipe",
        "released",
        "retries",
        "session",
        "socket",
        "state",
        "transient",
        "words",
    )  # fmt: skip

    def __init__(self, node: "Node", info: object, now: float, transient: Heartbeat | None = None) -> None:
        super().__init__()
        # What every message and every delivery looks at comes first, side by side in memory.
        self.node: Node = node
        self.state: LinkState = LinkState.FRESH
        self.session: Session | None = None
        self.life: Liveness = Liveness(transient or node.heartbeat, now)
        self._frames = 0
        self.last_number: int = 0
        self.out: list[bytes | Batch] = []
        self.pipe: object = None
        self.socket: object = None
        self.feed: Feed = Feed(self, node.bounds)
        self.info: object = info
        self.hello: HelloBody | None = None
        self.opened_at: float = now
        self.transient: Heartbeat | None = transient
        """the heartbeat of a dialect that cannot resume: sessions of such links end with them"""
        self.words: object = None
        """what the last login that was accepted says back to the client, where the dialect can say it"""
        self.congested: bool = False
        self.retries: int = 0
        self.released: int | None = None
        self._frames_from = now
        self._about_expiry = False
        self._ahead = RENEW_AHEAD

    # what the shell and the node read

    @property
    def inbox(self) -> str:
        """The name of this link's inbox in the log."""
        return f"{INBOX}{self.session.id}" if self.session is not None else INBOX

    def next_deadline(self) -> float | None:
        """When `wake` has something to do."""
        state = self.state
        if state is _CLOSED:
            return None
        if state is not _LIVE:
            return min(self.opened_at + self.node.limits.hello_timeout, self.life.next_deadline())
        at = self.life.next_deadline()
        session = self.session
        if session is not None and session.expires_at is not None:
            expiry = session.expires_at if self._about_expiry else session.expires_at - self._ahead
            at = min(at, expiry)
        return at

    # writing

    def say(self, payload: bytes) -> None:
        """Write one frame."""
        if self.state is not _CLOSED:
            if not self.out:
                self.node.dirty.append(self)
            self.out.append(payload)

    def say_frame(self, frame: Struct) -> None:
        """Encode and write one frame."""
        self.say(self.node.codec.encode(frame))

    def say_batch(self, batch: Batch) -> None:
        """Write entries that go to many links."""
        if self.state is not _CLOSED:
            if not self.out:
                self.node.dirty.append(self)
            self.out.append(batch)

    def has_more_to_say(self, acking: "dict[ServerLink, None] | None") -> bool:
        """Whether entries for many have to wait in `out`: for what is there already, or for an acknowledgement."""
        return self.pipe is None or bool(acking and self in acking) or bool(self.node.dirty and self.out)

    def close(self, code: int, reason: str) -> None:
        """Leave this link: nothing it says later matters."""
        if self.state is LinkState.CLOSED:
            return
        self.node.effects.append(CloseLink(self, int(code), reason[:120]))
        self.ended()

    def ended(self) -> None:
        """The link is gone, or is given up."""
        if self.state is LinkState.CLOSED:
            return
        self.go(LinkState.CLOSED)
        self.feed.end_all()
        self.hello = self.info = None
        session, self.session = self.session, None
        self.node.link_ended(self, session)

    def refuse(self, code: str, message: str, retry: float | bool, close_code: int) -> None:
        """Say why there is no session, and close."""
        self.say_refused(code, message, retry)
        self.close(close_code, code)

    def say_refused(self, code: str, message: str, retry: float | bool) -> None:
        """Say why a login, or its renewal, is refused."""
        self.say_frame(Refused(RefusedBody(code, message, retry)))

    def go(self, new: LinkState) -> None:
        """Move, if the table allows it."""
        check_move(LINK_MOVES, self.state, new)
        self.state = new

    # reading

    def received(self, data: bytes, now: float, at_once: bool = False) -> "Pending | None":
        """One text message; the one to start now, if `at_once` is asked for (see `Node.received`)."""
        state, node, life = self.state, self.node, self.life
        if now > node.now:
            node.now = now
        else:
            now = node.now
        if state is _CLOSED:
            return None
        message = None
        probing = life.pulse is not _CALM
        if probing:
            life.heard(now)
        else:  # as life.heard() would, without the call: nothing is hotter than this
            life.heard_at = now
        try:
            self._frames += 1
            if self._frames > node.bounds.frames:
                self._count(now)
            frame = node.decode(data)
            if state is not _LIVE:
                self._greet(frame, now)
            elif type(frame) is _Call:
                message = self._accept(cast("Call", frame), _CALL, at_once, now)
            elif type(frame) is _Send:
                message = self._accept(cast("Send", frame), _SEND, at_once, now)
            else:
                self._take(frame, now)
        except BadFrame as error:
            node.trace("server.bad_frame", {"reason": str(error)})
            self.close(Code.BAD_FRAME, str(error))
        if probing and life.pulse is _CALM:
            node.wheel.schedule(self)  # with a time-out above the interval the next ping is due before it
        return message

    def wake(self, now: float) -> None:
        """Do what is due."""
        state = self.state
        if state is _CLOSED:
            return
        if state is not _LIVE and now >= self.opened_at + self.node.limits.hello_timeout:
            self.close(Code.HELLO_TIMEOUT, "no end of the handshake in time")
            return
        self._watch_expiry(now)
        act = self.life.tick(now)
        if act is _PING:
            self.say(self.node.pings.of(self.life.t))
        elif act is _DEAD:
            self.close(Code.PEER_SILENT, "nothing was heard from the client")

    def renewed(self, expires_in: float | None, now: float) -> None:
        """The renewed credentials were accepted."""
        self.credentials_hold(expires_in, now)
        self.say_frame(Ok(0, OkBody(expires_in=expires_in)))

    def credentials_hold(self, expires_in: float | None, now: float) -> None:
        """Take note of how long; renewal is asked for before, but not before half of the time is over."""
        assert self.session is not None
        self.session.expires_at = None if expires_in is None else now + expires_in
        self._ahead = RENEW_AHEAD if expires_in is None else min(RENEW_AHEAD, expires_in / 2)
        self._about_expiry = False

    def _watch_expiry(self, now: float) -> None:
        session = self.session
        if session is None or session.expires_at is None:
            return
        if now >= session.expires_at:
            self.close(Code.LOGIN_EXPIRED, "the credentials ran out")
        elif not self._about_expiry and now >= session.expires_at - self._ahead:
            self._about_expiry = True
            self.say_frame(Expiring(ExpiringBody(max(0.0, session.expires_at - now))))

    def _count(self, now: float) -> None:
        """So many frames have come: bound them a second, whatever they are."""
        if now - self._frames_from < 1.0:
            self.close(Code.FLOODING, "too many frames a second")
            raise BadFrame("too many frames a second")
        self._frames = 0
        self._frames_from = now

    def _greet(self, frame: Struct, now: float) -> None:
        if isinstance(frame, Ping):
            self.say_frame(Pong(frame.t))
        elif isinstance(frame, Pong):
            self.life.pong(frame.t, now)
        elif isinstance(frame, Bye):
            self.close(Code.ENDED, "bye")
        elif self.state is not LinkState.FRESH:
            raise BadFrame("nothing but ping, pong and bye before welcome")
        elif isinstance(frame, Hello):
            self._hello(frame.body)
        else:
            if self.node.open_anonymous(self):
                self._take(frame, now)

    def _hello(self, body: HelloBody) -> None:
        if (body.session is None) != (body.key is None):
            raise BadFrame("session and key come together or not at all")
        self.hello = body
        self.go(LinkState.JUDGING)
        self.node.effects.append(Judge(self, Raw(bytes(body.login)), False))

    def agree(self, wish: Heartbeat | None) -> Heartbeat:
        """The heartbeat of this link: its dialect's, or the client's wish within the server's bounds."""
        agreed = self.transient or _within_bounds(wish, self.node.heartbeat)
        self.life.agree(agreed)
        return agreed

    # frames of a live link, the frequent ones first

    def _take(self, frame: Struct, now: float) -> None:
        kind = type(frame)
        if kind is _At:
            if self.feed.at(cast("At", frame), now):
                self.life.progress(now)
                self.life.awaiting(self.feed.in_flight > 0, now)
        elif kind is _Pong:
            self.life.pong(cast("Pong", frame).t, now)
        elif kind is _Pub:
            self._publish(cast("Pub", frame))
        elif kind is _Settled:
            self._settled(cast("Settled", frame).floor)
        elif kind is _Ping:
            self.say_frame(Pong(cast("Ping", frame).t))
        elif kind is _Call or kind is _Send:
            self._accept(cast("Call", frame), _CALL if kind is _Call else _SEND)
        else:
            self._take_rare(frame, now)

    def _take_rare(self, frame: Struct, now: float) -> None:
        if isinstance(frame, Sub):
            self._subscribe(frame)
        elif isinstance(frame, Unsub):
            if is_name(frame.channel.removeprefix(WHO)):
                self.node.left(self, frame.channel, now)
                self.feed.end(frame.channel)
            self.say_frame(Ok(frame.r, OkBody()))
        elif isinstance(frame, Login):
            self.node.effects.append(Judge(self, Raw(bytes(frame.payload)), True))
        elif isinstance(frame, Bye):
            self.node.end_session(self.session, "bye")
        else:
            raise BadFrame("hello comes first or never")

    def _accept(
        self, frame: Call | Send | Pub, kind: Kind, at_once: bool = False, now: float = 0.0, target: str = ""
    ) -> "Pending | None":
        """Take a numbered frame; the message to start now, if `at_once`, or None."""
        session, node = self.session, self.node
        assert session is not None
        n, event = frame.n, frame.event
        if n <= self.last_number:
            raise BadFrame("numbers rise on a link")
        self.last_number = n
        if kind is _PUB:
            lane = node.lane_of(event, target)
        else:
            lane = _FREE if event in node.overlapping else _ALONE
        start_at = None if not at_once or session.pending or node.ready or node.effects else now
        message = session.accept(n, kind, event, frame.data, target, lane, start_at)
        if message is None:
            node.touch(self)
        elif message.running:
            return message
        else:
            node.wake(session)
        return None

    def _publish(self, frame: Pub) -> None:
        if not is_name(frame.event):
            raise BadFrame("an event name of 1 to 255 characters without '@' in front or control characters")
        if not is_name(frame.channel):
            raise BadFrame("a channel name of 1 to 255 characters without '@' in front or control characters")
        self._accept(frame, _PUB, target=frame.channel)

    def _settled(self, floor: int) -> None:
        assert self.session is not None
        self.session.settled(floor)

    def _subscribe(self, frame: Sub) -> None:
        name = frame.channel
        if not is_name(name.removeprefix(WHO)):
            self.say_frame(No(frame.r, Failure("invalid", "not a channel name")))
            return
        self.feed.subscribe(frame.r, name, frame.at)

    # handshake

    def restore(self, hello: HelloBody) -> None:
        """Begin the inbox and the subscriptions of hello."""
        for cursor in hello.cursors:
            if cursor.channel == INBOX:
                continue
            if cursor.r == 0:
                raise BadFrame("r = 0 is the inbox")
            self._subscribe(Sub(cursor.r, cursor.channel, cursor.at))

    def flush_ack(self) -> None:
        """Say how far everything has ended, once a turn."""
        session = self.session
        if session is not None:
            n = session.ack()
            if n is not None:
                session.say(self.node.codec.encode(Ack(n)))


def _within_bounds(wish: Heartbeat | None, mine: Heartbeat) -> Heartbeat:
    """A client's wish, as far as this server goes along with it."""
    if wish is None:
        return mine
    interval = min(max(wish.interval, min(5.0, mine.interval)), max(60.0, mine.interval))
    timeout = min(max(wish.timeout, min(2.0, mine.timeout)), max(30.0, mine.timeout))
    return mine if interval == mine.interval and timeout == mine.timeout else Heartbeat(interval, timeout)
