"""A registered handler, as messages meet it; `handlers.make_handler` makes it from a function.

Invariants:
- the payload is decoded before the function is called, so what the function raises is never taken for a bad payload
  (test_handler_errors_show_no_internals);
- an instance of the very class that was promised passes as it is: its own fields are not looked at again
  (test_replies_are_what_they_promise).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from heartline.core.server.session import Pending

if TYPE_CHECKING:
    from .session import Message, Session

_encode: Final = msgspec.json.Encoder().encode
_convert: Final = msgspec.convert

# What a function wants to be given, in its order; more than this is looked up by name.
NOTHING: Final = 0
PAYLOAD: Final = 1
SESSION: Final = 2
SESSION_PAYLOAD: Final = 3
OTHERS: Final = 4
SHAPES: Final[dict[tuple[str, ...], int]] = {
    (): NOTHING,
    ("payload",): PAYLOAD,
    ("session",): SESSION,
    ("session", "payload"): SESSION_PAYLOAD,
}


class Handler:
    """One registered function.

    `wants` names what it is given, `decode` turns a payload into what it takes (None: it takes none) and raises what
    msgspec raises; `promised` is what it returns, `exact` the class where that is a plain one, `message_of` makes the
    Message that some ask for.
    """

    __slots__ = (
        "_checks",
        "_exact",
        "_message_of",
        "_promised",
        "_shape",
        "_wants",
        "concurrent",
        "decode",
        "event",
        "function",
        "is_async",
        "on_crash",
    )

    def __init__(
        self,
        event: str,
        function: Callable[..., Any],
        wants: tuple[str, ...],
        decode: Callable[[Any], Any] | None,
        promised: Any,
        exact: type | None,
        message_of: "Callable[[Pending], Message]",
        *,
        is_async: bool,
        concurrent: bool,
        on_crash: str,
    ) -> None:
        self.event: str = event
        self.function: Callable[..., Any] = function
        self.decode: Callable[[Any], Any] | None = decode
        self.is_async: bool = is_async
        self.concurrent: bool = concurrent
        self.on_crash: str = on_crash
        self._wants: tuple[str, ...] = wants
        self._shape: int = SHAPES.get(wants, OTHERS)
        self._promised: Any = promised
        self._checks: bool = promised is not Any
        self._exact: type | None = exact
        self._message_of: Callable[[Pending], Message] = message_of

    def call(self, session: "Session", pending: Pending, payload: Any) -> Any:
        """Give the function what it wants."""
        shape, function = self._shape, self.function
        if shape == SESSION_PAYLOAD:
            return function(session, payload)
        if shape == PAYLOAD:
            return function(payload)
        if shape == SESSION:
            return function(session)
        if shape == NOTHING:
            return function()
        given = {"session": session, "message": self._message_of(pending), "payload": payload}
        return function(*[given[want] for want in self._wants])

    def encode_reply(self, n: int, value: Any) -> bytes:
        """A reply as a frame (PROTOCOL 3.3), after checking that it is what was promised; raises what msgspec raises."""
        if self._checks and type(value) is not self._exact:
            value = _convert(value, self._promised, from_attributes=True)
        return _encode(("reply", n, value))
