"""What a durable client keeps over a crash.

Invariant: what was stored is taken as written, because nobody knows better (test_restored_messages_never_expire).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from .outbox import Message


@dataclass(frozen=True)
class Saved:
    """What a durable client kept: the session, its unsettled messages, cursors as {channel: (epoch, offset)}."""

    session: str | None = None
    key: str | None = None
    next_number: int = 1
    messages: tuple[Message, ...] = ()
    cursors: Mapping[str, tuple[str, int]] = field(default_factory=dict)
