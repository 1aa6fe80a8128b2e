"""A dialect at work in the event loop: its translator, between the client machine and the sockets.

Invariants:
- what the translator wants is done in order, and the machine is never called out of the middle of it
  (test_outputs_are_done_in_order);
- what it concludes from its own saying is no sign of life (test_sending_keeps_no_dead_link_alive);
- what a link left behind says or hears nothing any more (test_a_link_that_was_left_is_mute);
- a message that the server says and nobody understands is traced by its size, never by what is in it
  (test_what_nobody_understood_is_traced).
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from heartline.core.client import ClientMachine
from heartline.core.codes import Code, CodeClass
from heartline.dialects.client_desk import Down, Leave, Output, Say, SendPing
from heartline.dialects.client_translator import ClientTranslator
from heartline.dialects.spec import Dialect
from heartline.transports.api import Socket
from heartline.transports.clock import now

from .links import SILENT_ENDS, Link, mute

if TYPE_CHECKING:
    from .shell import Shell

FIRST_OF_NOBODY = 4000
"""From here on a close code means what its server means by it, which we do not know."""


class Foreign:
    """One connection's dialect: its translator's notes, and its time."""

    def __init__(self, dialect: Dialect, params: dict[str, Any], keep: dict[str, Any], epoch: str) -> None:
        self.translator: ClientTranslator = ClientTranslator(
            dialect, self, epoch, params=params, keep=keep, now_ms=lambda _now: int(time.time() * 1000)
        )
        self.link: ForeignLink | None = None
        self._kept = self.translator.kept
        self.owner: Shell | None = None

    def make_link(self, attempt: int, login: Raw) -> "ForeignLink":
        """One attempt."""
        assert self.owner is not None
        return ForeignLink(attempt, login, self.owner, self)

    # what the translator asks

    def message(self, n: int) -> tuple[bool, str]:
        """What the sender of message n wants."""
        message = self._machine.outbox.get(n)
        return (False, "") if message is None else (message.idempotent, message.target)

    def args(self, channel: str) -> object:
        """What the application subscribed with."""
        assert self.owner is not None
        return self.owner.args_of(channel)

    # what the shell tells

    def forget(self, n: int) -> None:
        """Nobody waits for the reply to request n any more."""
        self.translator.forget(n)
        self._flush()

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        return self.translator.next_deadline()

    def tick(self, at: float) -> None:
        """Do what is due."""
        self.translator.tick(at)
        self._flush()

    def heard(self, data: bytes, at: float) -> bool:
        """One message of the server; whether it was understood."""
        understood = self.translator.heard(data, at)
        if self.translator.kept is not self._kept and self.owner is not None:
            self._kept = self.translator.kept
            self.owner.keep(self._kept)
        return understood

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Take what an earlier process stored."""
        self.translator.restore(kept)
        self._kept = self.translator.kept

    def _flush(self) -> None:
        if self.link is not None:
            self.link.flush(proof=False)

    @property
    def _machine(self) -> ClientMachine:
        assert self.owner is not None
        return self.owner.machine


class ForeignLink(Link):
    """One attempt at a foreign server."""

    __slots__ = ("_flushing", "_foreign")

    def __init__(self, attempt: int, login: Raw, owner: "Shell", foreign: Foreign) -> None:
        super().__init__(attempt, login, owner)
        self._foreign = foreign
        self._flushing = False

    def on_open(self, socket: Socket) -> None:
        """Let the machine introduce itself, and the translator do so in the server's words."""
        self.opened = True
        self.socket: Socket | None = socket
        self.send: Callable[[bytes], None] = self._up
        self._foreign.link = self
        self._machine.opened(self.attempt, now(), self.login)
        self._owner.run()

    def _up(self, payload: bytes) -> None:
        """One frame of the machine."""
        self._foreign.translator.up(payload, now())
        self.flush(proof=False)

    def on_message(self, data: bytes) -> None:
        """One message of the server."""
        if self._foreign.link is not self:
            return
        at = now()
        self._machine.alive(self.attempt, at)
        if not self._foreign.heard(data, at):
            self._owner.trace("client.not_understood", {"bytes": len(data)})
        self.flush(proof=True)

    def on_binary(self, data: bytes) -> None:
        """Text by another name."""
        self.on_message(data)

    def on_pong(self, payload: bytes) -> None:
        """The pong to a ping of ours."""
        if self._foreign.link is self:
            self._foreign.translator.pong(payload, now())
            self.flush(proof=True)

    def on_close(self, code: int, reason: str) -> None:
        """The socket is gone."""
        self._leave()
        self._owner.gone(self)
        reason = reason or SILENT_ENDS.get(code, "")
        kind = CodeClass.RETRY if code >= FIRST_OF_NOBODY else None
        self._machine.lost(self.attempt, code, reason, now(), kind=kind)
        self._owner.run()

    def leave(self, code: int, reason: str) -> None:
        """Say goodbye in the server's words, if we leave on purpose."""
        if self._foreign.link is self and code == Code.NORMAL:
            self._foreign.translator.goodbye(now())
            for output in self._foreign.translator.drain():
                if isinstance(output, Say) and self.socket is not None:
                    self.socket.send(output.data)
        self._leave()
        super().leave(code, reason)

    def abort(self) -> None:
        """Drop it without a word."""
        self._leave()
        super().abort()

    def _leave(self) -> None:
        self.send = mute
        if self._foreign.link is self:
            self._foreign.link = None
            self._foreign.translator.lost()

    def flush(self, *, proof: bool) -> None:
        """Do what the translator wants, and then what the machine does. `proof`: it follows from what was heard."""
        if self._flushing:
            return
        self._flushing = True
        try:
            while self._foreign.link is self and (outputs := self._foreign.translator.drain()):
                for output in outputs:
                    self._do(output, proof)
        finally:
            self._flushing = False
        self._owner.run()

    def _do(self, output: Output, proof: bool) -> None:
        match output:
            case Down():
                self._machine.received(self.attempt, output.data, now(), proof=proof)
            case Say():
                if self.socket is not None:
                    self.socket.send(output.data)
            case SendPing():
                if self.socket is not None:
                    self.socket.ping(output.payload)
            case Leave():
                self.leave(Code.PEER_SILENT, output.reason)
                self._machine.lost(self.attempt, Code.PEER_SILENT, output.reason, now(), kind=CodeClass.RETRY)
