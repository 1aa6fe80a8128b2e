"""Choices a user makes, as frozen values checked when they are made.

Invariant: a value that makes no sense raises ValueError or TypeError naming the field, before anything is dialled or
served (test_policies_refuse_nonsense).
"""

import math
from enum import Enum

from msgspec import Struct, field
from msgspec.structs import force_setattr

LONGEST_BEAT = 86_400.0
_OPTIONAL = ("max_attempts", "rate", "session_ttl")
_MEASURED = ("hello_timeout", "rate", "frames", "session_ttl")


def _positive(owner: object, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if value is None and name in _OPTIONAL:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{type(owner).__name__}.{name} must be a number above 0, not {value!r}")
        if not value > 0 or math.isinf(value):
            raise ValueError(f"{type(owner).__name__}.{name} must be above 0 and finite, not {value!r}")


def _whole(owner: object, *names: str) -> None:
    """What is counted or is a size: compiled code takes no other number for it."""
    _positive(owner, *names)
    for name in names:
        value = getattr(owner, name)
        if value is not None and not isinstance(value, int):
            raise TypeError(f"{type(owner).__name__}.{name} must be a whole number, not {value!r}")


def _made_of(owner: object, **kinds: type) -> None:
    for name, kind in kinds.items():
        value = getattr(owner, name)
        if not isinstance(value, kind):
            raise TypeError(f"{type(owner).__name__}.{name} must be of {kind.__name__}, not {value!r}")


class Heartbeat(Struct, frozen=True):
    """How a side notices that the other is gone: at most `interval + timeout` seconds after it went (PROTOCOL 5)."""

    interval: float = 25.0
    timeout: float = 10.0

    def __post_init__(self) -> None:
        _positive(self, "interval", "timeout")
        if max(self.interval, self.timeout) > LONGEST_BEAT:
            raise ValueError(f"{self} must not have more than {LONGEST_BEAT:.0f} seconds: they travel in hello")


class BackOff(Struct, frozen=True):
    """Full-jitter back-off in seconds (PROTOCOL 7). `stable`: how long a link must live to count as good.

    `least`: the share of each delay that is waited whatever is drawn, 0 to 1.
    """

    base: float = 0.25
    cap: float = 30.0
    stable: float = 30.0
    least: float = 0.0

    def __post_init__(self) -> None:
        _positive(self, "base", "cap", "stable")
        if isinstance(self.least, bool) or not isinstance(self.least, int | float):
            raise TypeError(f"BackOff.least must be a number from 0 to 1, not {self.least!r}")
        if not 0 <= self.least <= 1:
            raise ValueError(f"BackOff.least must be from 0 to 1, not {self.least!r}")
        if self.cap < self.base:
            raise ValueError(f"BackOff.cap ({self.cap}) must not be below base ({self.base})")


class Full(Enum):
    """What happens to a send when the outbox is at its limit."""

    REFUSE = "refuse"
    """raise OutboxFull"""
    DROP_OLDEST = "drop_oldest"
    """the oldest message never written ends as expired, its sender is told; refuse when there is none"""
    WAIT = "wait"
    """the sender waits for room"""


class OutboxLimits(Struct, frozen=True):
    """How much may wait to be settled, and what happens beyond."""

    messages: int = 10_000
    bytes: int = 16 << 20
    full: Full = Full.REFUSE

    def __post_init__(self) -> None:
        _whole(self, "messages", "bytes")
        if not isinstance(self.full, Full):
            force_setattr(self, "full", Full(self.full))


class ClientPolicy(Struct, frozen=True):
    """Everything a client decides. Times in seconds.

    `heartbeat` None leaves it to the server; `max_attempts` None never gives up.
    """

    heartbeat: Heartbeat | None = None
    back_off: BackOff = field(default_factory=BackOff)
    outbox: OutboxLimits = field(default_factory=OutboxLimits)
    connect_timeout: float = 10.0
    hello_timeout: float = 10.0
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        _positive(self, "connect_timeout", "hello_timeout")
        _whole(self, "max_attempts")
        _made_of(self, back_off=BackOff, outbox=OutboxLimits)
        if self.heartbeat is not None:
            _made_of(self, heartbeat=Heartbeat)


class ServerLimits(Struct, frozen=True):
    """What one client may cost. Sizes in bytes, times in seconds, rates per second.

    `session_ttl` None: 600 with a broker in memory, a day with one that lasts; `detached_sessions` are those in memory.
    """

    message: int = 1 << 20
    hello_timeout: float = 10.0
    window: int = 256
    window_bytes: int = 1 << 20
    credit: int = 512
    credit_bytes: int = 256 << 10
    link_credit_bytes: int = 2 << 20
    subscriptions: int = 1000
    results_bytes: int = 1 << 20
    sessions_per_user: int = 100
    rate: float | None = 10_000.0
    frames: float = 20_000.0
    session_ttl: float | None = None
    detached_sessions: int = 100_000
    inbox: int = 1000
    inbox_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        _positive(self, *_MEASURED)
        _whole(self, *(name for name in self.__struct_fields__ if name not in _MEASURED))
        if self.window > 256:
            raise ValueError(f"ServerLimits.window must not be above 256, not {self.window} (PROTOCOL 3.4)")

    def time_to_resume(self, *, durable: bool) -> float:
        """Seconds for which a session waits for its client."""
        if self.session_ttl is not None:
            return self.session_ttl
        return 86_400.0 if durable else 600.0
