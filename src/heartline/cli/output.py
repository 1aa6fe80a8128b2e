"""Writing to stdout without ever blocking the event loop.

Invariants:
- what was written is with the system before `write` returns (test_handled_means_written);
- a reader that does not read delays `write` and nothing else: pings are answered meanwhile
  (test_a_stalled_reader_costs_no_link);
- a reader that went away is noticed even when there is nothing to write (test_a_closed_stdout_ends_quietly).
"""

import asyncio
import os
import queue
import select
import stat
import threading

ATOMIC = 4096  # what a pipe that is ready takes without blocking (Linux, PIPE_BUF)
LOOK_EVERY = 0.5  # seconds between looks whether somebody still reads


class Output:
    """A file descriptor to write to. `gone` is set when nobody reads any more."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        mode = os.fstat(descriptor).st_mode
        self._direct = stat.S_ISREG(mode)
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(descriptor, select.POLLOUT)
        self._thread: threading.Thread | None = None
        self._work: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        self._timer = self._loop.call_later(LOOK_EVERY, self._look)

    def close(self) -> None:
        """Look no longer."""
        self._timer.cancel()
        self.gone.cancel()

    async def write(self, data: bytes) -> None:
        """Write all of it. Raises BrokenPipeError when nobody reads, OSError for a full disk and the like."""
        if self._direct or (len(data) <= ATOMIC and self._ready()):
            done = os.write(self._descriptor, data)
            if done == len(data):
                return
            data = data[done:]
        await self._write_in_thread(data)

    def _ready(self) -> bool:
        if self._poll is None:
            return False
        return self._poll.poll(0) == [(self._descriptor, select.POLLOUT)]

    async def _write_in_thread(self, data: bytes) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_on, daemon=True, name="heartline-output")
            self._thread.start()
        written: asyncio.Future[None] = self._loop.create_future()
        self._work.put((data, written))
        await written

    def _write_on(self) -> None:
        while True:
            data, written = self._work.get()
            problem: OSError | None = None
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except OSError as error:
                problem = error
            try:
                self._loop.call_soon_threadsafe(_settle, written, problem)
            except RuntimeError:  # the loop is closed
                return

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_EVERY, self._look)
        if self._poll is None or self.gone.done():
            return
        events = self._poll.poll(0)
        if events and events[0][1] & (select.POLLERR | select.POLLNVAL):
            self.gone.set_result(None)


def _settle(future: "asyncio.Future[None]", problem: OSError | None) -> None:
    if future.done():
        return
    if problem is None:
        future.set_result(None)
    else:
        future.set_exception(problem)
