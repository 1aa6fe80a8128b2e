"""What an application and its clients put into channels and inboxes.

Invariants:
- nothing is added that a client could not take: neither too long nor under a name of the protocol
  (test_entries_fit_what_clients_take);
- an inbox ends with its session, also when something was on its way to it (test_an_inbox_ends_with_its_session).
"""

import itertools
from typing import TYPE_CHECKING, Any, Final

import msgspec

from heartline.core.frames import INBOX
from heartline.core.names import KnownNames, check_name
from heartline.core.ports import Broker, History, Key
from heartline.core.server.session import Pending
from heartline.core.server.session import Session as CoreSession

from .channels import Channel
from .questions import settled
from .refusals import Refuse

if TYPE_CHECKING:
    from .hub import Hub

_encode = msgspec.json.Encoder().encode
_RULES_KEPT: Final = 10_000
_ENVELOPE: Final = 3200  # two names of 255 characters as JSON, two numbers, brackets: no frame has more around its data


class Entries:
    """Publications, volatile messages and inboxes of one hub."""

    def __init__(self, hub: "Hub", broker: Broker) -> None:
        self._hub = hub
        self._broker = broker
        self._limits = hub.options.limits
        self._names = KnownNames()
        self._rules: dict[str, tuple[Channel, dict[str, str]] | None] = {}
        self.inbox: History = History(self._limits.inbox, None, self._limits.inbox_bytes)
        self.published: int = 0
        self._unlogged = itertools.count(1)  # offsets of what is sent to sessions that end with their links

    def rule(self, channel: str) -> tuple[Channel, dict[str, str]] | None:
        """The rule of a channel and the parts of its name."""
        try:
            return self._rules[channel]
        except KeyError:
            pass
        found = self._find(channel)
        if len(self._rules) >= _RULES_KEPT:
            self._rules.clear()
        self._rules[channel] = found
        return found

    def _find(self, channel: str) -> tuple[Channel, dict[str, str]] | None:
        try:
            check_name(channel, "channel")
        except ValueError:
            return None
        for rule in self._hub.options.channels:
            parts = rule.match(channel)
            if parts is not None:
                return rule, parts
        return None

    async def publish(self, channel: str, event: str, data: Any, key: str | None) -> int:
        """Add an entry of the application."""
        rule = self._rule_for(channel)
        self._names.check(event, "event")
        payload = _encode(data)
        self._check_size(channel, event, payload)
        return await self._append(channel, event, payload, rule, key)

    async def publish_for(self, pending: Pending) -> None:
        """Add an entry of a client, if the rule of its channel allows it."""
        found = self.rule(pending.target)
        if found is None:
            raise Refuse("unknown_channel", f"no channel {pending.target[:80]!r}")
        rule, parts = found
        if await settled(rule.may_publish(self._hub.facade(pending.session), parts)) is False:
            raise Refuse("forbidden", "you may not publish here")
        data = bytes(pending.data)
        try:
            self._check_size(pending.target, pending.event, data)
        except ValueError:
            raise Refuse("too_big", f"an entry may have {self._limits.message} bytes") from None
        key = (pending.session.id, pending.n) if self._broker.durable else None
        await self._append(pending.target, pending.event, data, rule, key)

    def volatile(self, channel: str, event: str, data: Any) -> None:
        """Tell the followers of a channel something that may be dropped."""
        self._rule_for(channel)
        self._names.check(event, "event")
        payload = _encode(data)
        self._check_size(channel, event, payload)
        self._hub.node.volatile(channel, event, payload)
        self._hub.turn()

    async def send(self, core: CoreSession, event: str, data: Any) -> int:
        """Append to a session's inbox."""
        if core.anonymous:
            raise ValueError("an anonymous session has no inbox: its client did not say hello")
        self._hub.check_serving()
        if core.fenced:
            raise ValueError(f"session {core.id} is over")
        self._names.check(event, "event")
        payload = _encode(data)
        self._check_size(INBOX, event, payload)
        if not core.resumable:
            self._hub.node.tell_now(core, event, payload, may_drop=False)
            self._hub.turn()
            return next(self._unlogged)
        channel = f"{INBOX}{core.id}"
        _, entry = await settled(self._broker.append(channel, event, payload, self.inbox))
        if core.fenced:
            await settled(self._broker.drop(channel))
        return entry.offset

    def send_now(self, core: CoreSession, event: str, data: Any) -> None:
        """Tell a session something that may be dropped."""
        self._names.check(event, "event")
        payload = _encode(data)
        self._check_size(INBOX, event, payload)
        self._hub.node.tell_now(core, event, payload)
        self._hub.turn()

    async def _append(self, channel: str, event: str, data: bytes, rule: Channel, key: Key | None) -> int:
        self.published += 1
        _, entry = await settled(self._broker.append(channel, event, data, rule.history, key=key))
        return entry.offset

    def _rule_for(self, channel: str) -> Channel:
        found = self.rule(channel)
        if found is None:
            self._names.check(channel, "channel")
            raise ValueError(f"channel {channel!r} matches no app.channel(…) pattern")
        return found[0]

    def _check_size(self, channel: str, event: str, data: bytes) -> None:
        """Raise ValueError for what would be too large a frame."""
        most = self._limits.message
        if len(data) + _ENVELOPE <= most:
            return
        size = len(self._hub.options.codec.encode_msg(channel, 2**53 - 1, event, data, 0))
        if size > most:
            raise ValueError(f"data: {size} bytes as a message, and ServerLimits.message is {most}")
