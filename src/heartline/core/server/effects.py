"""What the server's node asks its shell to do, in one ordered drain.

Frames for a link are not effects: they wait in `link.out`, in order, and links with something to write are in
`node.dirty`. Messages to start are not effects either: the shell takes them from `node.next_start()` after it has
carried out all effects, so handlers never run inside the machine.

Invariant: every question (Judge, Authorise, Load, Swap, Release, Head, HeadInbox, Read, Save) gets exactly one answer by the input
named in it; an answer for a link that has ended is ignored (test_late_answers_are_ignored).
"""

from typing import TYPE_CHECKING

from msgspec import Raw, Struct

from heartline.core.ports import SessionRecord

if TYPE_CHECKING:
    from .feed import Subscription
    from .link import ServerLink
    from .session import Session


class Judge(Struct, frozen=True):
    """Ask the application who this is; answer with `node.judged(link, verdict, now)`."""

    link: "ServerLink"
    payload: Raw
    renewal: bool


class Authorise(Struct, frozen=True):
    """Ask the application whether the session may follow the channel; answer with `node.authorised`."""

    subscription: "Subscription"


class Load(Struct, frozen=True):
    """Look a session record up; answer with `node.loaded(link, record, now)`."""

    link: "ServerLink"
    session: str


class Release(Struct, frozen=True):
    """Ask the owner of a session to let go; answer with `node.released(link, released, now)`."""

    link: "ServerLink"
    session: str
    owner: str


class Swap(Struct, frozen=True):
    """Take a session over by compare-and-set; answer with `node.swapped(link, written, now)`, also if the link ended."""

    link: "ServerLink"
    record: SessionRecord
    expected: int | None


class Save(Struct, frozen=True):
    """Write a session's record ahead, by compare-and-set; answer with `node.saved(session, revision, written, now)`.

    Those of one session have to take effect in the order in which they came up.
    """

    session: "Session"
    record: SessionRecord
    revision: int
    expected: int | None


class ForgetSession(Struct, frozen=True):
    """The session is over: delete its record, unless its generation is another by now, and then its inbox.

    Without a durable broker there is only the inbox.
    """

    session: "Session"


class Head(Struct, frozen=True):
    """Ask for the head of the channel; answer with `node.headed(subscription, epoch, offset, now)`."""

    subscription: "Subscription"


class HeadInbox(Struct, frozen=True):
    """Ask for the head of a link's inbox; answer with `node.inbox_headed(link, epoch, offset, now)`."""

    link: "ServerLink"
    channel: str


class Released(Struct, frozen=True):
    """This node has let go of a session that another asked for."""

    session: str


class Read(Struct, frozen=True):
    """Read the channel's log behind `after`; answer with `node.read(subscription, slice, now)`."""

    subscription: "Subscription"
    after: int
    limit: int
    max_bytes: int


class Follow(Struct, frozen=True):
    """Have the broker announce the channel from now on."""

    channel: str


class Unfollow(Struct, frozen=True):
    """Nobody here follows the channel any more."""

    channel: str


class Append(Struct, frozen=True):
    """Add an entry of the protocol's own (presence) to a channel."""

    channel: str
    event: str
    data: bytes


class CloseLink(Struct, frozen=True):
    """Close the socket of a link."""

    link: "ServerLink"
    code: int
    reason: str


class SessionOpened(Struct, frozen=True):
    """A session has a link now; `resumed` tells whether it had one before."""

    session: "Session"
    resumed: bool


class SessionDetached(Struct, frozen=True):
    """A session has lost its link."""

    session: "Session"


ServerEffect = (
    Judge
    | Authorise
    | Load
    | Release
    | Swap
    | Save
    | ForgetSession
    | Head
    | HeadInbox
    | Released
    | Read
    | Follow
    | Unfollow
    | Append
    | CloseLink
    | SessionOpened
    | SessionDetached
)


def link_of(effect: ServerEffect) -> "ServerLink | None":
    """The link an effect is about, which closes when it cannot be carried out; None where it is about none."""
    owner: object = effect
    if (subscription := getattr(effect, "subscription", None)) is not None:
        owner = subscription.feed
    elif not hasattr(effect, "link"):
        owner = getattr(effect, "session", None)
    link: ServerLink | None = getattr(owner, "link", None)
    return link
