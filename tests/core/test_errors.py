"""The tree of errors."""

import re

from heartline.core import codes, errors
from heartline.core.errors import HeartlineError


def all_errors() -> list[type[HeartlineError]]:
    found: list[type[HeartlineError]] = []
    waiting: list[type[HeartlineError]] = [HeartlineError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += [k for k in kind.__subclasses__() if k.__module__ == errors.__name__]
    return found


def test_errors_carry_retryable_and_close_code() -> None:
    for kind in all_errors():
        assert isinstance(kind.retryable, bool), kind
        assert kind.close_code is None or kind.close_code in {c.value for c in codes.Code}, kind
    assert errors.BadFrame.close_code == 4200
    assert errors.LoginRefused.close_code == 4201
    assert errors.Replaced.close_code == 4202
    assert errors.ConnectionClosed.close_code == 4203
    assert errors.Expired.retryable
    assert not errors.OutcomeUnknown.retryable


def test_the_tree_of_the_docstring_is_complete() -> None:
    assert errors.__doc__ is not None
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__)) | {"HeartlineError"}
    assert drawn == {kind.__name__ for kind in all_errors()}


def test_what_was_not_delivered_tells_its_outcome() -> None:
    kinds = (errors.Rejected, errors.Expired, errors.OutcomeUnknown)
    assert [k.outcome for k in kinds] == ["rejected", "expired", "unknown"]
    assert all(issubclass(k, errors.NotDelivered) for k in kinds)


def test_messages_say_what_happened() -> None:
    assert str(errors.Rejected("busy", "later")) == "busy: later"
    assert str(errors.Rejected("busy", "")) == "busy"
    assert str(errors.SubscriptionRefused("room", "forbidden", "")) == "room: forbidden"
    assert str(errors.OutboxFull(3, 70)) == "the outbox is full (3 messages, 70 bytes wait): nothing was queued"
    assert errors.RequestTimeout("slow", 7).n == 7
    assert isinstance(errors.RequestTimeout("slow", 7), TimeoutError)
