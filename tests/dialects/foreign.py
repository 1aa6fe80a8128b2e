"""A foreign client in virtual time: a translator in front of a link of the node in tests/core/server/world.py."""

import json
from collections.abc import Callable
from typing import Any

from heartline.core.frames import Call, Send
from heartline.core.policy import Heartbeat
from heartline.dialects import presets
from heartline.dialects.native import decode_up
from heartline.dialects.server_translator import ServerTranslator
from heartline.dialects.spec import Dialect
from heartline.dialects.spelling import Spelling
from tests.core.server.world import Peer, World

PING = "(ping)"
NOW_MS = 1_700_000_000_000


class Foreigner(Peer):
    """One client of a dialect: `tell` it says, `new` and `words` it hears; JSON as values, text as text."""

    def __init__(
        self,
        world: World,
        dialect: Dialect | str,
        *,
        judged: bool = False,
        channel: Callable[[Any], str | None] | None = None,
        window: int = 256,
        window_bytes: int = 1 << 20,
        spelling: Spelling | None = None,
    ) -> None:
        self.world = world
        self.dialect = presets.load(dialect) if isinstance(dialect, str) else dialect
        beat = self.dialect.beat
        self.complaints: list[str] = []
        self.translator = ServerTranslator(
            spelling or Spelling(self.dialect, lambda: NOW_MS, channel),
            judged=judged,
            instance="i",
            window=window,
            window_bytes=window_bytes,
            complain=self.complaints.append,
        )
        self.link = world.node.open(
            None, world.now, Heartbeat(25, 10) if beat is None else Heartbeat(beat.interval, beat.timeout)
        )
        self.link.socket = self
        self.words: list[Any] = []
        self.raw: list[bytes] = []
        self.new: list[Any] = []
        self.up: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self.stuck = False
        """whether the socket takes nothing at the moment"""
        self.translator.opened(world.now)
        self.go_on()

    def tell(self, *messages: Any) -> list[Any]:
        """Say messages in one read; what is heard in answer. A str or bytes is said as it is."""
        self.new = []
        for message in messages:
            self.translator.heard(_bytes(message))
        return self.look()

    def go_on(self) -> None:
        """What the shell does after an input."""
        while True:
            self._take_down()
            if not self.stuck:
                self.translator.taken()
            up, self.translator.up = self.translator.up, []
            if not up:
                return
            for frame in up:
                self.up.append(decode_up(frame))
                self.world.node.received(self.link, frame, self.world.now)
            self.world.turn()

    def hear(self, payload: bytes) -> None:
        self.translator.said(payload, self.link.words)
        self._take_down()

    def look(self) -> list[Any]:
        """What was heard since the last look, after everything has been delivered."""
        self.go_on()
        new, self.new = self.new, []
        return new

    def asked(self) -> list[tuple[str, str, Any]]:
        """The messages that reached the link."""
        return [
            (type(one).__name__.lower(), one.event, json.loads(bytes(one.data)))
            for one in self.up
            if isinstance(one, Call | Send)
        ]

    def _take_down(self) -> None:
        down, self.translator.down = self.translator.down, []
        for words in down:
            assert self.closed is None, f"written after the close: {words!r}"
            self.raw.append(words or b"")
            value = PING if words is None else _value(words)
            self.words.append(value)
            self.new.append(value)


def _bytes(message: Any) -> bytes:
    if isinstance(message, bytes):
        return message
    return message.encode() if isinstance(message, str) else json.dumps(message).encode()


def _value(words: bytes) -> Any:
    try:
        return json.loads(words)
    except ValueError:
        return words.decode()
