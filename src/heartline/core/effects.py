"""What the client machine asks its shell to do. One ordered drain: carry them out in this order, all of them.

Invariant: the order of effects is the order of causes, so that what is persisted is persisted before it is sent and
what is settled is settled before it is forgotten (test_effects_keep_the_order_of_causes).
"""

from msgspec import Raw, Struct

from .enums import Outcome
from .outbox import Message


class Dial(Struct, frozen=True):
    """Open a socket; then call `opened(attempt, …)` or `failed(attempt, …)`. Get the login first."""

    attempt: int


class Transmit(Struct, frozen=True, gc=False):
    """Write one text message to the link of this attempt."""

    attempt: int
    payload: bytes


class Drop(Struct, frozen=True):
    """Leave this link, or stop this dial, after writing what came before; nothing it says later matters.

    `reason` fits into a close frame: at most 120 bytes.
    """

    attempt: int
    code: int
    reason: str


class Persist(Struct, frozen=True, gc=False):
    """Store this message, then call `persisted(n)`. Numbers below `reserved` are used up even after a crash."""

    message: Message
    reserved: int


class Forget(Struct, frozen=True, gc=False):
    """The message is settled; delete its copy on disk, then call `forgotten(n)`: only then the floor passes it."""

    n: int


class Remember(Struct, frozen=True):
    """The session to come back to; None: there is none any more. A durable client stores it, then calls `remembered`."""

    session: str | None
    key: str | None


class MoveCursor(Struct, frozen=True, gc=False):
    """A channel was handled up to here, or begins here: where to go on after a crash."""

    channel: str
    epoch: str
    offset: int


class ForgetCursor(Struct, frozen=True):
    """The channel is no longer followed: a stored cursor may go."""

    channel: str


class Settle(Struct, frozen=True, gc=False):
    """A message has its definite outcome. `body` is the reply, or the failure, as JSON."""

    message: Message
    outcome: Outcome
    body: bytes
    reason: str


class Room(Struct, frozen=True, gc=False):
    """Try again whatever send met OutboxFull, in order: there is room, or the connection was closed."""


class Entry(Struct, frozen=True, gc=False):
    """One entry of a channel, each once and in order."""

    channel: str
    epoch: str
    offset: int
    event: str
    data: Raw


class Lost(Struct, frozen=True, gc=False):
    """Entries behind `after` up to and including `to` may be lost (a Gap)."""

    channel: str
    epoch: str
    after: int
    to: int
    reason: str


class Arrived(Struct, frozen=True, gc=False):
    """Hand this to whoever reads the channel; when it is handled call `handled(channel, …)`."""

    item: Entry | Lost


class Volatile(Struct, frozen=True, gc=False):
    """A message without offset."""

    channel: str
    event: str
    data: Raw


class Subscribed(Struct, frozen=True):
    """The server follows the channel for us. `state` is its snapshot at `offset`, JSON, where there is one."""

    channel: str
    epoch: str
    offset: int
    state: bytes | None


class Unsubscribed(Struct, frozen=True):
    """The server refused the channel, or withdrew it."""

    channel: str
    code: str
    message: str


class Renew(Struct, frozen=True):
    """Fresh credentials are wanted within `seconds`: call `login(payload)`."""

    seconds: float


class Changed(Struct, frozen=True):
    """The connection's state moved. `retry_in` is seconds when it waits."""

    old: str
    new: str
    reason: str
    attempt: int
    code: int | None = None
    retry_in: float | None = None


Effect = (
    Dial
    | Transmit
    | Drop
    | Persist
    | Forget
    | Remember
    | MoveCursor
    | ForgetCursor
    | Settle
    | Room
    | Arrived
    | Volatile
    | Subscribed
    | Unsubscribed
    | Renew
    | Changed
)
