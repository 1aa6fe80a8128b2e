"""`heartline send`: each line of stdin becomes one publication, in order.

Invariants:
- lines are published in the order read, and each is accounted for: handled, or named on stderr
  (test_every_line_is_accounted_for);
- the input is read no faster than it can be sent, and never held whole (test_input_is_read_with_back_pressure);
- a line that cannot be a publication stops before anything behind it is sent (test_a_bad_line_stops_there);
- with --outbox a killed run goes on where it was (test_a_killed_send_goes_on_with_each_line_once), and one that was
  killed when all was done sends nothing again (test_an_input_that_was_done_is_not_sent_again).
"""

import argparse
import asyncio
import contextlib
import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

from .exits import Exit, Stop
from .ledger import Ledger
from .linking import LinkWatch, Stats, add_connection, check_channel, make_connection, start
from .running import first_of
from .running import run as run_job
from .taken import NotThisInput, Taken
from .terminal import StatusLine, bar, per_second, say
from .values import rate

if TYPE_CHECKING:
    from heartline.client import Connection
    from heartline.dialects.spec import Delivery

UNSETTLED = 1024  # lines under way; the protocol's window is 256
UNSETTLED_BYTES = 8 << 20
LONGEST = 8 << 20
LAST_WORDS = 1.0  # seconds an interrupted send waits for what is under way
_HOPELESS = frozenset({"unknown_channel", "forbidden"})

_DESCRIPTION = """\
Publish each line of stdin on a channel, in order and each once, however often links die meanwhile. Done when the
server has handled every line; otherwise stderr says which were not, and what became of them.

A line is published as a JSON string, without its line feed. With --json each line is JSON already. A line that is
not UTF-8, or not JSON, is named by its number and ends the run before anything behind it is sent.

With --outbox FILE the lines under way, and how many were taken over, are kept in FILE. However this process ends, the
same command with the same input goes on: lines that FILE has taken over are skipped, each line is sent once, in as many
runs as it takes and in any more. When all is done, an input whose first line is another one is a new one."""

