"""The frames of heartline.1 as values (PROTOCOL 1 to 6). Payloads stay raw JSON: the core never looks inside.

Each class is one kind; its fields are the elements after the kind, in order. The tag is the word on the wire, so a
decoder built from `UpFrame` or `DownFrame` is the whole grammar.

Invariants:
- every kind of PROTOCOL §1 is one class (test_frames_are_the_kinds_of_the_protocol);
- elements and keys we do not know are ignored (test_unknown_elements_are_ignored).
"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

Number = Annotated[int, Meta(ge=1, lt=2**53)]
Offset = Annotated[int, Meta(ge=0, lt=2**53)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Token = Annotated[str, Meta(min_length=1, max_length=64)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Epoch = Annotated[str, Meta(max_length=64)]
Place = tuple[Epoch | None, Offset]
Stamp = Annotated[int, Meta(ge=-(2**53), le=2**53)] | Annotated[str, Meta(max_length=64)]

NULL = Raw(b"null")
INBOX = "@"


class Beat(Struct, frozen=True):
    """A heartbeat agreement, in seconds."""

    interval: Annotated[float, Meta(gt=0, le=86400)]
    timeout: Annotated[float, Meta(gt=0, le=86400)]


class Cursor(Struct, array_like=True, frozen=True):
    """One subscription to restore: request number, channel, and where to go on (absent: from the head)."""

    r: Offset
    channel: Name
    at: Place | None = None


class Start(Struct, array_like=True, frozen=True):
    """A `Cursor` without a place, as it is written; it reads as a `Cursor`."""

    r: Offset
    channel: Name


class HelloBody(Struct, omit_defaults=True):
    """What a client says of itself (PROTOCOL 2.1)."""

    instance: Token
    floor: Number
    session: Token | None = None
    key: Token | None = None
    login: Raw = NULL
    cursors: list[Cursor] = []
    client: dict[str, Any] = {}
    heartbeat: Beat | None = None


class LimitsBody(Struct):
    """What the server takes and gives (PROTOCOL 2.2)."""

    message: Annotated[int, Meta(ge=1)]
    window: Annotated[int, Meta(ge=1)]
    window_bytes: Annotated[int, Meta(ge=1)]
    credit: Annotated[int, Meta(ge=1)]
    credit_bytes: Annotated[int, Meta(ge=1)]
    subscriptions: Offset


class Position(Struct, omit_defaults=True):
    """A place in a channel's log; `state` is the snapshot true at it, where there is one."""

    epoch: Epoch
    offset: Offset
    state: Raw | UnsetType = UNSET


class WelcomeBody(Struct, omit_defaults=True):
    """What the server answers to hello (PROTOCOL 2.2)."""

    session: Token
    resumed: bool
    received: Offset
    heartbeat: Beat
    limits: LimitsBody
    inbox: Position
    key: Token | None = None
    expires_in: Seconds | None = None
    time: float = 0.0
    server: str = ""


class RefusedBody(Struct):
    """Why there is no session (PROTOCOL 2.5); `retry` is seconds, or false for good."""

    code: str
    message: str = ""
    retry: Seconds | bool = False

    def __post_init__(self) -> None:
        if self.retry is True:
            raise ValueError("Expected seconds or `false`")


class Failure(Struct):
    """The body of fail and no: a short word, a sentence, and what else the code brings."""

    code: str
    message: str = ""


class GapBody(Struct):
    """Entries that may be lost: behind `after`, up to and including `to` (PROTOCOL 4.6)."""

    epoch: Epoch
    after: Offset
    to: Offset
    reason: str


class ExpiringBody(Struct, rename={"seconds": "in"}):
    """How long the credentials still hold."""

    seconds: Seconds


class MoveBody(Struct):
    """When to dial again: uniformly within [after, after + spread] seconds (PROTOCOL 6.2)."""

    after: Seconds = 0.0
    spread: Seconds = 0.0


