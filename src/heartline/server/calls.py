"""Starting what clients sent: handlers and publications, and turning their ends into frames.

Invariants:
- a handler's error shows nothing of its inside to the client and everything in the log
  (test_handler_errors_show_no_internals);
- every message that was started ends exactly once, unless the server stops first: then it counts as one that a crash
  interrupted (test_every_started_message_ends, test_stopping_interrupts_like_a_crash);
- no frame is larger than `ServerLimits.message` (test_too_big_a_reply_is_a_failure).
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from heartline.core.errors import BrokerError
from heartline.core.outbox import Kind
from heartline.core.server.session import Lane, Pending
from heartline.transports.clock import now

from .eager import Runner
from .handler import Handler
from .refusals import Refuse, fail_frame, invalid_frame
from .settling import settle

if TYPE_CHECKING:
    from .hub import Hub

logger: logging.Logger = logging.getLogger("heartline.server")
# Naming a member of an enum costs as much as a call on Python 3.11.
_ALONE: Final = Lane.ALONE
_TOGETHER: Final = Lane.TOGETHER
_CALL: Final = Kind.CALL
_PUB: Final = Kind.PUB
_settle: Final = settle


class Calls:
    """Runs messages for one hub."""

    def __init__(self, hub: "Hub", handlers: dict[str, Handler]) -> None:
        self._hub = hub
        self._handlers = handlers
        self._runner: Runner = hub.runner
        self._most = hub.options.limits.message
        self.started: int = 0

    def lane_of(self, event: str, channel: str) -> Lane:
        """What a publication overlaps with: with others, whose commits it shares, unless a hook may hold one up."""
        del event
        found = self._hub.entries.rule(channel)
        return _ALONE if found is not None and found[0].judges_publications else _TOGETHER

    def start(self, pending: Pending) -> None:
        """Begin a message; it may end before this returns."""
        self.started += 1
        if pending.kind is _PUB:
            self._runner.start(_settle(self, pending, None, self._hub.entries.publish_for(pending)))
            return
        handler = self._handlers.get(pending.event)
        if handler is None:
            self._end(pending, fail_frame(pending.n, "unknown_event", f"no handler for {pending.event[:80]!r}"))
            return
        session = pending.session
        if handler.on_crash == "unknown" and session.durable and not pending.recorded:
            self._hub.after_save(session, session.record_start(pending), pending)
            return
        decode = handler.decode
        try:
            payload = None if decode is None else decode(pending.data)
        except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as error:
            self._end(pending, invalid_frame(pending.n, error))
            return
        try:
            value = handler.call(session.view or self._hub.facade(session), pending, payload)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the application's, told as a failure
            self.end_badly(pending, error)
            return
        if handler.is_async or hasattr(value, "__await__"):
            self._runner.start(_settle(self, pending, handler, value))
        else:
            self.end_well(pending, handler, value)

    def end_well(self, pending: Pending, handler: Handler | None, value: Any) -> None:
        """End with a reply to a call, with nothing to say for a send."""
        payload = None
        if pending.kind is _CALL and handler is not None:
            try:
                payload = handler.encode_reply(pending.n, value)
            except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError) as error:
                logger.error("the reply of the handler of %r is not what it promises: %s", pending.event, error)
                payload = fail_frame(pending.n, "failed", "the handler failed")
        self._end(pending, payload)

    def end_badly(self, pending: Pending, error: BaseException) -> None:
        """End with what was raised, unless the server's stop is what cancelled it."""
        if not (self._hub.stopping and isinstance(error, asyncio.CancelledError)):
            self._end(pending, self._failed(pending, error))

    def _failed(self, pending: Pending, error: BaseException) -> bytes:
        if isinstance(error, Refuse):
            return fail_frame(pending.n, error.code, error.message, error.details)
        if isinstance(error, asyncio.CancelledError):
            return fail_frame(pending.n, "failed", "the handler was cancelled")
        if isinstance(error, BrokerError):
            logger.error("broker failed for message %s (%s): %s", pending.id, pending.event, error)
            return fail_frame(pending.n, "busy", "the broker failed", {"retryable": error.retryable})
        logger.error("the handler of %r failed for message %s", pending.event, pending.id, exc_info=error)
        return fail_frame(pending.n, "failed", "the handler failed")

    def _end(self, pending: Pending, payload: bytes | None) -> None:
        """End a message with a frame or silently: within the turn that started it, or in one of its own."""
        if payload is not None and len(payload) > self._most:
            payload = self._too_big(pending, payload)
        hub = self._hub
        if hub.turning:
            hub.node.finished(pending, payload, hub.node.now)
        else:
            hub.node.finished(pending, payload, now())
            hub.turn()

    def _too_big(self, pending: Pending, payload: bytes) -> bytes:
        """What is said instead of a frame that a client cannot take."""
        logger.error("the answer to message %s (%s) has %d bytes: too big", pending.id, pending.event, len(payload))
        return fail_frame(pending.n, "too_big", f"the answer is larger than {self._most} bytes")
