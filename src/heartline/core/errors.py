"""The one tree of errors; what a user of heartline may have to catch.

    HeartlineError
    ├── BadFrame            the peer broke heartline.1 (remote; close_code 4200)
    ├── NotDelivered        a message of ours ended otherwise than handled (`outcome` tells how)
    │   ├── Rejected        the server said fail: `code`, `message`, `details`
    │   ├── Expired         it never left this client: too old, dropped from a full outbox, or closed before
    │   └── OutcomeUnknown  it was written, and the server lost its memory of it, or we closed
    ├── RequestTimeout      we stopped waiting; the message goes on (`n` names it)
    ├── OutboxFull          nothing was queued: `messages` and `bytes` tell the fill
    ├── OutboxError         the file of a durable outbox cannot be used, or did not take a message
    ├── SubscriptionRefused the server said no: `code`, `message`
    ├── UnexpectedData      a reply or an entry does not fit the type asked for
    ├── LoginRefused        refused for good
    ├── GaveUp              max_attempts dials failed; `retry_now()` is the way back
    ├── ConnectionClosed    close() or end() was called, or the server ended the session
    ├── Replaced            another instance took this session over
    └── BrokerError         the log or the session store failed; `retryable` tells whether to try again

Invariants: every error carries `retryable`; those that end a link carry `close_code`
(test_errors_carry_retryable_and_close_code).
"""

from typing import Any, ClassVar


class HeartlineError(Exception):
    """Base of every error heartline raises on purpose."""

    retryable: ClassVar[bool] = False
    close_code: ClassVar[int | None] = None


class BadFrame(HeartlineError):
    """The peer broke heartline.1. The message names frame and element, never payload (PROTOCOL 1.3)."""

    close_code: ClassVar[int | None] = 4200


class NotDelivered(HeartlineError):
    """A message of ours ended otherwise than handled."""

    outcome: ClassVar[str] = ""


class Rejected(NotDelivered):
    """The server refused a message or its handler failed (PROTOCOL 3.3)."""

    outcome = "rejected"

    def __init__(self, code: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.details: dict[str, Any] = details or {}


class Expired(NotDelivered):
    """The message never left this client; sending it again is safe."""

    outcome = "expired"
    retryable: ClassVar[bool] = True


class OutcomeUnknown(NotDelivered):
    """The message was written to a link and nobody can tell whether it was handled."""

    outcome = "unknown"


class RequestTimeout(HeartlineError, TimeoutError):
    """`request(timeout=…)` ran out after the message had been written. It may still be handled."""

    retryable: ClassVar[bool] = True

    def __init__(self, message: str, n: int) -> None:
        super().__init__(message)
        self.n = n


class OutboxFull(HeartlineError):
    """The outbox is at its limit and the policy is to refuse. Nothing was queued."""

    retryable: ClassVar[bool] = True

    def __init__(self, messages: int, size: int) -> None:
        super().__init__(f"the outbox is full ({messages} messages, {size} bytes wait): nothing was queued")
        self.messages = messages
        self.bytes = size


class OutboxError(HeartlineError):
    """The file of a durable outbox cannot be opened, or did not take a message. The text names the file and says why."""

    retryable: ClassVar[bool] = True


class SubscriptionRefused(HeartlineError):
    """The server said no to a subscription, or withdrew it (PROTOCOL 4.3)."""

    def __init__(self, channel: str, code: str, message: str) -> None:
        super().__init__(f"{channel}: {code}: {message}" if message else f"{channel}: {code}")
        self.channel = channel
        self.code = code
        self.message = message


class UnexpectedData(HeartlineError, ValueError):
    """A reply or an entry does not fit the type asked for. The text names the place, never the value."""


class LoginRefused(HeartlineError):
    """The server refused the login for good (PROTOCOL 2.5)."""

    close_code: ClassVar[int | None] = 4201


class GaveUp(HeartlineError):
    """`max_attempts` attempts in a row made no progress; `retry_now()` starts again."""

    retryable: ClassVar[bool] = True


class ConnectionClosed(HeartlineError):
    """This connection was closed or its session ended; nothing more can be sent on it."""

    close_code: ClassVar[int | None] = 4203


class Replaced(ConnectionClosed):
    """Another instance of this client took the session over (a copied outbox, a duplicated tab)."""

    close_code: ClassVar[int | None] = 4202


class BrokerError(HeartlineError):
    """The broker could not do what was asked."""

    retryable: ClassVar[bool] = True
