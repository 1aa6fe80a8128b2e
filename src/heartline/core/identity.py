"""Who a client is: its session and key, its instance, and whether the session is on its disk (PROTOCOL 2).

Invariants:
- session and key are known together or not at all (test_session_and_key_come_together);
- a session that was not stored yet is told apart from one that was, where the outbox is durable
  (test_nothing_numbered_before_the_session_is_stored).
"""

from collections.abc import Mapping
from typing import cast

from msgspec import Raw

from .effects import Effect, Remember
from .errors import BadFrame
from .frames import Beat, Cursor, Hello, HelloBody, Start, WelcomeBody
from .policy import Heartbeat


class Identity:
    """One client's session, from hello to hello. `stored` tells whether numbered messages may be written in it."""

    def __init__(self, instance: str, about: Mapping[str, object], durable: bool, effects: list[Effect]) -> None:
        self.session: str | None = None
        self._key: str | None = None
        self.stored: bool = not durable
        self._instance = instance
        self._about = dict(about)
        self._durable = durable
        self._effects = effects

    def restore(self, session: str | None, key: str | None) -> None:
        """Come back to the session that was stored."""
        if session is not None and key is not None:
            self.session, self._key = session, key
            self.stored = True

    def hello(self, floor: int, login: Raw, cursors: list[Cursor | Start], wish: Heartbeat | None) -> Hello:
        """The first frame of a link."""
        beat = None if wish is None else Beat(wish.interval, wish.timeout)
        starts = cast(list[Cursor], cursors)  # a Start is read as a Cursor
        return Hello(HelloBody(self._instance, floor, self.session, self._key, login, starts, self._about, beat))

    def check(self, body: WelcomeBody) -> None:
        """Raise BadFrame unless this welcome answers our hello."""
        if body.resumed and body.session != self.session:
            raise BadFrame("welcome: resumed a session we did not name")
        if not body.resumed and (body.key is None or body.received):
            raise BadFrame("welcome: a new session has a key and has received nothing")

    def adopt(self, body: WelcomeBody) -> None:
        """This is our session now."""
        self.session, self._key = body.session, body.key
        self.stored = not self._durable
        self._effects.append(Remember(self.session, self._key))

    def forget(self) -> None:
        """There is no session to come back to."""
        self.session = self._key = None
        self._effects.append(Remember(None, None))

    def remembered(self, session: str | None) -> bool:
        """A session is on disk; whether it is the present one."""
        if session is not None and session == self.session:
            self.stored = True
            return True
        return False
