"""How an application says no.

Invariant: nothing but what the application put into a `Refuse` reaches the client
(test_handler_errors_show_no_internals).
"""

import logging
from typing import Any

import msgspec

logger: logging.Logger = logging.getLogger("heartline.server")
_encode = msgspec.json.Encoder().encode
_MOST_MESSAGE = 500


class Refuse(Exception):
    """Raise it in a handler, a login or a channel hook: the peer gets `code` and `message`, and nothing else.

    `code` is a short word a program can test; `message`, at most 500 characters of it, is for a person. In a handler
    `details`, JSON values, go with them. In a login `retry` is the seconds after which the client may try again; False
    (default) refuses for good.
    """

    def __init__(
        self, code: str = "forbidden", message: str = "", *, retry: float | bool = False, **details: Any
    ) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        check_text(code, "code must be a short word")
        seconds: object = retry
        if seconds is not False and (seconds is True or not isinstance(seconds, int | float) or not seconds >= 0):
            raise ValueError(f"retry must be seconds, or False for good, not {retry!r}")
        self.code = code
        self.message: str = str(message)
        self.retry = retry
        self.details = details


def check_text(value: object, complaint: str) -> None:
    """Raise TypeError unless a value is a string with something in it."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{complaint}, not {value!r}")


def fail_frame(n: int, code: str, message: str, details: dict[str, Any] | None = None) -> bytes:
    """A `fail` frame (PROTOCOL 3.3). Details that cannot be written as JSON are left out, and told in the log."""
    body: dict[str, Any] = {"code": code, "message": str(message)[:_MOST_MESSAGE]}
    if details:
        try:
            return b'["fail",%d,%b]' % (n, _encode({**details, **body}))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            logger.error("the details of Refuse(%r) cannot be written as JSON: %s", code, error)
    return b'["fail",%d,%b]' % (n, _encode(body))


def invalid_frame(n: int, error: Exception) -> bytes:
    """A `fail` frame for a payload that is not what the handler's annotation says; it names the field."""
    if isinstance(error, RecursionError):
        return fail_frame(n, "invalid", "nested too deeply", {"path": "$"})
    message, path = split_invalid(error)
    return fail_frame(n, "invalid", message, {"path": path})


def split_invalid(error: Exception) -> tuple[str, str]:
    """What is wrong with a payload, and where in it."""
    message, _, path = str(error).partition(" - at `")
    return message[:300], path.rstrip("`") or "$"
