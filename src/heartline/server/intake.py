"""What sockets have read, until the turn of the loop ends and it is dealt with in one go.

The kernel's code and ours push each other out of the processor's caches: reading from a hundred sockets, then handling,
then writing takes less time than a hundred times each.

Invariants:
- messages are handled in the order in which they were read, whichever socket read them, and before whatever else their
  socket tells (test_messages_are_handled_in_the_order_read, test_what_was_read_is_handled_before_its_socket_closes);
- only so many wait, and no large one does (test_a_flood_is_dealt_with_within_the_turn);
- a fault in one message closes its socket and loses no other (test_a_fault_in_one_message_loses_no_other).
"""

import logging
from typing import TYPE_CHECKING, Final

from heartline.transports.clock import now

if TYPE_CHECKING:
    from .hub import Hub
    from .socket import HubSocket

logger: logging.Logger = logging.getLogger("heartline.server")
MANY: Final = 64  # messages: enough to pay, few enough for the second-level cache
MOST: Final = 256  # ... and of one read, which is not torn apart: its answers leave in one write
LARGE: Final = 4096  # bytes of one message
LOOK_AT_CLOCK: Final = 16  # messages between two looks


class Intake:
    """`take` each message; the hub asks for them by `deal`."""

    __slots__ = ("_hub", "_waiting")

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._waiting: list[tuple[HubSocket, bytes]] = []

    def take(self, socket: "HubSocket", data: bytes) -> None:
        """Keep a message until the turn ends, or until there are many."""
        count = len(self._waiting)
        if count >= MANY and (count >= MOST or self._waiting[-1][0] is not socket):
            self._hub.catch_up()
        self._waiting.append((socket, data))
        if len(data) > LARGE:
            self._hub.catch_up()
        else:
            self._hub.end_turn_soon()

    def deal(self) -> None:
        """Have all handled."""
        waiting, self._waiting = self._waiting, []
        at, left = 0.0, 0
        for socket, data in waiting:
            if not left:
                at, left = now(), LOOK_AT_CLOCK
            left -= 1
            try:
                socket.handle(data, at)
            except Exception:
                logger.exception("a message could not be handled: its link is closed")
                socket.fail()
