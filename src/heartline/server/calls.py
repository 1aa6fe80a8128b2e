"""Starting what clients sent: handlers and publications, and turning their ends into frames.

Invariants:
- a handler's error shows nothing of its inside to the client and everything in the log
  (test_handler_errors_show_no_internals);
- every message that was started ends exactly once (test_every_started_message_ends).
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from heartline.core.errors import BrokerError
from heartline.core.outbox import Kind
from heartline.core.server.session import Pending
from heartline.transports.clock import now

from .handlers import Handler
from .refusals import Refuse, fail_frame, invalid_frame
from .session import Message

if TYPE_CHECKING:
    from .hub import Hub

logger = logging.getLogger("heartline.server")


class Calls:
    """Runs messages for one hub."""

    def __init__(self, hub: "Hub", handlers: dict[str, Handler]) -> None:
        self._hub = hub
        self._handlers = handlers
        self.started = 0

    def serial_of(self, kind: Kind, event: str) -> bool:
        """Whether such a message waits for the one before it."""
        if kind is Kind.PUB:
            return True
        handler = self._handlers.get(event)
        return handler is None or not handler.concurrent

    def start(self, pending: Pending) -> None:
        """Begin a message; it may end before this returns."""
        self.started += 1
        if pending.kind is Kind.PUB:
            self._run(pending, self._hub.publish_for(pending))
            return
        handler = self._handlers.get(pending.event)
        if handler is None:
            self._end(pending, fail_frame(pending.n, "unknown_event", f"no handler for {pending.event[:80]!r}"))
        elif handler.on_crash == "unknown" and pending.session.durable and not pending.recorded:
            self._hub.after_save(pending.session, pending.session.record_start(pending), pending)
        else:
            self._call(pending, handler)

    def _call(self, pending: Pending, handler: Handler) -> None:
        try:
            value = handler.call(self._hub.facade(pending.session), Message(pending))
        except Exception as error:  # noqa: BLE001 - the application's, told to the client as a failure
            self._end(pending, self._failed(pending, error))
            return
        if handler.is_async or hasattr(value, "__await__"):
            self._run(pending, value, handler)
        else:
            self._end(pending, self._replied(pending, handler, value))

    def _run(self, pending: Pending, coroutine: "Coroutine[Any, Any, Any]", handler: Handler | None = None) -> None:
        """Step a coroutine at once; when it suspends, end the message when it ends."""
        try:
            done, value, task = self._hub.runner.start(coroutine)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - as above
            self._end(pending, self._failed(pending, error))
            return
        if done or task is None:
            self._end(pending, self._replied(pending, handler, value))
            return

        def ended(task: "asyncio.Task[Any]") -> None:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is not None:
                payload: bytes | None = self._failed(pending, error)
            else:
                payload = self._replied(pending, handler, task.result())
            self._hub.node.finished(pending, payload, now())
            self._hub.turn()

        task.add_done_callback(ended)

    def _replied(self, pending: Pending, handler: Handler | None, value: Any) -> bytes | None:
        """The frame for a good end: a reply to a call, nothing for a send."""
        if pending.kind is not Kind.CALL or handler is None:
            return None
        try:
            return b'["reply",%d,%b]' % (pending.n, handler.encode(value))
        except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError) as error:
            logger.error("the reply of the handler of %r is not what it promises: %s", pending.event, error)
            return fail_frame(pending.n, "failed", "the handler failed")

    def _failed(self, pending: Pending, error: BaseException) -> bytes:
        if isinstance(error, Refuse):
            return fail_frame(pending.n, error.code, error.message, error.details)
        if isinstance(error, (msgspec.ValidationError, msgspec.DecodeError)):
            return invalid_frame(pending.n, error)
        if isinstance(error, RecursionError):
            return fail_frame(pending.n, "invalid", "nested too deeply", {"path": "$"})
        if isinstance(error, asyncio.CancelledError):
            return fail_frame(pending.n, "failed", "the handler was cancelled")
        if isinstance(error, BrokerError):
            logger.error("broker failed for message %s (%s): %s", pending.id, pending.event, error)
            return fail_frame(pending.n, "busy", "the broker failed", {"retryable": error.retryable})
        logger.error("the handler of %r failed for message %s", pending.event, pending.id, exc_info=error)
        return fail_frame(pending.n, "failed", "the handler failed")

    def _end(self, pending: Pending, payload: bytes | None) -> None:
        """End a message in the turn that started it, so at the same time as far as the node knows."""
        node = self._hub.node
        node.finished(pending, payload, node.now)
