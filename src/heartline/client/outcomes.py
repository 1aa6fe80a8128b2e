"""From a message to its outcome: requests that wait, receipts that may, and the time-outs of requests.

Invariants:
- every message ends in one outcome, and nobody who waits for one waits for ever (test_one_outcome_for_each);
- a request that stops waiting takes its message back if it was never written (test_cancelled_request_is_withdrawn);
- a reply that comes after its request's time-out is dropped (test_a_late_reply_is_dropped).
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from heartline.core.client import ClientMachine
from heartline.core.effects import Settle
from heartline.core.enums import Outcome
from heartline.core.errors import (
    ConnectionClosed,
    Expired,
    HeartlineError,
    OutboxFull,
    OutcomeUnknown,
    RequestTimeout,
)
from heartline.core.outbox import CALL, HANDLED, Kind, Message
from heartline.core.policy import Full
from heartline.transports.clock import now

from .outgoing import Outgoing
from .receipt import Receipt, Restored, Wake, wake
from .room import Waitlist
from .states import States

if TYPE_CHECKING:
    from .durable import Durable
    from .shell import Shell

Waiting: TypeAlias = asyncio.Future[bytes | Settle | HeartlineError]
"""What a request waits on: its reply, JSON, or what it ended with instead."""

_OVERHEAD: Final = 24  # what the core counts for a message beside its text
_COMPACT_AT: Final = 64  # time-outs of settled requests that are kept at least
_now: Final = now
_heappush: Final = heappush
_heappop: Final = heappop
_Receipt: Final = Receipt


class Outcomes:
    """The way up of one connection. `forget(n)`: nobody waits for the reply to n any more.

    `refusing` is kept by the shell: nothing can be sent, and `states` says why.
    """

    def __init__(
        self,
        machine: ClientMachine,
        states: States,
        full: Full,
        shell: "Shell",
        durable: "Durable | None",
        forget: Callable[[int], None],
    ) -> None:
        self.restored: list[Restored] = []
        self._forget = forget
        self._durable = durable
        self._machine = machine
        self._states = states
        self.refusing: bool = False
        self.waits: bool = full is Full.WAIT or durable is not None
        """whether a message may have to wait, for room or until it is stored"""
        self._wait_for_room = full is Full.WAIT
        self._shell = shell
        self._wait: Callable[[Receipt], Coroutine[Any, Any, None]] = self._wait_for
        self._calls: dict[int, Waiting] = {}
        self._receipts: dict[int, Receipt] = {}
        self._awaited: dict[int, list[Wake]] = {}
        self._due: list[tuple[float, int]] = []
        self._waitlist = Waitlist(self.take_back)
        self._all_settled: list[Wake] = []

    # what the connection asks for

    def send_nowait(self, out: Outgoing) -> Receipt:
        """Queue a message. Raises OutboxFull, ConnectionClosed and what refused the connection for good."""
        if self._waitlist:
            raise OutboxFull(len(self._machine.outbox), self._machine.outbox.bytes)
        return self._queue(out)

    async def send(self, out: Outgoing) -> Receipt:
        """Queue a message, waiting for room if that is the policy, and until it is stored if it is to be."""
        if not self._wait_for_room:
            receipt = self._queue(out)
            return receipt if self._durable is None else await self._stored(receipt)
        self._check_size(out)
        queued: Receipt | None = None

        def queue_message() -> int:
            nonlocal queued
            queued = self._queue(out)
            return queued.n

        await self._waitlist.admit(queue_message)
        assert queued is not None
        return queued if self._durable is None else await self._stored(queued)

    async def _stored(self, receipt: Receipt) -> Receipt:
        try:
            await receipt.stored()
        except asyncio.CancelledError:
            self.take_back(receipt.n)
            raise
        return receipt

    def restore(self, messages: Iterable[Message]) -> None:
        """Make receipts for what an earlier process left."""
        for message in messages:
            receipt = Restored(message, self._wait)
            self._receipts[message.n] = receipt
            self.restored.append(receipt)

    def request(self, out: Outgoing, timeout: float | None) -> tuple[int, Waiting] | None:
        """Send a call; its number, and what to wait on. None where it may have to wait for room: see `request_later`.

        Whoever stops waiting calls `take_back`.
        """
        if self._wait_for_room:
            return None
        future = self._new_future()
        n = self._call(out, future)
        if timeout is not None:
            self._set_due(_now() + timeout, n)
        self._shell.run()
        return n, future

    async def request_later(self, out: Outgoing, timeout: float | None) -> tuple[int, Waiting]:
        """As `request`, as soon as there is room."""
        until = None if timeout is None else _now() + timeout
        future = self._new_future()
        self._check_size(out)
        n = await self._waitlist.admit(lambda: self._call(out, future), timeout)
        if until is not None:
            self._set_due(until, n)
        self._shell.run()
        return n, future

    async def all_settled(self) -> None:
        """Wait until nothing is pending; raise at a dead end."""
        while len(self._machine.outbox) or self._waitlist:
            self._raise(self._states.dead_end())
            future: Wake = asyncio.get_running_loop().create_future()
            self._all_settled.append(future)
            try:
                self._raise(await future)
            finally:
                if future in self._all_settled:
                    self._all_settled.remove(future)

    # what the shell tells

    def settle(self, effect: Settle) -> None:
        """A message has its outcome."""
        message: Message = effect.message
        n = message.n
        if message.kind is CALL and n not in self._receipts:
            future = self._calls.pop(n, None)
            if future is not None and not future.done():
                future.set_result(effect.body if effect.outcome is HANDLED else effect)
        else:
            receipt = self._receipts.pop(n, None)
            if receipt is not None:
                receipt.settled = effect
                if self._awaited:
                    wake(self._awaited.pop(n, ()))
        if self._all_settled and not len(self._machine.outbox):
            self._wake_all_settled(lambda: None)

    def room(self) -> None:
        """The outbox may have room."""
        self._waitlist.retry()

    def gave_up(self) -> None:
        """Nobody dials any more: those who wait without a time-out learn of it."""
        self._wake_all(self._states.dead_end)

    def refused(self) -> None:
        """Nothing can be sent any more: what was never written ends, and nobody waits for the rest.

        What a durable outbox holds stays there, but for requests: nobody would get their replies.
        """
        reason = self._states.last.reason
        self._waitlist.refuse(self._refusal)
        kept = self._durable is not None
        for message in [m for m in self._machine.outbox if not m.written and not (kept and m.kind is not Kind.CALL)]:
            call = self._calls.pop(message.n, None)
            if call is not None and not call.done():
                call.set_result(self._refusal())
            self.settle(Settle(message, Outcome.EXPIRED, b"null", reason))
            self._machine.withdraw(message.n, _now())
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.done():
                call.set_result(OutcomeUnknown(f"sent, but no reply can come: {self._refusal()}"))
        self._wake_all(self._refusal)
        self._shell.run()

    # time

    def next_deadline(self) -> float | None:
        """When `tick` has something to do, or only to forget one that is settled."""
        due = self._due
        if not self._calls:
            due.clear()
        return due[0][0] if due else None

    def tick(self, at: float) -> None:
        """End the requests whose time is up."""
        due = self._due
        while due and due[0][0] <= at:
            n = _heappop(due)[1]
            future = self._calls.pop(n, None)
            if future is None or future.done():
                continue
            if self._machine.withdraw(n, at):
                why = self._states.last.reason
                future.set_result(Expired(f"not sent in time{f' ({why})' if why else ''}"))
            else:
                future.set_result(RequestTimeout("no reply in time: it was sent and may still be handled", n))
                self._forget(n)

    def _set_due(self, at: float, n: int) -> None:
        due = self._due
        if len(due) > _COMPACT_AT and len(due) > 2 * len(self._calls):
            due[:] = [entry for entry in due if entry[1] in self._calls]
            heapify(due)
        _heappush(due, (at, n))

    # small things

    def _queue(self, out: Outgoing) -> Receipt:
        if self.refusing:
            self._raise(self._states.refusal())
        n = self._number(out)
        durable = self._durable
        if durable is None:
            receipt = _Receipt(n, self._wait)
        else:
            receipt = _Receipt(n, self._wait, partial(durable.stored, durable.serial))
            if out.marks is not None:
                durable.mark(out.marks)
        self._receipts[n] = receipt
        self._shell.run()
        return receipt

    def _new_future(self) -> Waiting:
        loop = self._shell.loop  # asking for the running one costs a system call
        return (asyncio.get_running_loop() if loop is None else loop).create_future()

    def _call(self, out: Outgoing, future: Waiting) -> int:
        if self.refusing:
            self._raise(self._states.refusal())
        n = self._number(out)
        self._calls[n] = future
        return n

    def _number(self, out: Outgoing) -> int:
        return self._machine.send(
            out.kind, out.event, out.data, _now(), target=out.target, expires_in=out.expires, idempotent=out.again
        )

    async def _wait_for(self, receipt: Receipt) -> None:
        while receipt.settled is None:
            self._raise(self._states.dead_end())
            future: Wake = asyncio.get_running_loop().create_future()
            waiting = self._awaited.setdefault(receipt.n, [])
            waiting.append(future)
            try:
                self._raise(await future)
            finally:
                waiting.remove(future)
                if not waiting and self._awaited.get(receipt.n) is waiting:
                    del self._awaited[receipt.n]

    def take_back(self, n: int) -> None:
        """Nobody waits for n any more: withdraw it if it was never written."""
        self._calls.pop(n, None)
        if self._machine.withdraw(n, _now()):
            self._shell.run()
        else:
            self._forget(n)

    def _check_size(self, out: Outgoing) -> None:
        """Nobody waits for room that there can never be."""
        outbox = self._machine.outbox
        if len(out.event) + len(out.data) + len(out.target) + _OVERHEAD > outbox.limits.bytes:
            raise OutboxFull(len(outbox), outbox.bytes)

    def _refusal(self) -> HeartlineError:
        return self._states.refusal() or ConnectionClosed("closed")

    def _wake_all(self, error: Callable[[], HeartlineError | None]) -> None:
        awaited, self._awaited = self._awaited, {}
        for futures in awaited.values():
            wake(futures, error)
        self._wake_all_settled(error)

    def _wake_all_settled(self, error: Callable[[], HeartlineError | None]) -> None:
        waiting: Iterable[Wake]
        waiting, self._all_settled = self._all_settled, []
        wake(waiting, error)

    @staticmethod
    def _raise(error: HeartlineError | None) -> None:
        if error is not None:
            raise error
