"""From hello to welcome: who is it, whose session is it, who owns it now (PROTOCOL 2; design §3.6).

A link in JUDGING waits for the application's verdict. In RESUMING it walks: look for the session here, else in the
store; ask its owner to let go; take it over by compare-and-set; read the inbox's head; say welcome.

Invariants:
- the older link is fenced before the newer one hears welcome (test_old_link_is_fenced);
- resuming needs the key, compared in constant time, and the same identity (test_wrong_key_is_refused);
- a lost compare-and-set never yields a session (test_lost_swap_looks_again);
- a session that another node has asked for gets no link any more (test_a_leaving_session_gets_no_link);
- one claim at a time: the next one must know how the last was decided, for another node's generation may be the one
  it expects (test_claims_are_decided_one_by_one);
- of two links that come for one session the later one gets it (test_the_later_claim_wins);
- a client whose outbox is older than its session gets a new one (test_a_floor_that_fell_starts_anew).
"""

import hmac
from typing import TYPE_CHECKING

from heartline.core.codes import Code
from heartline.core.errors import BadFrame
from heartline.core.frames import INBOX, Beat, LimitsBody, Position, Welcome, WelcomeBody
from heartline.core.policy import Heartbeat
from heartline.core.ports import SessionRecord
from heartline.core.states import LinkState

from .effects import Authorise, HeadInbox, Load, Release, SessionOpened, Swap
from .link import ServerLink
from .session import Session
from .verdicts import Accepted, RefusedLogin

if TYPE_CHECKING:
    from .node import Node

MOST_TRIES = 3


class _Claim:
    """A session as one link has claimed it."""

    __slots__ = ("generation", "is_new", "revision", "session")

    def __init__(self, session: Session, generation: int, revision: int, is_new: bool) -> None:
        self.session = session
        self.generation = generation
        self.revision = revision
        self.is_new = is_new


