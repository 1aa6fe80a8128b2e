"""What an application declared, as the hub reads it.

Invariant: ids and keys are 128 random bits (test_ids_have_128_random_bits).
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw

from heartline.core.policy import Heartbeat, ServerLimits
from heartline.core.ports import MaybeAwaitable, ServerCodec
from heartline.core.server.verdicts import Accepted
from heartline.dialects.native import NativeServer
from heartline.transports.api import Request

from .channels import Channel
from .handler import Handler
from .origins import Origins
from .spoken import Spoken

Trace = Callable[[float, str, dict[str, object]], None]


_ANYBODY = Accepted()


def _anybody(payload: Raw, request: object) -> Accepted:
    del payload, request
    return _ANYBODY


def new_id() -> str:
    """128 random bits, to be named in a URL or a log without care."""
    return secrets.token_urlsafe(16)


@dataclass
class Options:
    """One application, as declared so far."""

    limits: ServerLimits
    heartbeat: Heartbeat
    path: str = "/"
    origins: Origins = field(default_factory=Origins)
    spoken: dict[str, Spoken] = field(default_factory=dict)
    anonymous: bool = True
    presence_grace: float = 15.0
    trace: Trace | None = None
    about: str = "heartline"
    node_name: str = field(default_factory=new_id)
    codec: ServerCodec = field(default_factory=NativeServer)
    handlers: dict[str, Handler] = field(default_factory=dict)
    overlapping: set[str] = field(default_factory=set)
    channels: list[Channel] = field(default_factory=list)
    judge: Callable[[Raw, Any], MaybeAwaitable[Accepted]] = _anybody
    opened: list[Callable[..., Any]] = field(default_factory=list)
    detached: list[Callable[..., Any]] = field(default_factory=list)
    ended: list[Callable[..., Any]] = field(default_factory=list)
    startup: list[Callable[[], Any]] = field(default_factory=list)
    shutdown: list[Callable[[], Any]] = field(default_factory=list)
    pages: dict[str, Callable[[Request], Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in (("limits", ServerLimits), ("heartbeat", Heartbeat), ("anonymous", bool)):
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise TypeError(f"{name} must be of {kind.__name__}, not {value!r}")
        if not isinstance(self.presence_grace, int | float):
            raise TypeError(f"presence_grace must be seconds, not {self.presence_grace!r}")
        if not self.presence_grace >= 0:
            raise ValueError(f"presence_grace must not be negative, not {self.presence_grace!r}")
        if self.trace is not None and not callable(self.trace):
            raise TypeError(f"trace must be a function, not {type(self.trace).__name__}")

    @property
    def judged(self) -> bool:
        """Whether the application has a login."""
        return self.judge is not _anybody

    @property
    def paths(self) -> list[str]:
        """Where WebSockets are accepted."""
        return [self.path, *self.spoken]

    @staticmethod
    def new_id() -> str:
        """See `new_id` of this module."""
        return new_id()

    @staticmethod
    def wall_time() -> float:
        """Seconds since 1970."""
        return time.time()