class OkBody(Struct, omit_defaults=True):
    """The answer to sub, unsub and login."""

    epoch: Epoch | None = None
    offset: Offset | UnsetType = UNSET
    state: Raw | UnsetType = UNSET
    expires_in: Seconds | None = None


class Hello(Struct, array_like=True, tag="hello"):
    """First frame of a link."""

    body: HelloBody


class Login(Struct, array_like=True, tag="login"):
    """Renewed credentials on a live link."""

    payload: Raw


class Call(Struct, array_like=True, tag="call", gc=False):
    """A numbered message whose sender wants a reply."""

    n: Number
    event: Name
    data: Raw


class Send(Struct, array_like=True, tag="send", gc=False):
    """A numbered message whose sender wants to know that it was handled."""

    n: Number
    event: Name
    data: Raw


class Pub(Struct, array_like=True, tag="pub", gc=False):
    """A numbered publication to a channel."""

    n: Number
    channel: Name
    event: Name
    data: Raw


class Settled(Struct, array_like=True, tag="settled", gc=False):
    """The client's floor."""

    floor: Number


class Sub(Struct, array_like=True, tag="sub"):
    """Follow a channel, from its head or from a cursor [epoch, offset]."""

    r: Number
    channel: Name
    at: Place | None = None


class SubStart(Struct, array_like=True, tag="sub"):
    """A `Sub` without a place, as it is written; it reads as a `Sub`."""

    r: Number
    channel: Name


class Unsub(Struct, array_like=True, tag="unsub"):
    """Stop following."""

    r: Number
    channel: Name


class At(Struct, array_like=True, tag="at", gc=False):
    """Everything up to offset has been handled."""

    channel: Name
    offset: Offset


class Ping(Struct, array_like=True, tag="ping", gc=False):
    """Asks for a pong with the same t."""

    t: Stamp


class Pong(Struct, array_like=True, tag="pong", gc=False):
    """Answers a ping."""

    t: Stamp


class Bye(Struct, array_like=True, tag="bye"):
    """The session is to be forgotten."""

    reason: Annotated[str, Meta(max_length=255)] = ""


class Welcome(Struct, array_like=True, tag="welcome"):
    """The session is on."""

    body: WelcomeBody


class Refused(Struct, array_like=True, tag="refused"):
    """There is no session, and why."""

    body: RefusedBody


class Expiring(Struct, array_like=True, tag="expiring"):
    """Credentials run out."""

    body: ExpiringBody


class Reply(Struct, array_like=True, tag="reply", gc=False):
    """A call ended well."""

    n: Number
    data: Raw


class Fail(Struct, array_like=True, tag="fail", gc=False):
    """A message ended badly. `body` stays raw: it may carry more than code and message."""

    n: Number
    body: Raw


class Ack(Struct, array_like=True, tag="ack", gc=False):
    """All numbers up to n have ended."""

    n: Offset


class Ok(Struct, array_like=True, tag="ok"):
    """A link-local request was granted."""

    r: Offset
    body: OkBody


class No(Struct, array_like=True, tag="no"):
    """A link-local request was refused, or what it granted was withdrawn."""

    r: Offset
    body: Failure


class Msg(Struct, array_like=True, tag="msg", gc=False):
    """An entry of a channel. `prev` None means offset − 1."""

    channel: Name
    offset: Number
    event: Name
    data: Raw
    prev: Offset | None = None


class Now(Struct, array_like=True, tag="now", gc=False):
    """A volatile message."""

    channel: Name
    event: Name
    data: Raw


class Gap(Struct, array_like=True, tag="gap"):
    """Entries that may be lost."""

    channel: Name
    body: GapBody


class Move(Struct, array_like=True, tag="move"):
    """Please dial again soon, spread over time."""

    body: MoveBody


UpFrame = Hello | Login | Call | Send | Pub | Settled | Sub | Unsub | At | Ping | Pong | Bye
DownFrame = Welcome | Refused | Expiring | Reply | Fail | Ack | Ok | No | Msg | Now | Gap | Move | Ping | Pong
