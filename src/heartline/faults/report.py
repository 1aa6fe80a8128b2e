"""What the fault proxy tells: events as they happen, numbers when asked. Plain frozen values."""

from dataclasses import dataclass
from enum import Enum

from heartline.faults.rules import Direction


class ProxyEventKind(Enum):
    """What happened to a dial or a link.

    LEFT: one side closed or reset its connection; with a freeze in between the other side does not know.
    CLOSED: both sockets of the link are gone from the proxy.
    """

    OPENED = "opened"
    REFUSED = "refused"
    HUNG = "hung"
    UNREACHABLE = "unreachable"
    FROZEN = "frozen"
    THAWED = "thawed"
    CUT = "cut"
    LEFT = "left"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ProxyEvent:
    """One event of the proxy.

    ``at``: seconds since the proxy started. ``link``: number of the dial, from 1 on, also for refused and hung ones.
    ``direction``: which way is frozen or thawed; for LEFT the way the side that left was sending (UP: the client).
    ``loses_data``: for CUT, whether it was a reset. ``name``: the link's, where the proxy gives names.
    """

    at: float
    link: int
    what: ProxyEventKind
    direction: Direction | None = None
    loses_data: bool = False
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ProxyStats:
    """Numbers of one moment. Bytes are payload of the TCP streams.

    ``open`` and ``frozen`` count links and ``bytes_held`` bytes in the proxy as they are now, everything else counts
    since the start. ``bytes_up`` and ``bytes_down`` were handed to the other side's socket; ``bytes_lost`` had
    reached the proxy (or its kernel) and went no further.
    """

    dials: int = 0
    opened: int = 0
    open: int = 0
    frozen: int = 0
    cut: int = 0
    refused: int = 0
    hung: int = 0
    unreachable: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    bytes_lost: int = 0
    bytes_held: int = 0


def no_counts() -> dict[str, int]:
    """The numbers before anything happened."""
    return dict.fromkeys(ProxyStats.__dataclass_fields__, 0)
