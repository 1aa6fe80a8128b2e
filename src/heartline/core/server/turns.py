"""Which session may start its next message: sessions take turns of a window, and wait when their rate says so.

Invariants:
- a session with much to start keeps nobody waiting longer than a window (test_sessions_take_turns_of_a_window);
- a rate delays starts and loses none (test_a_rate_throttles_and_loses_nothing).
"""

from collections import deque
from typing import Final

from .session import Pending, Session

QUANTUM: Final = 8
"""Starts of one session before the next one has its turn: a client's first window, answered in one write."""


class Turns:
    """The queue of sessions with something to start. `ready` is theirs in order."""

    __slots__ = ("_starts", "_throttled", "ready")

    def __init__(self) -> None:
        self.ready: deque[Session] = deque()
        self._starts: int = 0
        self._throttled: dict[Session, float] = {}

    @property
    def throttled(self) -> bool:
        """Whether a session waits for its rate."""
        return bool(self._throttled)

    def next_deadline(self) -> float | None:
        """When the first of those that wait for their rate may go on."""
        return min(self._throttled.values(), default=None)

    def wake(self, session: Session) -> None:
        """The session may have something to start."""
        if not session.ready:
            session.ready = True
            self.ready.append(session)

    def wake_due(self, now: float) -> None:
        """Wake those whose rate lets them go on."""
        for session in [s for s, at in self._throttled.items() if at <= now]:
            del self._throttled[session]
            self.wake(session)

    def forget(self, session: Session) -> None:
        """The session is over."""
        self._throttled.pop(session, None)

    def next_start(self, now: float) -> Pending | None:
        """The next message to start; call again until None, within the turn's budget."""
        ready = self.ready
        while ready:
            session = ready[0]
            message = session.next_start(now)
            if message is not None:
                self._starts += 1
                if self._starts == QUANTUM or not session.queue:
                    self._next_session()
                    if session.queue:
                        self.wake(session)
                return message
            self._next_session()
            if session.queue and not session.is_blocked and not session.fenced:
                self._throttled[session] = session.next_token_at()
        return None

    def _next_session(self) -> None:
        self._starts = 0
        self.ready.popleft().ready = False
