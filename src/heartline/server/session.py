"""What a handler sees of the client it serves.

Invariant: a session's key is shown nowhere (test_keys_are_never_shown).
"""

from typing import TYPE_CHECKING, Any

from heartline.core.names import check_texts
from heartline.core.outbox import Kind
from heartline.core.server.session import Pending
from heartline.core.server.session import Session as CoreSession
from heartline.transports.api import Request

if TYPE_CHECKING:
    from .hub import Hub


class Message:
    """The message being handled. `id` is stable over retries: use it as the idempotency key in your database."""

    __slots__ = ("_pending",)

    def __init__(self, pending: Pending) -> None:
        self._pending = pending

    @property
    def id(self) -> str:
        """Names this message for good: the session's id and the message's number."""
        return self._pending.id

    @property
    def n(self) -> int:
        """Its number in the session."""
        return self._pending.n

    @property
    def event(self) -> str:
        """The event it carries."""
        return self._pending.event

    @property
    def wants_reply(self) -> bool:
        """Whether the client called (True) or only sent (False)."""
        return self._pending.kind is Kind.CALL

    @property
    def data(self) -> bytes:
        """The payload as JSON text."""
        return bytes(self._pending.data)


class Session:
    """One client, over all its links. Keep it as long as you like; `ended` tells when it is over."""

    __slots__ = ("__weakref__", "_core", "_hub", "state")

    def __init__(self, hub: "Hub", core: CoreSession) -> None:
        self._hub = hub
        self._core = core
        self.state: dict[str, Any] = {}
        """Yours; lives as long as the session does in this process."""

    def __repr__(self) -> str:
        return f"<Session {self.id} of {self.identity or 'anybody'}>"

    @property
    def id(self) -> str:
        """Public name of the session."""
        return self._core.id

    @property
    def identity(self) -> str:
        """Who the login said this is; empty without a login."""
        return self._core.identity

    @property
    def user(self) -> Any:
        """What the login returned as `user`, renewed at every link."""
        return self._core.user

    @property
    def request(self) -> Request | None:
        """The HTTP request its present link began with: path, query and headers. None while it has no link."""
        link = self._core.link
        info = None if link is None else link.info
        return info if isinstance(info, Request) else None

    @property
    def connected(self) -> bool:
        """Whether it has a link at the moment."""
        return self._core.link is not None

    @property
    def ended(self) -> bool:
        """Whether it is over: nothing can be sent to it any more."""
        return self._core.fenced

    async def send(self, event: str, data: Any = None) -> int:
        """Send to this session alone, through its inbox: in order, kept while it is offline. Returns the offset.

        A client of a dialect cannot come back to its session: it is sent at once, and to nobody when it has gone.
        Raises BrokerError, ValueError for data too large, for an anonymous session, which has no inbox, and for one that
        is over, RuntimeError when the server has stopped.
        """
        if type(event) is not str:
            check_texts(event=event)
        return await self._hub.entries.send(self._core, event, data)

    def send_now(self, event: str, data: Any = None) -> None:
        """Send something that may be dropped: nothing when the session is offline or its link is congested."""
        if type(event) is not str:
            check_texts(event=event)
        self._hub.entries.send_now(self._core, event, data)

    def revoke(self, channel: str, message: str = "") -> None:
        """Take a subscription away; the client hears `forbidden`. Nothing when it does not follow the channel."""
        check_texts(channel=channel, message=message)
        self._hub.revoke(self._core, channel, message)

    def close(self, reason: str = "") -> None:
        """End the session for good: its client is told (close code 4203) and does not come back as this session."""
        check_texts(reason=reason)
        self._hub.end(self._core, reason or "ended by the application")