_EXAMPLES = """\
examples:
  seq 1 100000 | heartline send ws://127.0.0.1:8000/ --channel numbers
  heartline send ws://127.0.0.1:8000/ --channel log --event line < access.log
  tail -F app.log | heartline send wss://example.com/ --channel log --login-file login.json
  echo '{"price": 12.5}' | heartline send ws://127.0.0.1:8000/ --channel trades --event trade --json
  heartline send URL --channel news --rate 100 --give-up-after 1m < news.txt
  heartline send URL --channel log --outbox log.outbox < log.txt    # killed? the same again goes on

exit status:
  0    every line was handled
  1    some were not (stderr names the first 20), or the server refused us, or there was no link for too long
  2    wrong arguments, or a line of the input is not UTF-8 or not JSON
  130  interrupted; stderr tells how many lines were handled"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("url", metavar="URL", help="the server, ws:// or wss://")
    add("--channel", required=True, metavar="NAME", help="channel to publish on")
    add("--event", default="line", metavar="NAME", help="name of the event (default line)")
    add("--json", action="store_true", help="lines are JSON values already, published as they are")
    add("--rate", type=rate, metavar="N", help="at most so many lines a second (default: as fast as it goes)")
    add("--repeat-unknown", action="store_true", help="send lines again when the server lost its memory of them, "
        "at the risk that they come twice; otherwise they count as not handled")  # fmt: skip
    add("--outbox", metavar="FILE", help="keep what is under way in FILE: after a kill the same command goes on")
    add(
        "--anew",
        action="store_true",
        help="with --outbox: forget what FILE holds of an earlier input, done or not, and begin at line 1",
    )
    add_connection(parser)


def run(args: argparse.Namespace) -> int:
    """Send stdin."""
    from heartline.core.names import check_name

    check_channel(args.channel)
    if args.anew and args.outbox is None:
        raise Stop("--anew goes with --outbox FILE")
    try:
        check_name(args.event, "--event")
    except ValueError as error:
        raise Stop(str(error)) from None
    if sys.stdin is None:
        raise Stop("there is no stdin to read lines from")
    return run_job(Sender(args).run())


class Sender:
    """One run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._ledger = Ledger()
        self._status = StatusLine(not args.quiet)
        self._began = time.monotonic()
        self._input_bytes = 0
        self._input_size = 0
        self._next_due = 0.0
        self._hopeless = False
        self._taken: Taken | None = None

    async def run(self) -> int:
        """Send everything; the exit status."""
        from heartline.core.policy import Full, OutboxLimits

        limits = OutboxLimits(messages=UNSETTLED + 1, bytes=64 << 20, full=Full.WAIT)
        args = self._args
        if args.anew:
            await self._begin_anew()
        connection = make_connection(args, limits, args.outbox)
        self._input_size = _size_of(sys.stdin.fileno())
        await start(connection)
        async with connection:
            if args.outbox is not None:
                self._taken = Taken(connection, args)
                self._taken.restore(self._ledger)
            self._watch = LinkWatch(connection, self._args)
            stats = Stats(self._args.stats_every, self.counts)
            work = asyncio.ensure_future(self._send_all(connection))
            try:
                await first_of(work, self._watch.dead_end)
                return await self._finish(connection, work)
            except asyncio.CancelledError:
                await self._interrupted(connection, work)
                raise
            finally:
                stats.close()
                self._watch.close()
                self._status.clear()

    async def _begin_anew(self) -> None:
        connection = make_connection(self._args, None, self._args.outbox)
        await start(connection)
        lost = len(connection.restored)
        await connection.end()
        if lost:
            say(f"--anew: {lost:,} lines of an earlier input were given up, their outcome is unknown")

    def counts(self) -> dict[str, Any]:
        """For --stats-every."""
        ledger = self._ledger
        return {
            "sent": ledger.sent,
            "handled": ledger.handled,
            "failed": ledger.failed,
            **self._watch.counts(),
        }

    async def _send_all(self, connection: "Connection") -> None:
        from .lines import Lines

        source = Lines(sys.stdin.fileno(), LONGEST)
        number = 0
        try:
            async for batch in source:
                self._input_bytes = source.read
                for number, line in batch:
                    if self._taken is not None and self._taken.covers(number, line):
                        continue
                    if line is None:
                        self._ledger.fail(number, f"longer than {LONGEST >> 20} MiB, not sent")
                        continue
                    await self._send(connection, number, line)
                await self._ledger.collect()
                self._show()
        except OSError as error:
            raise Stop(f"stdin cannot be read: {error.strerror or error}") from None
        if self._taken is not None:
            self._taken.ended(number)

    async def _send(self, connection: "Connection", number: int, line: bytes) -> None:
        ledger, args = self._ledger, self._args
        data = _json_of(line, number) if args.json else _text_of(line, number)
        if len(ledger.open) >= UNSETTLED or ledger.open_bytes + len(line) > UNSETTLED_BYTES:
            await self._make_room(len(line))
        if args.rate is not None:
            await self._pace(args.rate)
        delivery: Delivery | None = "at_least_once" if args.repeat_unknown else None
        taken = self._taken
        if taken is None:
            receipt = await connection.publish(args.channel, data, args.event, delivery=delivery)
            ledger.add(number, receipt, len(line))
            return
        marks = taken.marks(number, ledger.failed)
        receipt = connection.publish_nowait(args.channel, data, args.event, delivery=delivery, marks=marks)
        ledger.add(number, receipt, len(line))
        await taken.sent(number, receipt, ledger.failed)

    async def _make_room(self, size: int) -> None:
        """Wait until half of what is under way has its outcome."""
        ledger = self._ledger
        while len(ledger.open) > UNSETTLED // 2 or (ledger.open and ledger.open_bytes + size > UNSETTLED_BYTES // 2):
            middle = ledger.open[min(len(ledger.open) - 1, len(ledger.open) // 2)][1]
            if middle.outcome is None:
                await _outcome_of(middle)
            await ledger.collect()
            self._show()
            if ledger.code in _HOPELESS and not ledger.handled:
                self._hopeless = True
                raise Stop(f"nothing can be published there: {ledger.failures()[0]}", Exit.NOT_DONE)

    async def _pace(self, per_second: float) -> None:
        now = time.monotonic()
        self._next_due = max(self._next_due or now, now - 1.0) + 1.0 / per_second  # it catches up on a second at most
        if self._next_due - now > 0.005:
            self._show()
            await asyncio.sleep(self._next_due - now)
            await self._ledger.collect()

    async def _finish(self, connection: "Connection", work: "asyncio.Future[None]") -> int:
        """Wait for the last outcomes, tell what was not handled."""
        from heartline.core.errors import HeartlineError

        status, text = Exit.DONE, ""
        if work.done():
            try:
                work.result()
            except NotThisInput:
                raise
            except Stop as stop:
                status, text = Exit(stop.status), str(stop)
            except HeartlineError as error:
                status, text = Exit.NOT_DONE, str(error)
        settling = asyncio.ensure_future(self._settle(connection))
        await first_of(settling, self._watch.dead_end)
        for task in (settling, work):
            task.cancel()
            await asyncio.wait({task})
        if self._watch.dead_end.done():
            status, text = Exit.NOT_DONE, self._watch.dead_end.result()
        await self._leave(connection, done=not text)
        await self._ledger.collect()
        return self._report(status, text)

    async def _leave(self, connection: "Connection", *, done: bool) -> None:
        """Close. An outbox file keeps what is not done, and only which input it was when all is."""
        from heartline.core.errors import OutboxError

        if self._taken is None:
            await connection.end()
        elif done:
            await connection.end(marks=self._taken.done(self._ledger.failed))
        else:
            storing = asyncio.ensure_future(connection.mark(self._taken.last(self._ledger.failed)))
            await asyncio.wait({storing}, timeout=LAST_WORDS)
            await connection.close()
            with contextlib.suppress(OutboxError):  # a disk that is full; the failures are told now
                await storing

    async def _settle(self, connection: "Connection") -> None:
        from heartline.core.errors import HeartlineError

        while self._ledger.open:
            try:
                await connection.settled(0.1)
            except TimeoutError:
                pass
            except HeartlineError:
                return
            await self._ledger.collect()
            self._show()

    def _report(self, status: Exit, text: str) -> int:
        ledger, took = self._ledger, time.monotonic() - self._began
        self._status.clear()
        for line in [] if self._hopeless else ledger.failures():
            say(line)
        if not self._args.quiet:
            links = f" over {self._watch.links:,} links" if self._watch.links > 1 else ""
            of = f" of {ledger.sent:,}" if ledger.failed or ledger.open else ""
            earlier = self._taken.lines if self._taken is not None else 0
            rate_now = per_second(max(0, ledger.handled - earlier), took)
            say(f"{ledger.handled:,}{of} lines handled in {took:.1f} s ({rate_now}){links}")
            if earlier:
                say(f"{earlier:,} of them had been taken over by {self._args.outbox} in an earlier run")
        if text and self._taken is not None:
            self._say_rest()
        if text:
            raise Stop(text, status)
        return Exit.NOT_DONE if ledger.failed else Exit.DONE

    async def _interrupted(self, connection: "Connection", work: "asyncio.Future[None]") -> None:
        """Tell how far it came."""
        work.cancel()
        await asyncio.wait({work})
        if connection.pending and self._watch.outage is None:
            await asyncio.wait({asyncio.ensure_future(self._settle(connection))}, timeout=LAST_WORDS)
        await self._leave(connection, done=False)
        await self._ledger.collect()
        ledger = self._ledger
        last = f", up to line {ledger.last_handled:,}" if ledger.handled else ""
        rest = f"; {ledger.failed:,} not:" if ledger.failed else ""
        say(f"interrupted: {ledger.handled:,} lines handled{last}{rest}")
        for line in ledger.failures():
            say(line)
        if self._taken is not None:
            self._say_rest()

    def _say_rest(self) -> None:
        say(f"the same command goes on: {self._args.outbox} keeps {len(self._ledger.open):,} lines under way")

    def _show(self) -> None:
        if not self._status.due():
            return
        ledger, took = self._ledger, time.monotonic() - self._began
        outage = self._watch.outage
        share = f"{bar(self._input_bytes / self._input_size)} " if self._input_size else ""
        link = f"{self._watch.links:,} links" if outage is None else f"no link for {outage:.1f} s"
        self._status.show(
            f"{share}{ledger.sent:,} sent  {ledger.handled:,} handled  {per_second(ledger.handled, took)}  {link}"
        )


async def _outcome_of(receipt: Any) -> None:
    """Wait for an outcome, whatever it is."""
    from heartline.core.errors import NotDelivered

    with contextlib.suppress(NotDelivered):
        await receipt


def _text_of(line: bytes, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise Stop(
            f"line {number:,} is not UTF-8 (byte {error.start + 1}): nothing from it on was sent; convert the input, "
            "for example with iconv"
        ) from None


def _json_of(line: bytes, number: int) -> Any:
    import msgspec

    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        what = "is empty" if not line.strip() else f"is not JSON ({str(error)[:120]})"
        raise Stop(f"line {number:,} {what}: nothing from it on was sent") from None
    return msgspec.Raw(line.strip())


def _size_of(descriptor: int) -> int:
    """Bytes to come, 0 when nobody knows."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
