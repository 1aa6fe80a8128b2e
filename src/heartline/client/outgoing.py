"""What an application wants to say, checked before anything is queued.

Invariants:
- what can be seen to be wrong raises TypeError or ValueError naming the argument, in the call itself
  (test_connect_refuses_nonsense, test_what_a_dialect_cannot_spell_is_refused_early).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct, json

from heartline.core.names import KnownNames, check_channel, check_name
from heartline.core.outbox import Kind

from .items import Since
from .options import Options, encode

if TYPE_CHECKING:
    from heartline.dialects.spec import Delivery, Dialect

KEPT = "heartline.kept"
"""The mark under which a durable outbox holds what a dialect's login gave to keep."""

Marks: TypeAlias = Mapping[str, str | None] | None


class Outgoing(Struct, frozen=True):
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
        delivery: "Delivery | None",
        *,
        expires: float | None = None,
        marks: Marks = None,
    ) -> Outgoing:
        """One message. Raises TypeError and ValueError."""
        self._names.check(event, "event")
        check_seconds("expires", expires)
        if delivery is not None:
            _check_delivery(delivery)
        if kind is Kind.PUB or channel is not None:
            channel = check_name(channel, "channel")
        text = encode("data", data)
        if self._dialect is not None:
            from heartline.dialects.client_messages import check_message

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
        from heartline.dialects.client_channels import check_subscription

        check_subscription(self._dialect, channel, json.decode(encode("args", args)), self._params)


def check_seconds(name: str, value: float | None) -> None:
    """Raise ValueError unless `value` is None or a time above 0."""
    if value is not None and not value > 0:
        raise ValueError(f"{name}: expected seconds above 0 or None, got {value!r}")


def checked_marks(marks: object) -> Mapping[str, str | None]:
    """What an application gave as marks. Raises TypeError."""
    if not isinstance(marks, Mapping):
        raise TypeError(f"marks: expected a mapping of names to texts, got {type(marks).__name__}")
    for name, value in marks.items():
        if not isinstance(name, str) or not (value is None or isinstance(value, str)):
            raise TypeError(f"marks: expected texts, or None to remove one, got {name!r}: {type(value).__name__}")
    return marks


def _check_delivery(delivery: object) -> None:
    from heartline.dialects.spec import DELIVERIES

    if delivery not in DELIVERIES:
        raise ValueError(f"delivery: expected {' or '.join(map(repr, DELIVERIES))} or None, got {delivery!r}")


def _default(dialect: "Dialect | None", kind: Kind) -> "Delivery":
    forms = None if dialect is None else dialect.request if kind is Kind.CALL else dialect.send
    return "at_most_once" if forms is None else forms.delivery
