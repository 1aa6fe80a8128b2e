"""From a function to a handler: what it wants to be given, and in which types (msgspec).

Invariants:
- a payload that does not fit the annotation never reaches the function (test_bad_payload_names_the_field);
- a function that cannot be a handler is refused when it is registered (test_bad_handlers_are_refused_early).
"""

import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from .session import Message, Session

CRASH: Final = ("repeat", "unknown")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Handler:
    """One registered function. `call(session, message)` calls it with what it asked for."""

    event: str
    function: Callable[..., Any]
    is_async: bool
    concurrent: bool
    on_crash: str
    call: Callable[[Session, Message], Any]
    encode: Callable[[Any], bytes]


def make_handler(event: str, function: Callable[..., Any], *, concurrent: bool, on_crash: str) -> Handler:
    """Look at a function once. Raises TypeError or ValueError naming what is wrong with it."""
    if not callable(function):
        raise TypeError(f"the handler of {event!r} must be a function, not {type(function).__name__}")
    if on_crash not in CRASH:
        raise ValueError(f"on_crash must be 'repeat' or 'unknown', not {on_crash!r}")
    hints = _hints(function)
    wants: list[str] = []
    payload_type: Any = Any
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in {parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}:
            if parameter.default is parameter.empty and parameter.kind is parameter.KEYWORD_ONLY:
                raise TypeError(f"the handler of {event!r} has a keyword-only parameter {name!r}: nobody would fill it")
            continue
        hint = hints.get(name, Any)
        kind = "session" if hint is Session or (hint is Any and name == "session") else "payload"
        kind = "message" if hint is Message or (hint is Any and name == "message") else kind
        if kind in wants:
            raise TypeError(f"the handler of {event!r} has a second {kind} parameter, {name!r}")
        if kind == "payload":
            payload_type = hint
        wants.append(kind)
    return Handler(
        event,
        function,
        inspect.iscoroutinefunction(function),
        concurrent,
        on_crash,
        _caller(function, tuple(wants), payload_type),
        _reply_encoder(event, hints.get("return", Any)),
    )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TypeError(f"an annotation of {function!r} cannot be resolved: {error}") from error


def _caller(function: Callable[..., Any], wants: tuple[str, ...], payload_type: Any) -> Callable[..., Any]:
    """The shortest way to call `function` with what it wants, in its order."""
    decode = msgspec.json.Decoder(payload_type).decode
    match wants:
        case ():
            return lambda _session, _message: function()
        case ("session",):
            return lambda session, _message: function(session)
        case ("payload",):
            return lambda _session, message: function(decode(message.data))
        case ("session", "payload"):
            return lambda session, message: function(session, decode(message.data))

    def call(session: Session, message: Message) -> Any:
        given = {"session": session, "message": message}
        return function(*(decode(message.data) if want == "payload" else given[want] for want in wants))

    return call


def _reply_encoder(event: str, hint: Any) -> Callable[[Any], bytes]:
    """Encode a reply, after checking that it is what the annotation promises."""
    if hint in {Any, None, type(None)} or hint is inspect.Signature.empty:
        return _encode
    try:
        msgspec.json.Decoder(hint)
    except TypeError as error:
        raise TypeError(f"the handler of {event!r} promises a type that cannot be checked: {error}") from error
    convert = msgspec.convert
    if isinstance(hint, type) and not typing.get_args(hint):

        def encode_exact(value: Any) -> bytes:
            return _encode(value if type(value) is hint else convert(value, hint, from_attributes=True))

        return encode_exact
    return lambda value: _encode(convert(value, hint, from_attributes=True))
