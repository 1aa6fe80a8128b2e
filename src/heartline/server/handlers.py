"""From a function to a handler: what it wants to be given, and in which types (msgspec).

Invariants:
- a payload that does not fit the annotation never reaches the function (test_bad_payload_names_the_field);
- a function that cannot be a handler is refused when it is registered (test_bad_handlers_are_refused_early);
- what a handler returns reaches its caller only if it is what the annotation promises
  (test_replies_are_what_they_promise).
"""

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from heartline.core.server.session import Pending

from .session import Message, Session

CRASH: Final = ("repeat", "unknown")
_encode = msgspec.json.Encoder().encode
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Handler:
    """One registered function.

    `decode` turns the payload into what `call(session, pending, payload)` hands to the function; it raises what msgspec
    raises. They are two steps so that what the function itself raises is never taken for a bad payload.
    """

    event: str
    function: Callable[..., Any]
    is_async: bool
    concurrent: bool
    on_crash: str
    decode: Callable[[bytes], Any]
    call: Callable[[Session, Pending, Any], Any]
    encode_reply: Callable[[int, Any], bytes]


def make_handler(event: str, function: Callable[..., Any], *, concurrent: bool, on_crash: str) -> Handler:
    """Look at a function once. Raises TypeError or ValueError naming what is wrong with it."""
    if not callable(function):
        raise TypeError(f"the handler of {event!r} must be a function, not {type(function).__name__}")
    if on_crash not in CRASH:
        raise ValueError(f"on_crash must be 'repeat' or 'unknown', not {on_crash!r}")
    whole = _without_partial(function)
    if inspect.isgeneratorfunction(whole) or inspect.isasyncgenfunction(whole):
        raise TypeError(f"the handler of {event!r} must not yield: it returns its reply")
    hints = hints_of(function)
    wants: list[str] = []
    payload_type: Any = Any
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in _POSITIONAL:
            if parameter.default is parameter.empty and parameter.kind is parameter.KEYWORD_ONLY:
                raise TypeError(f"the handler of {event!r} has a keyword-only parameter {name!r}: nobody would fill it")
            continue
        hint = hints.get(name, Any)
        kind = _kind_of(event, name, hint)
        if kind in wants:
            raise TypeError(f"the handler of {event!r} has a second {kind} parameter, {name!r}")
        if kind == "payload":
            payload_type = hint
        wants.append(kind)
    return Handler(
        event,
        function,
        inspect.iscoroutinefunction(whole),
        concurrent,
        on_crash,
        _decoder(event, payload_type) if "payload" in wants else _nothing,
        _caller(function, tuple(wants)),
        _reply_encoder(event, hints.get("return", Any)),
    )


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, a method, a partial or an object that can be called. Raises TypeError."""
    whole = _without_partial(function)
    try:
        return typing.get_type_hints(whole, include_extras=True)
    except NameError as error:
        raise TypeError(f"an annotation of {function!r} cannot be resolved: {error}") from error
    except TypeError:  # something written in C: it has none
        return {}


def _without_partial(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not inspect.isclass(function):
        return type(function).__call__
    return function


def _kind_of(event: str, name: str, hint: Any) -> str:
    """Which of the three a parameter is for, by its annotation, or by its name where it has none."""
    for kind, its_type in (("session", Session), ("message", Message)):
        if hint is its_type or (hint is Any and name == kind):
            return kind
        if its_type in typing.get_args(hint):
            raise TypeError(f"the handler of {event!r} always gets a {kind}: annotate {name!r} as {its_type.__name__}")
    return "payload"


def _decoder(event: str, payload_type: Any) -> Callable[[bytes], Any]:
    try:
        return msgspec.json.Decoder(payload_type).decode
    except (TypeError, ValueError, NameError) as error:
        raise TypeError(f"the handler of {event!r} wants a payload that cannot be checked: {error}") from error


def _nothing(data: bytes) -> None:
    """For handlers that want no payload."""


def _caller(function: Callable[..., Any], wants: tuple[str, ...]) -> Callable[[Session, Pending, Any], Any]:
    """The shortest way to call `function` with what it wants, in its order."""
    match wants:
        case ():
            return lambda _session, _pending, _payload: function()
        case ("session",):
            return lambda session, _pending, _payload: function(session)
        case ("payload",):
            return lambda _session, _pending, payload: function(payload)
        case ("session", "payload"):
            return lambda session, _pending, payload: function(session, payload)

    def call(session: Session, pending: Pending, payload: Any) -> Any:
        given = {"session": session, "message": Message(pending), "payload": payload}
        return function(*(given[want] for want in wants))

    return call


def _reply_encoder(event: str, hint: Any) -> Callable[[int, Any], bytes]:
    """Encode a reply (PROTOCOL 3.3), after checking that it is what the annotation promises.

    An instance of the very class that was promised passes as it is: its own fields are not looked at again.
    """
    if hint is Any or hint is inspect.Signature.empty:
        return lambda n, value: _encode(("reply", n, value))
    try:
        msgspec.json.Decoder(hint)
    except (TypeError, ValueError, NameError) as error:
        raise TypeError(f"the handler of {event!r} promises a type that cannot be checked: {error}") from error
    convert = msgspec.convert
    if isinstance(hint, type) and not typing.get_args(hint):

        def encode_exact(n: int, value: Any) -> bytes:
            if type(value) is not hint:
                value = convert(value, hint, from_attributes=True)
            return _encode(("reply", n, value))

        return encode_exact
    return lambda n, value: _encode(("reply", n, convert(value, hint, from_attributes=True)))
