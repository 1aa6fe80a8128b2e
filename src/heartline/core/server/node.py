"""One server process: its links, sessions, channels, and the order in which things happen (design §3, §4, §6).

Call an input with `now`; carry out `drain()` in order; write what the links in `take_dirty()` hold; start what
`next_start()` gives; at the end of the turn call `flush()` and carry out and write again.

Invariants:
- effects come in the order of their causes (test_effects_keep_the_order_of_causes);
- a session that is not resumed in time is forgotten; when there are too many the oldest is, or, where it is on disk,
  let go of until its client comes (test_detached_sessions_are_bounded, test_saved_sessions_may_leave_memory);
- handlers of a session survive its links (test_lost_link_cancels_nothing);
- where none can come back, what was accepted ends first (test_what_was_accepted_ends_before_its_session).
"""

from collections import deque
from collections.abc import Callable, Iterable

from msgspec import Raw

from heartline.core.codes import Code
from heartline.core.frames import INBOX, Move, MoveBody, Now, UpFrame
from heartline.core.policy import Heartbeat, ServerLimits
from heartline.core.ports import LogEntry, ServerCodec, SessionRecord, Slice
from heartline.core.states import LinkState

from .bounds import Bounds, bounds_of
from .effects import Follow, ForgetSession, Released, Save, ServerEffect, SessionDetached, Unfollow
from .feed import Subscription
from .flow import Flow
from .handshake import Handshake
from .link import ServerLink
from .pings import Pings
from .presence import WHO, Presence
from .session import Lane, Pending, Session
from .tail import Outlet, Tail
from .turns import Turns
from .verdicts import Accepted, RefusedLogin
from .wheel import EVERYONE, Wheel, grain_of


