"""A socket whose client speaks another dialect: a translator between it and its link.

Invariants:
- a binary message counts as the text it holds (test_binary_counts_as_text);
- a client that sends faster than its messages end is read no further, and nothing of it is lost
  (test_a_client_that_floods_is_read_no_further);
- what a client said before it went away is handled (test_what_waits_is_handled_though_its_client_has_gone);
- who is asked to move away is closed when nothing of it runs, spread over time (test_draining_closes_foreign_links).
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from heartline.core.codes import Code
from heartline.core.server.tail import Batch
from heartline.dialects.server_translator import ServerTranslator
from heartline.transports.api import Request, Socket, frame_text
from heartline.transports.clock import now

from .options import new_id
from .socket import HubSocket
from .spoken import Spoken

if TYPE_CHECKING:
    from .hub import Hub

logger: logging.Logger = logging.getLogger("heartline.server")
AGAIN: Final = 0.1  # seconds until a client that is to move away is looked at again


class ForeignSocket(HubSocket):
    """The `HubSocket` of one client of a dialect."""

    __slots__ = ("_deadline", "_due", "_paused", "_spoken", "_translator")

    def __init__(self, hub: "Hub", request: Request, spoken: Spoken) -> None:
        super().__init__(hub, request)
        options = hub.options
        self._spoken = spoken
        self._translator = ServerTranslator(
            spoken.spelling,
            judged=options.judged,
            instance=new_id(),
            window=options.limits.window,
            window_bytes=options.limits.window_bytes,
            complain=spoken.complain,
        )
        self._due = False
        self._paused = False
        self._deadline: asyncio.TimerHandle | None = None

    # what the transport tells

    def on_open(self, socket: Socket) -> None:
        """Begin a link, and what the dialect begins with."""
        hub = self._hub
        self.socket = socket
        self.link = hub.node.open(self.request, now(), self._spoken.heartbeat or hub.options.heartbeat)
        self.link.socket = self
        hub.socket_opened(self)
        self._translator.opened(now())
        self._deliver()
        self._wind_up()

    def handle(self, data: bytes, at: float) -> None:
        """One message, now."""
        if self.link is None:
            return
        if len(data) > self._hub.options.limits.message:  # others on the port may take more
            self.link.close(Code.TOO_BIG, "message too big")
            return
        self._translator.heard(data)
        self._send()
        self._tell_link(at)
        if self._translator.is_full and not self._paused and self.socket is not None:
            self._paused = True
            self.socket.pause_reading()

    def on_binary(self, data: bytes) -> None:
        """Some clients send their text so."""
        self.on_message(data)

    def on_close(self, code: int, reason: str) -> None:
        """The socket is gone; the link stays for as long as messages wait that came before."""
        self._hub.catch_up()
        if self._deadline is not None:
            self._deadline.cancel()
        self.socket = None
        self._translator.taken()
        self._deliver()

    def on_writable(self) -> None:
        """The write buffer has drained."""
        super().on_writable()
        self._translator.taken()
        self._deliver()

    # what the hub tells

    def close(self, code: int, reason: str) -> None:
        """Close the socket; without one the link was all there was."""
        super().close(code, reason)
        self._end_if_done()

    def write(self, out: list[bytes | Batch]) -> None:
        """Say what the link has to say, as the dialect says it."""
        socket, link, translator = self.socket, self.link, self._translator
        if link is None:
            return
        try:
            for item in out:
                for payload in (item,) if isinstance(item, bytes) else item.payloads:
                    translator.said(payload, link.words, paused=self._paused or socket is None)
        except Exception:  # of this link alone: others are written in the same turn
            logger.exception("%s: what the link says cannot be translated", self._spoken.path)
            link.close(Code.INTERNAL_ERROR, "internal error")
            self._hub.loop.call_soon(self._hub.turn)
        self._send()
        link.congested = socket is not None and (link.congested or socket.congested)
        if link.congested:
            translator.blocked = True
        else:
            translator.taken()
        if self._paused and not translator.is_full and socket is not None:
            self._paused = False
            socket.resume_reading()
        if (translator.up or socket is None) and not self._due:
            self._due = True
            self._hub.loop.call_soon(self._deliver)
        if translator.leaving is not None:
            move, translator.leaving = translator.leaving, None
            self._hub.later(move.after + random.uniform(0.0, move.spread), self._move)

    # the inside

    def _send(self) -> None:
        """Write what the translator has for the client."""
        socket, translator = self.socket, self._translator
        down, translator.down = translator.down, []
        if not down or socket is None:
            return
        if len(down) == 1 and down[0] is not None:
            socket.send(down[0])
            return
        for words in _runs(down):
            if words:
                socket.send_framed(b"".join(map(frame_text, words)))
            else:
                socket.ping()

    def _tell_link(self, at: float) -> None:
        """Give the link what the translator has for it."""
        hub, translator = self._hub, self._translator
        while translator.up:
            up, translator.up = translator.up, []
            for frame in up:
                link = self.link
                message = None if link is None else link.received(frame, at, hub.allowance.takes(at))
                if message is not None:
                    hub.begin(message)

    def _deliver(self) -> None:
        self._due = False
        self._tell_link(now())
        self._hub.turn()
        self._end_if_done()

    def _end_if_done(self) -> None:
        """Let go when the socket is gone, and nothing waits any more."""
        hub, translator = self._hub, self._translator
        if self.socket is not None or self not in hub.sockets or (self.link is not None and translator.is_owing):
            return
        for what, count in (("ignored", translator.ignored), ("missed", translator.missed)):
            if count:
                hub.node.trace(f"server.{what}", {"path": self._spoken.path, "count": count})
        super().on_close(Code.ABNORMAL, "")

    def _wind_up(self) -> None:
        """Wake when the dialect has something to say by itself."""
        at = self._translator.next_deadline()
        if at is not None and self.socket is not None:
            self._deadline = self._hub.loop.call_later(max(0.0, at - now()), self._tick)

    def _tick(self) -> None:
        self._translator.tick(now())
        self._send()
        self._wind_up()

    def _move(self) -> None:
        """The dialect cannot ask its client to leave: close when nothing of it runs."""
        link = self.link
        if link is None:
            return
        if self._translator.is_idle:
            link.close(Code.MOVED, "the server stops")
        else:
            self._hub.later(AGAIN, self._move)


def _runs(down: Sequence[bytes | None]) -> list[list[bytes]]:
    """Messages that go out together, and an empty list for each ping between them."""
    runs: list[list[bytes]] = []
    for words in down:
        if words is None:
            runs.append([])
        elif runs and runs[-1]:
            runs[-1].append(words)
        else:
            runs.append([words])
    return runs
