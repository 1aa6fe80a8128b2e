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
from typing import Any, Final

import msgspec

from .handler import Handler
from .session import Message, Session

CRASH: Final = ("repeat", "unknown")
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def make_handler(event: str, function: Callable[..., Any], *, concurrent: bool, on_crash: str) -> Handler:
    """Look at a function once. Raises TypeError or ValueError naming what is wrong with it."""
    if not callable(function):
        raise TypeError(f"the handler of {event!r} must be a function, not {type(function).__name__}")
    if not isinstance(concurrent, bool):
        raise TypeError(f"concurrent must be True or False, not {concurrent!r}")
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
        tuple(wants),
        _decoder(event, payload_type) if "payload" in wants else None,
        *_promise(event, hints.get("return", Any)),
        Message,
        is_async=inspect.iscoroutinefunction(whole),
        concurrent=concurrent,
        on_crash=on_crash,
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


def _promise(event: str, hint: Any) -> tuple[Any, type | None]:
    """What a reply is checked to be, Any for nothing, and the class whose instances need no check."""
    if hint is Any or hint is inspect.Signature.empty:
        return Any, None
    try:
        msgspec.json.Decoder(hint)
    except (TypeError, ValueError, NameError) as error:
        raise TypeError(f"the handler of {event!r} promises a type that cannot be checked: {error}") from error
    return hint, hint if isinstance(hint, type) and not typing.get_args(hint) else None
