"""How an application says no.

Invariant: nothing but what the application put into a `Refuse` reaches the client
(test_handler_errors_show_no_internals).
"""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


class Refuse(Exception):
    """Raise it in a handler, a login or a channel hook: the peer gets `code`, `message` and `details`, nothing else.

    In a login, `retry` is the seconds after which the client may try again; False (default) refuses for good.
    `code` is a short word a program can test; `message` is for a person.
    """

    def __init__(
        self, code: str = "forbidden", message: str = "", *, retry: float | bool = False, **details: Any
    ) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        if not code or not isinstance(code, str):
            raise TypeError(f"code must be a short word, not {code!r}")
        if retry is True:
            raise ValueError("retry must be seconds, or False for good")
        self.code = code
        self.message = message
        self.retry = retry
        self.details = details


def fail_frame(n: int, code: str, message: str, details: dict[str, Any] | None = None) -> bytes:
    """A `fail` frame (PROTOCOL 3.3)."""
    body = {**(details or {}), "code": code, "message": message[:500]}
    return b'["fail",%d,%b]' % (n, _encode(body))


def invalid_frame(n: int, error: Exception) -> bytes:
    """A `fail` frame for a payload that is not what the handler's annotation says; it names the field."""
    text = str(error)
    message, _, path = text.partition(" - at `")
    return fail_frame(n, "invalid", message[:300], {"path": path.rstrip("`") or "$"})
