"""A path on which clients of another dialect are served, as an application declared it.

Invariants:
- what a dialect cannot say is told to the operator, each thing once (test_what_cannot_be_spelt_is_logged_once);
- a channel function that fails harms nobody but the client whose message it was
  (test_a_channel_function_that_fails).
"""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from heartline.core.policy import Heartbeat
from heartline.dialects import presets
from heartline.dialects.spec import Dialect
from heartline.dialects.spelling import Spelling

logger: logging.Logger = logging.getLogger("heartline.server")
MOST_COMPLAINTS: Final = 100


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Spoken:
    """A path on which clients of a dialect are served."""

    def __init__(self, path: str, dialect: Dialect, channel: Callable[[Any], str | None] | None) -> None:
        self.path: Final = path
        self.dialect: Final = dialect
        self.spelling: Final = Spelling(dialect, _wall_ms, None if channel is None else self._checked(channel))
        beat = dialect.beat
        self.heartbeat: Final = None if beat is None else Heartbeat(beat.interval, beat.timeout)
        """how silent its clients may be; None: as silent as others"""
        self._complaints: set[str] = set()

    def complain(self, what: str) -> None:
        """Tell the operator what the dialect cannot say, each thing once."""
        if what not in self._complaints and len(self._complaints) < MOST_COMPLAINTS:
            self._complaints.add(what)
            logger.error("%s (%s) cannot be said: %s", self.path, self.dialect.name, what)

    def _checked(self, channel: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
        def channel_of(args: Any) -> str | None:
            try:
                name = channel(args)
                if name is None or isinstance(name, str):
                    return name
                raise TypeError(f"expected the name of a channel or None, got {type(name).__name__}")
            except Exception:  # the application's; its client is one of many
                logger.exception("%s: the channel function failed", self.path)
                return None

        return channel_of


def make_spoken(path: str, dialect: Dialect | str, channel: Callable[[Any], str | None] | None) -> Spoken:
    """Check what an application declared. Raises TypeError and ValueError."""
    if isinstance(dialect, str):
        dialect = presets.load(dialect)
    if not isinstance(dialect, Dialect):
        raise TypeError(f"dialect: expected a Dialect or the name of a preset, got {type(dialect).__name__}")
    if channel is not None and not callable(channel):
        raise TypeError(f"channel: expected a function, got {type(channel).__name__}")
    return Spoken(path, dialect, channel)
