"""Handlers by event name: for entries of the session's inbox, and for volatile messages.

Invariants:
- handlers of one event are called in the order of registration, events in the order of arrival
  (test_handlers_keep_the_order);
- an inbox entry for which there is no handler is let go, with a trace (test_an_event_without_handler_is_traced);
- volatile messages that a slow handler leaves waiting are bounded (test_volatile_messages_are_bounded).
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, get_type_hints

from heartline.core import effects
from heartline.core.names import check_name

from .items import Gap, Volatile
from .lane import Lane
from .reading import Decode, convert, decode, decoder_of

_logger = logging.getLogger("heartline.client")

MOST_VOLATILE = 1000
Item: TypeAlias = effects.Entry | effects.Lost | effects.Volatile
Handler: TypeAlias = Callable[..., object]


class _Registered:
    """One handler: how to call it."""

    __slots__ = ("decoder", "handler", "once", "wants_item")

    def __init__(self, handler: Handler, wanted: Any, once: bool) -> None:
        if not callable(handler):
            raise TypeError(f"handler: expected a function, got {type(handler).__name__}")
        parameters = _positional(handler)
        if not 1 <= len(parameters) <= 2:
            raise TypeError("handler: expected a function of (data) or (data, item)")
        self.handler = handler
        self.once = once
        self.wants_item = len(parameters) == 2
        self.decoder: Decode = decoder_of(wanted if wanted is not None else _hint(handler, parameters[0]))


class Bus:
    """The handlers of one connection."""

    def __init__(
        self,
        handled: Callable[[effects.Entry | effects.Lost], None],
        want_delivery: Callable[[Lane[Item]], None],
        trace: Callable[[str, dict[str, object]], None],
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._handlers: dict[str, list[_Registered]] = {}
        self._gap_handlers: list[Callable[[Gap], object]] = []
        self._handled = handled
        self._want_delivery = want_delivery
        self._trace = trace
        self._unheard: set[str] = set()
        self._volatile = 0
        self.lane: Lane[Item] = Lane(_name_of, self._handle, self._done, tasks)

    def on(self, event: str, handler: Handler, wanted: Any, *, once: bool = False) -> None:
        """Register a handler."""
        check_name(event, "event")
        self._handlers.setdefault(event, []).append(_Registered(handler, wanted, once))

    def off(self, event: str, handler: Handler | None) -> None:
        """Remove one handler, or all of the event."""
        known = self._handlers.get(event, [])
        rest = [one for one in known if handler is not None and one.handler != handler]
        if rest:
            self._handlers[event] = rest
        else:
            self._handlers.pop(event, None)

    def on_gap(self, handler: Callable[[Gap], object]) -> None:
        """Register a handler for gaps of the inbox."""
        if not callable(handler):
            raise TypeError(f"handler: expected a function, got {type(handler).__name__}")
        self._gap_handlers.append(handler)

    def put(self, item: Item) -> None:
        """Something arrived."""
        if isinstance(item, effects.Volatile):
            if item.event not in self._handlers:
                self._let_go(item)
                return
            if self._volatile >= MOST_VOLATILE:
                self._trace("client.volatile_dropped", {"channel": item.channel, "event": item.event})
                return
            self._volatile += 1
        self.lane.queue.append(item)
        self._want_delivery(self.lane)

    def _done(self, item: Item) -> None:
        if not isinstance(item, effects.Volatile):
            self._handled(item)

    def _handle(self, item: Item) -> Awaitable[object] | None:
        if isinstance(item, effects.Lost):
            return self._handle_gap(item)
        if isinstance(item, effects.Volatile):
            self._volatile -= 1
        handlers = self._handlers.get(item.event)
        if not handlers:
            self._let_go(item)
            return None
        if len(handlers) == 1:
            return self._call(handlers[0], item)
        return self._call_all(tuple(handlers), item)

    def _call(self, one: _Registered, item: effects.Entry | effects.Volatile) -> Awaitable[object] | None:
        if one.once:
            self.off(item.event, one.handler)
        if not one.wants_item:
            result = one.handler(decode(repr(item.event), one.decoder, item.data))
        elif isinstance(item, effects.Entry):
            entry = convert(item, one.decoder)
            result = one.handler(entry.data, entry)  # type: ignore[union-attr]  # an entry is no gap
        else:
            data = decode(repr(item.event), one.decoder, item.data)
            result = one.handler(data, Volatile(item.channel, item.event, data, item.data))
        return result if result is not None and inspect.isawaitable(result) else None

    def _call_all(
        self, handlers: Sequence[_Registered], item: effects.Entry | effects.Volatile
    ) -> Awaitable[object] | None:
        """Several handlers, one after another; one that fails does not keep the others from it."""
        for i, one in enumerate(handlers):
            try:
                awaitable = self._call(one, item)
            except Exception:
                _logger.exception("%s raised", _name_of(item))
                continue
            if awaitable is not None:
                return self._await_rest(awaitable, handlers[i + 1 :], item)
        return None

    async def _await_rest(
        self, awaitable: Awaitable[object], rest: Sequence[_Registered], item: effects.Entry | effects.Volatile
    ) -> None:
        try:
            await awaitable
        except Exception:
            _logger.exception("%s raised", _name_of(item))
        further = self._call_all(rest, item)
        if further is not None:
            await further

    def _handle_gap(self, lost: effects.Lost) -> Awaitable[object] | None:
        gap = Gap(lost.channel, lost.epoch, lost.after, lost.to, lost.reason)
        if not self._gap_handlers:
            _logger.warning("entries of the inbox may be lost (%s): no on_gap handler", gap.reason)
            return None
        awaitables = []
        for handler in list(self._gap_handlers):
            try:
                result = handler(gap)
            except Exception:
                _logger.exception("%s raised", _name_of(lost))
                continue
            if inspect.isawaitable(result):
                awaitables.append(result)
        return _one_after_another(awaitables) if awaitables else None

    def _let_go(self, item: effects.Entry | effects.Volatile) -> None:
        self._trace("client.no_handler", {"channel": item.channel, "event": item.event})
        if item.event not in self._unheard and len(self._unheard) < 1000:
            self._unheard.add(item.event)
            _logger.debug("nobody listens to %r: its messages are let go", item.event)


async def _one_after_another(awaitables: Sequence[Awaitable[object]]) -> None:
    for awaitable in awaitables:
        await awaitable


def _name_of(item: Item) -> str:
    if isinstance(item, effects.Lost):
        return "the handler of gaps"
    return f"the handler of {item.event!r}"


def _positional(handler: Handler) -> list[inspect.Parameter]:
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):  # some builtins
        return [inspect.Parameter("data", inspect.Parameter.POSITIONAL_ONLY)]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.kind in kinds and p.default is p.empty]
    if needed:
        return needed
    return [p for p in parameters if p.kind in kinds or p.kind is p.VAR_POSITIONAL][:1]


def _hint(handler: Handler, parameter: inspect.Parameter) -> Any:
    """The annotation of the data, None where there is none that says anything."""
    if parameter.annotation is parameter.empty:
        return None
    hint = parameter.annotation
    if isinstance(hint, str):
        try:
            hint = get_type_hints(handler).get(parameter.name)
        except NameError as error:
            raise TypeError(f"handler: its annotation cannot be resolved ({error}), pass type=") from None
    return None if hint in (Any, object) else hint
