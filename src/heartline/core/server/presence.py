"""Who follows a channel: a member joins with its first session and leaves with its last (issue: presence).

Joining and leaving are entries of the companion channel `@who/<channel>`; a subscription to that gets the present
members as `state`. A session whose link is lost stays a member for `grace` seconds, so a quick reconnection is no
news.

Invariants: one join and one leave however many sessions a member has (test_one_join_for_many_sessions); a link that
comes back within the grace makes no entry (test_quick_return_is_no_news).
"""

import msgspec

from .effects import Append, ServerEffect

WHO = "@who/"
_encode = msgspec.json.Encoder().encode


class Presence:
    """Members of the channels that have presence, by channel and identity."""

    def __init__(self, effects: list[ServerEffect], grace: float) -> None:
        self._effects = effects
        self._grace = grace
        self._members: dict[str, dict[str, set[str]]] = {}
        self._leaving: dict[tuple[str, str, str], float] = {}

    def members(self, channel: str) -> list[str]:
        """Who is there, sorted."""
        return sorted(self._members.get(channel, ()))

    def join(self, channel: str, member: str, session: str) -> None:
        """A session of `member` follows the channel."""
        self._leaving.pop((channel, member, session), None)
        members = self._members.setdefault(channel, {})
        sessions = members.setdefault(member, set())
        if not sessions:
            self._announce(channel, "join", member)
        sessions.add(session)

    def lost(self, channel: str, member: str, session: str, now: float) -> None:
        """The session's link is gone; it may come back."""
        if session in self._members.get(channel, {}).get(member, ()):
            self._leaving[(channel, member, session)] = now + self._grace

    def leave(self, channel: str, member: str, session: str) -> None:
        """The session follows it no longer."""
        self._leaving.pop((channel, member, session), None)
        members = self._members.get(channel, {})
        sessions = members.get(member)
        if sessions is None or session not in sessions:
            return
        sessions.discard(session)
        if not sessions:
            del members[member]
            self._announce(channel, "leave", member)
        if not members:
            del self._members[channel]

    def next_deadline(self) -> float | None:
        """When the next grace ends."""
        return min(self._leaving.values()) if self._leaving else None

    def tick(self, now: float) -> None:
        """End the graces that are over."""
        for key in [key for key, at in self._leaving.items() if at <= now]:
            self.leave(*key)

    def _announce(self, channel: str, event: str, member: str) -> None:
        self._effects.append(Append(WHO + channel, event, _encode({"who": member})))
