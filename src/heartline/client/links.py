"""What the socket of one attempt says, told to the machine.

Invariant: a socket that was left says nothing any more (test_a_link_that_was_left_is_mute).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Raw

from heartline.core.client import ClientMachine
from heartline.core.codes import Code
from heartline.transports.clock import now

if TYPE_CHECKING:
    from heartline.transports.api import Socket

    from .shell import Shell

_now: Final = now


class Link:
    """One attempt: a `LinkHandler` that passes everything on to the machine."""

    __slots__ = ("_machine", "_owner", "attempt", "login", "opened", "send", "socket")

    def __init__(self, attempt: int, login: Raw, owner: "Shell") -> None:
        self.attempt: int = attempt
        self.login: Raw = login
        self.opened: bool = False
        self.socket: Socket | None = None
        self.send: Callable[[bytes], None] = mute
        self._owner = owner
        self._machine: ClientMachine = owner.machine

    def on_open(self, socket: "Socket") -> None:
        """Introduce ourselves."""
        self.opened = True
        self.socket = socket
        self.send = socket.send
        self._machine.opened(self.attempt, _now(), self.login)
        self._owner.run()

    def on_message(self, data: bytes) -> None:
        """One frame."""
        self._machine.received(self.attempt, data, _now())
        self._owner.run()

    def on_binary(self, data: bytes) -> None:
        """Nobody speaks binary here (PROTOCOL 1.2)."""
        self.leave(Code.UNSUPPORTED_DATA, "heartline.1 is text")
        self._machine.lost(self.attempt, Code.WEBSOCKET_ERROR, "the server sent a binary message", _now())
        self._owner.run()

    def on_activity(self) -> None:
        """A ping or pong of the WebSocket itself."""
        self._machine.alive(self.attempt, _now())
        self._owner.run()

    def on_writable(self) -> None:
        """Nothing: the window bounds what is under way."""

    def on_close(self, code: int, reason: str) -> None:
        """The socket is gone."""
        self.send = mute
        self._owner.gone(self)
        self._machine.lost(self.attempt, code, reason or SILENT_ENDS.get(code, ""), _now())
        self._owner.run()

    def leave(self, code: int, reason: str) -> None:
        """Say goodbye; what it still says does not matter."""
        self.send = mute
        if self.socket is not None:
            self.socket.close(code, reason)

    def abort(self) -> None:
        """Drop it without a word."""
        if self.socket is not None:
            self.socket.abort()


def mute(_payload: bytes) -> None:
    """Say nothing: the link is not open or was left."""


SILENT_ENDS: Final = {1005: "the server closed without a reason", 1006: "the connection was lost"}
