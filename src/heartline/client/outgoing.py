"""What an application wants to say, checked before anything is queued.

Invariants:
- what can be seen to be wrong raises TypeError or ValueError naming the argument, in the call itself
  (test_connect_refuses_nonsense, test_what_a_dialect_cannot_spell_is_refused_early).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import json

from heartline.core.names import KnownNames, check_channel, check_name
from heartline.core.outbox import CALL, PUB, Kind

from .items import Since
from .options import Options, encode

if TYPE_CHECKING:
    from heartline.dialects.spec import Delivery, Dialect

KEPT: Final = "heartline.kept"
"""The mark under which a durable outbox holds what a dialect's login gave to keep."""

_json: Final = json.encode

Marks: TypeAlias = Mapping[str, str | None] | None


class Outgoing:
    """One message. `again`: it may be said again where nobody knows whether it arrived. `target`: its channel, or ""."""

    __slots__ = ("again", "data", "event", "expires", "kind", "marks", "target")

    def __init__(
        self, kind: Kind, event: str, data: bytes, target: str, again: bool, expires: float | None, marks: Marks
    ) -> None:
        self.kind: Kind = kind
        self.event: str = event
        self.data: bytes = data
        self.target: str = target
        self.again: bool = again
        self.expires: float | None = expires
        self.marks: Marks = marks


class Speller:
    """Makes messages for one connection, in its dialect or in heartline.1."""

    def __init__(self, options: Options) -> None:
        self._names = KnownNames()
        self._dialect = options.dialect
        self._params: Mapping[str, Any] = options.params

    def message(
        self,
        kind: Kind,
        event: object,
        data: object,
        channel: object,
        delivery: object,
        expires: Any = None,
        marks: Marks = None,
    ) -> Outgoing:
        """One message. What an application gives may be anything. Raises TypeError and ValueError."""
        if not isinstance(event, str):
            event = check_name(event, "event")  # raises
        self._names.check(event, "event")
        if expires is not None:
            check_seconds("expires", expires)
            expires = float(expires)
        if delivery is not None:
            _check_delivery(delivery)
        target = check_name(channel, "channel") if kind is PUB or channel is not None else ""
        try:
            text = _json(data)
        except (TypeError, ValueError, RecursionError):
            text = encode("data", data)  # raises the same in our words
        if self._dialect is not None:
            self._check(kind, event, text, None if channel is None else target)
        elif channel is not None and kind is not PUB:
            raise ValueError("channel: heartline.1 has none in sends and requests, publish() adds an entry to one")
        if delivery is None and self._dialect is not None:
            delivery = _default(self._dialect, kind)
        return Outgoing(kind, event, text, target, delivery == "at_least_once", expires, marks)

    def _check(self, kind: Kind, event: str, text: bytes, channel: str | None) -> None:
        from heartline.dialects.client_messages import check_message

        assert self._dialect is not None
        check_message(self._dialect, kind.value, event, json.decode(text), channel, self._params)

    def subscription(self, channel: object, args: object, since: Since) -> None:
        """Look at a subscription. Raises TypeError and ValueError."""
        name = check_channel(channel, "channel")
        if self._dialect is None:
            if args is not None:
                raise ValueError("args: heartline.1 has none, a channel's name says it all")
            return
        if since not in (None, "now"):
            raise ValueError("since: a foreign server keeps nothing to begin with, only None or 'now'")
        from heartline.dialects.client_channels import check_subscription

        check_subscription(self._dialect, name, json.decode(encode("args", args)), self._params)


def check_seconds(name: str, value: Any) -> None:
    """Raise TypeError or ValueError unless `value` is None or a time above 0."""
    if value is None:
        return
    if type(value) is not float and not isinstance(value, int | float):
        raise TypeError(f"{name}: expected seconds or None, got {type(value).__name__}")
    if not value > 0:
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


def _default(dialect: "Dialect", kind: Kind) -> "Delivery":
    forms = dialect.request if kind is CALL else dialect.send
    return "at_most_once" if forms is None else forms.delivery
