"""What an application wants to say, checked before anything is queued.

Invariants:
- what can be seen to be wrong raises TypeError or ValueError naming the argument, in the call itself
  (test_connect_refuses_nonsense, test_what_a_dialect_cannot_spell_is_refused_early).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from msgspec import json

from heartline.core.names import KnownNames, check_channel, check_name
from heartline.core.outbox import Kind
from heartline.dialects.client_channels import check_subscription
from heartline.dialects.client_messages import check_message
from heartline.dialects.spec import DELIVERIES, Delivery, Dialect

from .items import Since
from .options import Options, encode

Marks: TypeAlias = Mapping[str, str | None] | None


class Outgoing(NamedTuple):
    """One message. `again`: it may be said again where nobody knows whether it arrived. `target`: its channel, or ""."""

    kind: Kind
    event: str
    data: bytes
    target: str
    again: bool
    expires: float | None = None
    marks: Marks = None


class Speller:
    """Makes messages for one connection, in its dialect or in heartline.1."""

    def __init__(self, options: Options) -> None:
        self._names = KnownNames()
        self._dialect = options.dialect
        self._params: Mapping[str, Any] = options.params

    def message(
        self,
        kind: Kind,
        event: str,
        data: object,
        channel: str | None,
        delivery: Delivery | None,
        *,
        expires: float | None = None,
        marks: Marks = None,
    ) -> Outgoing:
        """One message. Raises TypeError and ValueError."""
        self._names.check(event, "event")
        check_seconds("expires", expires)
        if delivery is not None and delivery not in DELIVERIES:
            raise ValueError(f"delivery: expected {' or '.join(map(repr, DELIVERIES))} or None, got {delivery!r}")
        if kind is Kind.PUB or channel is not None:
            channel = check_name(channel, "channel")
        text = encode("data", data)
        if self._dialect is not None:
            check_message(self._dialect, kind.value, event, json.decode(text), channel, self._params)
        elif channel is not None and kind is not Kind.PUB:
            raise ValueError("channel: heartline.1 has none in sends and requests, publish() adds an entry to one")
        delivery = delivery or _default(self._dialect, kind)
        return Outgoing(kind, event, text, channel or "", delivery == "at_least_once", expires, marks)

    def subscription(self, channel: str, args: object, since: Since) -> None:
        """Look at a subscription. Raises TypeError and ValueError."""
        check_channel(channel, "channel")
        if self._dialect is None:
            if args is not None:
                raise ValueError("args: heartline.1 has none, a channel's name says it all")
            return
        if since not in (None, "now"):
            raise ValueError("since: a foreign server keeps nothing to begin with, only None or 'now'")
        check_subscription(self._dialect, channel, json.decode(encode("args", args)), self._params)


def check_seconds(name: str, value: float | None) -> None:
    """Raise ValueError unless `value` is None or a time above 0."""
    if value is not None and not value > 0:
        raise ValueError(f"{name}: expected seconds above 0 or None, got {value!r}")


def _default(dialect: Dialect | None, kind: Kind) -> Delivery:
    forms = None if dialect is None else dialect.request if kind is Kind.CALL else dialect.send
    return "at_most_once" if forms is None else forms.delivery