class Node:
    """The pure server.

    `new_id` gives ids and keys of 128 random bits; `overlapping` are the events whose messages overlap with all others
    (the shell's own set: it may grow); `lane_of(event, channel)` tells what a publication overlaps with; `wall_time` is seconds since 1970, for welcome; `heartbeats` are those of the links opened as transient.
    """

    def __init__(
        self,
        name: str,
        codec: ServerCodec,
        limits: ServerLimits,
        heartbeat: Heartbeat,
        new_id: Callable[[], str],
        *,
        durable: bool = False,
        anonymous: bool = True,
        overlapping: set[str] | None = None,
        lane_of: Callable[[str, str], Lane] = lambda _event, _channel: Lane.ALONE,
        wall_time: Callable[[], float] = lambda: 0.0,
        about: str = "heartline",
        presence_grace: float = 15.0,
        heartbeats: Iterable[Heartbeat] = (),
        trace: Callable[[float, str, dict[str, object]], None] | None = None,
    ) -> None:
        self.name = name
        self.codec = codec
        self.decode: Callable[[bytes], UpFrame] = codec.decode
        self.limits = limits
        self.bounds: Bounds = bounds_of(limits)
        self.pings: Pings = Pings(codec)
        self.heartbeat = heartbeat
        self.new_id = new_id
        self.durable = durable
        self._session_ttl = limits.time_to_resume(durable=durable)
        self.anonymous = anonymous
        self.overlapping: set[str] = set() if overlapping is None else overlapping
        self.lane_of = lane_of
        self.wall_time = wall_time
        self.about = about
        self.now: float = 0.0
        self.effects: list[ServerEffect] = []
        self.dirty: list[ServerLink] = []
        self.outlet: Outlet | None = None  # the shell's, if it gives one: told at once what goes to many
        self._turns = Turns()
        self.ready: deque[Session] = self._turns.ready
        self.next_start: Callable[[float], Pending | None] = self._turns.next_start
        """the next message to start; call again until None, within the turn's budget"""
        self.links: dict[ServerLink, None] = {}
        self.sessions: dict[str, Session] = {}
        self.by_identity: dict[str, dict[Session, None]] = {}
        self.detached: dict[str, Session] = {}
        self.tails: dict[str, Tail] = {}
        self.unsaved: dict[str, Session] = {}
        self.presence: Presence = Presence(self.effects, presence_grace)
        self.wheel: Wheel = Wheel(grain_of(heartbeat, *heartbeats))
        self._handshake = Handshake(self)
        self._trace = trace
        self._fresh: dict[Tail, None] = {}
        self._acking: dict[ServerLink, None] = {}
        self._releasing: dict[str, int] = {}
        self._parting: dict[Session, None] = {}

    # what the shell reads

    def drain(self) -> list[ServerEffect]:
        """Take the effects that have come up, in order."""
        effects = self.effects[:]
        self.effects.clear()
        return effects

    def take_dirty(self) -> list[ServerLink]:
        """Take the links with something to write in `out`; the caller empties each `out`."""
        dirty = self.dirty[:]
        self.dirty.clear()
        return dirty

    def next_deadline(self) -> float | None:
        """When to call `tick`."""
        moments = [self.wheel.next_deadline(), self.presence.next_deadline(), self._turns.next_deadline()]
        if self.detached:
            moments.append(next(iter(self.detached.values())).detached_at + self._session_ttl)
        return min((at for at in moments if at is not None), default=None)

    @property
    def wants_flush(self) -> bool:
        """Whether the end of this turn has something to do."""
        if self._fresh or self._acking:
            return True
        return bool(self.unsaved) and any(not s.writing for s in self.unsaved.values())

    @property
    def throttled(self) -> bool:
        """Whether a session waits for its rate to let the next message start."""
        return self._turns.throttled

    def trace(self, what: str, details: dict[str, object]) -> None:
        """Report something that matters; never a secret, never a payload."""
        if self._trace is not None:
            self._trace(self.now, what, details)

    # inputs from sockets

    def open(self, info: object, now: float, transient: Heartbeat | None = None) -> ServerLink:
        """A socket is open. `info` goes to the application; `transient`: the heartbeat of who cannot resume."""
        self._tell_time(now)
        link = ServerLink(self, info, self.now, transient)
        self.links[link] = None
        self.wheel.schedule(link)
        return link

    def received(self, link: ServerLink, data: bytes, now: float, at_once: bool = False) -> Pending | None:
        """One text message of a link.

        With `at_once` the caller starts what is returned before any other input: a message that nothing stands before.
        Without, or when something does, `next_start` will give it.
        """
        return link.received(data, now, at_once)

    def alive(self, link: ServerLink, now: float) -> None:
        """A sign of life that is no frame of ours."""
        self._tell_time(now)
        link.life.heard(self.now)

    def lost(self, link: ServerLink, now: float) -> None:
        """The socket is gone."""
        self._tell_time(now)
        link.ended()

    # answers

    def judged(self, link: ServerLink, verdict: Accepted | RefusedLogin, now: float) -> None:
        """The answer to `Judge`."""
        self._tell_time(now)
        self._handshake.judged(link, verdict, self.now)
        self.wheel.schedule(link)

    def loaded(self, link: ServerLink, record: SessionRecord | None, now: float) -> None:
        """The answer to `Load`."""
        self._tell_time(now)
        self._handshake.loaded(link, record)

    def released(self, link: ServerLink, released: bool, now: float) -> None:
        """The answer to `Release`."""
        self._tell_time(now)
        self._handshake.released(link, released)

    def swapped(self, link: ServerLink, written: bool, now: float) -> None:
        """The answer to `Swap`."""
        self._tell_time(now)
        self._handshake.swapped(link, written)

    def inbox_headed(self, link: ServerLink, epoch: str, offset: int, now: float) -> None:
        """The answer to `HeadInbox`."""
        self._tell_time(now)
        self._handshake.inbox_headed(link, epoch, offset, self.now)
        self.wheel.schedule(link)

    def saved(self, session: Session, revision: int, written: bool, now: float) -> None:
        """The answer to `Save`; not written means that another owner has taken the session over."""
        self._tell_time(now)
        session.writing -= 1
        if not written:
            self.fence(session)
            return
        session.saved(revision)
        if 0 < self._releasing.get(session.id, 0) <= revision:
            self.fence(session)

    def authorised(self, subscription: Subscription, code: str | None, message: str = "", who: bool = False) -> None:
        """The answer to `Authorise`: code None allows; `who` when the channel has presence."""
        feed = subscription.feed
        if subscription.flow is Flow.ENDED:
            return
        if code is not None:
            self.left(feed.link, subscription.channel, self.now)
            feed.refuse(subscription, code, message)
        elif subscription.flow is Flow.ASKING:
            session = feed.link.session
            if who and session is not None:
                self.presence.join(subscription.channel, session.member, session.id)
                feed.present[subscription.channel] = None
            feed.granted(subscription)

    def headed(self, subscription: Subscription, epoch: str, offset: int, now: float) -> None:
        """The answer to `Head`."""
        self._tell_time(now)
        subscription.feed.headed(subscription, epoch, offset, self.now)

    def read(self, subscription: Subscription, piece: Slice, now: float) -> None:
        """The answer to `Read`."""
        self._tell_time(now)
        subscription.feed.read(subscription, piece, self.now)

    # inputs from the application and the broker

    def finished(self, message: Pending, payload: bytes | None, now: float) -> None:
        """A handler ended: with the frame to say (reply or fail), or well and silently (None)."""
        if now > self.now:
            self.now = now
        session = message.session
        if not session.finish(message, payload):
            return
        if session.unacked > session.acked and session.link is not None:
            self._acking[session.link] = None
        if session.queue:
            self.wake(session)
        if self._releasing and session.id in self._releasing:
            self._try_release(session)
        if self._parting and session in self._parting:
            self._part(session)

    def announced(self, channel: str, entry: LogEntry, now: float) -> None:
        """The broker announced an entry of a channel that is followed here."""
        self._tell_time(now)
        tail = self.tails.get(channel)
        if tail is not None:
            self._fresh[tail] = None
            if tail.announce(entry):
                del self._fresh[tail]
                tail.flush(self.codec, self.now)

    def volatile(self, channel: str, event: str, data: bytes) -> None:
        """Tell the followers of a channel something that may be dropped."""
        tail = self.tails.get(channel)
        if tail is None:
            return
        payload = self.codec.encode(Now(channel, event, Raw(data)))
        for subscription in tail.followers:
            link = subscription.feed.link
            if subscription.flow is not Flow.ASKING and not link.congested:
                link.say(payload)

    def tell_now(self, session: Session, event: str, data: bytes, may_drop: bool = True) -> None:
        """Tell one session something that has no offset; `may_drop` where its link takes no more at the moment."""
        link = session.link
        if link is not None and not (may_drop and link.congested):
            link.say(self.codec.encode(Now(INBOX, event, Raw(data))))

    def revoke(self, session: Session, channel: str, code: str, message: str) -> None:
        """Take a channel away from a session."""
        if session.link is not None:
            subscription = session.link.feed.by_channel.get(channel)
            if subscription is not None and subscription.r:
                self.left(session.link, channel, self.now)
                session.link.feed.refuse(subscription, code, message)

    def end_session(self, session: Session | None, reason: str) -> None:
        """Destroy a session and close its link with 4203."""
        if session is None or session.id not in self.sessions:
            return
        link = session.link
        if link is not None:
            for channel in sorted(link.feed.present):
                self.left(link, channel, self.now)
        self.remove(session)
        session.fenced = True
        if link is not None:
            link.close(Code.ENDED, reason)
        self.effects.append(ForgetSession(session))

    def release(self, session_id: str, now: float) -> None:
        """Another node wants the session: start nothing more, finish what runs, write the record, let go."""
        self._tell_time(now)
        session = self.sessions.get(session_id)
        if session is None:
            self.effects.append(Released(session_id))
            return
        self._releasing.setdefault(session_id, 0)
        session.queue.clear()
        if session.link is not None:
            session.link.close(Code.MOVED, "the session moves to another node")
        self._try_release(session)

    def drain_links(self, after: float, spread: float) -> None:
        """Ask every client to move away within `after + spread` seconds."""
        frame = self.codec.encode(Move(MoveBody(after, spread)))
        for link in self.links:
            if link.state is LinkState.LIVE:
                link.say(frame)

    def close_links(self, code: int, reason: str) -> None:
        """Close every link."""
        for link in list(self.links):
            link.close(code, reason)

    def flush(self, now: float) -> None:
        """The end of a turn: fan out, acknowledge, write records ahead."""
        self._tell_time(now)
        fresh, self._fresh = self._fresh, {}
        # What more is to be said to a link in this turn leaves together with its entries.
        outlet = self.outlet if len(fresh) == 1 else None
        for tail in fresh:
            tail.flush(self.codec, self.now, outlet, self._acking)
        acking, self._acking = self._acking, {}
        for link in acking:
            link.flush_ack()
        if self.unsaved:
            self._save()

    def tick(self, now: float, most: int = EVERYONE) -> bool:
        """Do what is due, for so many links at most; whether there may be more. Calling it early does no harm."""
        self._tell_time(now)
        more = self.wheel.turn(self.now, most)
        self.presence.tick(self.now)
        self._turns.wake_due(self.now)
        while self.detached:
            session = next(iter(self.detached.values()))
            if self.now < session.detached_at + self._session_ttl:
                break
            self.end_session(session, "not resumed in time")
        return more

    # for links, feeds and handshakes

    def is_leaving(self, session: Session) -> bool:
        """Whether another node has asked for the session."""
        return session.id in self._releasing

    def wake(self, session: Session) -> None:
        """The session may have something to start."""
        self._turns.wake(session)

    def open_anonymous(self, link: ServerLink) -> bool:
        """A link whose first frame is not hello; whether it may go on."""
        return self._handshake.open_anonymous(link)

    def touch(self, link: ServerLink) -> None:
        """The link may have something to acknowledge at the end of the turn."""
        self._acking[link] = None

    def follow(self, subscription: Subscription) -> Tail:
        """Join the tail of a channel, following it if nobody here did."""
        tail = self.tails.get(subscription.channel)
        if tail is None:
            tail = self.tails[subscription.channel] = Tail(subscription.channel)
            self.effects.append(Follow(subscription.channel))
        tail.followers[subscription] = None
        return tail

    def unfollow(self, subscription: Subscription) -> None:
        """Leave the tail; the last one out stops following."""
        tail = subscription.tail
        if tail is None:
            return
        tail.followers.pop(subscription, None)
        if not tail.followers and self.tails.get(tail.channel) is tail:
            del self.tails[tail.channel]
            self._fresh.pop(tail, None)
            self.effects.append(Unfollow(tail.channel))

    def snapshot(self, channel: str) -> Raw | None:
        """The state that comes with a subscription: the members, for a presence channel."""
        if not channel.startswith(WHO):
            return None
        return Raw(self.codec.encode_value(self.presence.members(channel.removeprefix(WHO))))

    def left(self, link: ServerLink, channel: str, now: float) -> None:
        """A session follows a channel no longer, on purpose."""
        if channel in link.feed.present and link.session is not None:
            link.feed.present.pop(channel, None)
            self.presence.leave(channel, link.session.member, link.session.id)

    def presence_lost(self, link: ServerLink, session: Session) -> None:
        """A session's link is gone; its memberships get their grace."""
        for channel in sorted(link.feed.present):
            self.presence.lost(channel, session.member, session.id, self.now)
        link.feed.present.clear()

    def link_ended(self, link: ServerLink, session: Session | None) -> None:
        """A link is closed; its session, if it still owned one, is detached."""
        self.links.pop(link, None)
        self._acking.pop(link, None)
        self._handshake.forget(link)
        if session is None or session.link is not link:
            return
        session.link = None
        self.presence_lost(link, session)
        self.effects.append(SessionDetached(session))
        if not session.resumable:
            self._part(session)
        elif self.sessions.get(session.id) is session:
            self._detach(session)

    def make_room_for(self, identity: str) -> bool:
        """Whether a user may have one more session; its oldest detached one makes room."""
        mine = self.by_identity.get(identity, {})
        if not identity or len(mine) < self.limits.sessions_per_user:
            return True
        detached = [s for s in mine if s.link is None]
        if not detached:
            return False
        self.end_session(min(detached, key=lambda s: s.detached_at), "too many sessions")
        return True

    def add(self, session: Session) -> None:
        """Hold a session from now on; until it has a link it counts as detached."""
        self.sessions[session.id] = session
        if session.link is None:
            self._detach(session)
        if session.identity:
            self.by_identity.setdefault(session.identity, {})[session] = None

    def remove(self, session: Session) -> None:
        """Hold it no longer."""
        self.sessions.pop(session.id, None)
        self.detached.pop(session.id, None)
        self._turns.forget(session)
        self._parting.pop(session, None)
        self.unsaved.pop(session.id, None)
        if self._releasing.pop(session.id, None) is not None:
            self.effects.append(Released(session.id))
        mine = self.by_identity.get(session.identity)
        if mine is not None:
            mine.pop(session, None)
            if not mine:
                del self.by_identity[session.identity]

    def _try_release(self, session: Session) -> None:
        if not self._releasing[session.id] and not any(message.running for message in session.pending):
            session.hand_over()
            self._releasing[session.id] = session.revision
            if not session.durable:
                self.fence(session)

    def _part(self, session: Session) -> None:
        """Nobody will come back to this session: end it when nothing of it runs or waits."""
        if session.pending:
            self._parting[session] = None
        else:
            self.end_session(session, "its client cannot come back")

    def _detach(self, session: Session) -> None:
        session.detached_at = self.now
        self.detached[session.id] = session
        if len(self.detached) > self.limits.detached_sessions:
            if not self.durable:
                self.end_session(next(iter(self.detached.values())), "too many detached sessions")
            elif (oldest := next((s for s in self.detached.values() if s.is_saved), None)) is not None:
                oldest.fenced = True  # this object of it: the next one is made of the record
                self.remove(oldest)

    def _save(self) -> None:
        """Write records ahead, one write at a time for each session: what changes meanwhile goes with the next."""
        for session in list(self.unsaved.values()):
            if not session.writing:
                del self.unsaved[session.id]
                session.writing += 1
                record = session.record(self.name, self.now)
                self.effects.append(Save(session, record, session.revision, session.generation))

    def fence(self, session: Session) -> None:
        """The session is another's now: stop it at once."""
        session.fenced = True
        self.remove(session)
        if session.link is not None:
            session.link.close(Code.SUPERSEDED, "another node owns this session")

    def _tell_time(self, now: float) -> None:
        if now > self.now:
            self.now = now