class Handshake:
    """The handshakes of one node."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._accepted: dict[ServerLink, Accepted] = {}
        self._swapping: dict[ServerLink, _Claim] = {}
        self._contested: dict[Session, list[ServerLink]] = {}
        self._heading: dict[ServerLink, _Claim] = {}

    def forget(self, link: ServerLink) -> None:
        """The link is gone. What it claimed is decided all the same."""
        self._accepted.pop(link, None)
        self._heading.pop(link, None)

    def judged(self, link: ServerLink, verdict: Accepted | RefusedLogin, now: float) -> None:
        """The application has judged a login, the first or a renewal."""
        if link.state is LinkState.LIVE:
            self._renewed(link, verdict, now)
        elif link.state is LinkState.JUDGING:
            if isinstance(verdict, RefusedLogin):
                good = verdict.retry is False
                link.refuse(
                    verdict.code, verdict.message, verdict.retry, Code.LOGIN_REFUSED if good else Code.REFUSED_FOR_NOW
                )
                return
            self._accepted[link] = verdict
            link.go(LinkState.RESUMING)
            self._look(link)

    def loaded(self, link: ServerLink, record: SessionRecord | None) -> None:
        """The store has answered."""
        hello = link.hello
        if link.state is not LinkState.RESUMING or hello is None or hello.session is None:
            return
        node = self._node
        held = node.sessions.get(hello.session)
        if held is not None and held.resumable:
            self._look(link)
        elif record is None:
            self._create(link)
        elif not self._fits(link, record.key, record.identity):
            self._not_yours(link)
        elif hello.floor < record.floor:
            self._create(link)
        elif record.owner not in ("", node.name) and link.released != record.generation:
            link.released = record.generation
            node.effects.append(Release(link, record.session, record.owner))
        else:
            self._claim(link, Session.restored(record, node.limits, node.unsaved))

    def released(self, link: ServerLink, released: bool) -> None:
        """The owner let go, or is silent and counts as crashed: either way look at the record again."""
        if link.state is LinkState.RESUMING and link.hello is not None and link.hello.session is not None:
            if not released:
                self._node.trace("server.owner_silent", {"session": link.hello.session})
            self._node.effects.append(Load(link, link.hello.session))

    def swapped(self, link: ServerLink, written: bool) -> None:
        """The compare-and-set was decided."""
        claim = self._swapping.pop(link)
        session, node = claim.session, self._node
        session.writing -= 1
        if written:
            session.saved(claim.revision)
            self._head(link, claim)
        elif node.sessions.get(session.id) is session:
            node.fence(session)
        if link.state is not LinkState.RESUMING:
            if claim.is_new:
                node.end_session(session, "its client left before it was welcome")
        elif not written:
            link.retries += 1
            if link.retries >= MOST_TRIES or link.hello is None or link.hello.session is None:
                link.refuse("busy", "the session could not be taken over", 1.0, Code.REFUSED_FOR_NOW)
            else:
                node.effects.append(Load(link, link.hello.session))
        for waiting in self._contested.pop(session):
            if waiting.state is LinkState.RESUMING:
                self._look(waiting)

    def inbox_headed(self, link: ServerLink, epoch: str, offset: int, now: float) -> None:
        """The inbox is known: the session is on."""
        claim = self._heading.pop(link, None)
        if link.state is not LinkState.RESUMING or claim is None or link.hello is None:
            return
        session = claim.session
        if self._node.sessions.get(session.id) is not session:
            self._look(link)
        elif session.generation != claim.generation:
            same = session.instance == link.hello.instance
            link.close(Code.SUPERSEDED if same else Code.REPLACED, "a newer link owns this session")
        elif self._node.is_leaving(session):
            self._refuse_leaving(link)
        else:
            self._attach(link, session, (epoch, offset), now)

    def open_anonymous(self, link: ServerLink) -> bool:
        """A client that said no hello gets a session that cannot be resumed, if the node allows such."""
        node = self._node
        if not node.anonymous:
            link.refuse("login_required", "say hello first", False, Code.LOGIN_REFUSED)
            return False
        session = Session(node.new_id(), "", "", "", node.limits)
        session.anonymous = True
        session.resumable = False
        session.link = link
        link.session = session
        node.add(session)
        link.go(LinkState.LIVE)
        node.effects.append(SessionOpened(session, False))
        return True

    # steps

    def _look(self, link: ServerLink) -> None:
        hello = link.hello
        assert hello is not None
        if hello.session is None:
            self._create(link)
            return
        session = self._node.sessions.get(hello.session)
        if session is None or not session.resumable:
            self._node.effects.append(Load(link, hello.session))
        elif session in self._contested:
            self._contested[session].append(link)
        elif self._node.is_leaving(session):
            self._refuse_leaving(link)
        elif not self._fits(link, session.key, session.identity):
            self._not_yours(link)
        elif hello.floor < session.floor:
            self._create(link)
        else:
            self._fence(session, hello.instance)
            self._claim(link, session)

    def _refuse_leaving(self, link: ServerLink) -> None:
        link.refuse("busy", "the session moves to another node", 0.5, Code.REFUSED_FOR_NOW)

    def _create(self, link: ServerLink) -> None:
        node = self._node
        accepted = self._accepted[link]
        if not node.make_room_for(accepted.identity):
            link.refuse("too_many_sessions", "this user holds too many sessions", False, Code.TOO_MANY_SESSIONS)
            return
        session = Session(
            node.new_id(),
            node.new_id(),
            accepted.identity,
            "",
            node.limits,
            node.unsaved if node.durable and link.transient is None else None,
        )
        session.generation = 0
        session.resumable = link.transient is None
        self._claim(link, session)

    def _claim(self, link: ServerLink, session: Session) -> None:
        """Take a session over, in memory at once, for others by compare-and-set."""
        hello, node = link.hello, self._node
        assert hello is not None
        expected = session.generation or None
        waiting = session.id in node.unsaved
        session.claim(hello.instance, hello.floor)
        claim = _Claim(session, session.generation, session.revision, expected is None)
        if node.sessions.get(session.id) is not session:
            node.add(session)
        if session.durable:
            if not waiting:  # else somebody waits for the answer to a Save
                node.unsaved.pop(session.id, None)
            session.writing += 1
            self._swapping[link] = claim
            self._contested[session] = []
            node.effects.append(Swap(link, session.record(node.name, node.now), expected))
        else:
            self._head(link, claim)

    def _head(self, link: ServerLink, claim: _Claim) -> None:
        if not claim.session.resumable:
            self._attach(link, claim.session, ("", 0), self._node.now)
        elif link.state is LinkState.RESUMING:
            self._heading[link] = claim
            self._node.effects.append(HeadInbox(link, f"{INBOX}{claim.session.id}"))

    def _fence(self, session: Session, instance: str) -> None:
        """Cut the older link off before anything else happens; `instance` is the newcomer's."""
        old = session.link
        if old is not None:
            same = session.instance == instance
            old.out.clear()
            old.close(Code.SUPERSEDED if same else Code.REPLACED, "a newer link owns this session")

    def _attach(self, link: ServerLink, session: Session, inbox: tuple[str, int], now: float) -> None:
        hello = link.hello
        node = self._node
        accepted = self._accepted.pop(link)
        assert hello is not None
        session.link = link
        session.user = accepted.user
        session.inbox = inbox
        node.detached.pop(session.id, None)
        link.session = session
        link.words = accepted.say
        link.credentials_hold(accepted.expires_in, now)
        link.go(LinkState.LIVE)
        link.life.progress(now)
        resumed = hello.session == session.id
        link.say(node.codec.encode(Welcome(self._welcome(link, session, inbox, accepted, resumed))))
        for payload in session.answers():
            link.say(payload)
        link.flush_ack()
        node.effects.append(SessionOpened(session, resumed))
        cursor = next((c.at for c in hello.cursors if c.channel == INBOX), None) if resumed else None
        if session.resumable:
            link.feed.follow_inbox(link.inbox, cursor, inbox)
        try:
            link.restore(hello)
        except BadFrame as error:
            link.close(Code.BAD_FRAME, str(error))
        else:
            link.hello = None  # it may be large, and is never asked for again
        node.wake(session)

    def _welcome(
        self, link: ServerLink, session: Session, inbox: tuple[str, int], accepted: Accepted, resumed: bool
    ) -> WelcomeBody:
        node = self._node
        limits = node.limits
        wish = link.hello.heartbeat if link.hello is not None else None
        agreed = link.agree(None if wish is None else Heartbeat(wish.interval, wish.timeout))
        told = LimitsBody(
            limits.message,
            limits.window,
            limits.window_bytes,
            limits.credit,
            limits.credit_bytes,
            limits.subscriptions,
        )
        return WelcomeBody(
            session.id,
            resumed,
            session.received,
            Beat(agreed.interval, agreed.timeout),
            told,
            Position(*inbox),
            key=None if resumed else session.key,
            expires_in=accepted.expires_in,
            time=node.wall_time(),
            server=node.about,
        )

    def _renewed(self, link: ServerLink, verdict: Accepted | RefusedLogin, now: float) -> None:
        session = link.session
        assert session is not None
        if isinstance(verdict, RefusedLogin):
            link.say_refused(verdict.code, verdict.message, verdict.retry)
        elif verdict.identity != session.identity:
            link.say_refused("not_your_session", "another identity", False)
        else:
            session.user = verdict.user
            link.words = verdict.say
            link.renewed(verdict.expires_in, now)
            for subscription in list(link.feed.by_channel.values()):
                if subscription.r:
                    self._node.effects.append(Authorise(subscription))

    def _fits(self, link: ServerLink, key: str, identity: str) -> bool:
        hello = link.hello
        assert hello is not None
        same_key = hmac.compare_digest((hello.key or "").encode(), key.encode())
        return same_key and self._accepted[link].identity == identity

    def _not_yours(self, link: ServerLink) -> None:
        link.refuse("not_your_session", "wrong key, or another identity", False, Code.NOT_YOUR_SESSION)
