"""Senders that wait for room in the outbox.

Invariants:
- they are served in the order of asking, before anybody who asks later (test_room_in_the_order_of_asking);
- one that is cancelled or out of time takes nobody's place and leaves nothing queued
  (test_cancelled_while_waiting_for_room).
"""

import asyncio
from collections import deque
from collections.abc import Callable

from heartline.core.errors import Expired, HeartlineError, OutboxFull


class _Applicant:
    __slots__ = ("future", "queue_message")

    def __init__(self, queue_message: Callable[[], int]) -> None:
        self.queue_message = queue_message
        self.future: asyncio.Future[int | HeartlineError] = asyncio.get_running_loop().create_future()


class Waitlist:
    """One queue. `take_back(n)` withdraws a message whose sender left in the moment of its admission."""

    def __init__(self, take_back: Callable[[int], None]) -> None:
        self._take_back = take_back
        self._applicants: deque[_Applicant] = deque()

    def __len__(self) -> int:
        return len(self._applicants)

    async def admit(self, queue_message: Callable[[], int], timeout: float | None = None) -> int:
        """Call `queue_message`, which returns the message's number or raises OutboxFull, when it is our turn.

        Raises Expired after `timeout` seconds, and whatever else it raises.
        """
        if not self._applicants:
            try:
                return queue_message()
            except OutboxFull:
                pass
        applicant = _Applicant(queue_message)
        self._applicants.append(applicant)
        try:
            await asyncio.wait((applicant.future,), timeout=timeout)
        except asyncio.CancelledError:
            if applicant.future.done():
                admitted = applicant.future.result()
                if isinstance(admitted, int):
                    self._take_back(admitted)
            raise
        finally:
            if applicant in self._applicants:
                self._applicants.remove(applicant)
        if not applicant.future.done():
            raise Expired("not sent in time: the outbox had no room")
        admitted = applicant.future.result()
        if isinstance(admitted, HeartlineError):
            raise admitted
        return admitted

    def retry(self) -> None:
        """There may be room."""
        while self._applicants:
            applicant = self._applicants[0]
            if not applicant.future.done():
                try:
                    applicant.future.set_result(applicant.queue_message())
                except OutboxFull:
                    return
                except HeartlineError as error:
                    applicant.future.set_result(error)
            self._applicants.popleft()

    def refuse(self, error: Callable[[], HeartlineError]) -> None:
        """There will be no room for anybody."""
        for applicant in self._applicants:
            if not applicant.future.done():
                applicant.future.set_result(error())
        self._applicants.clear()
