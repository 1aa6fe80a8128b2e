"""`heartline listen`: what is published on a channel, once and in order, on stdout.

Invariants:
- an entry counts as handled after it was written to stdout (test_handled_means_written);
- what is missing is told on stderr before anything newer is printed (test_a_gap_is_told);
- with --print-offsets or --json each line names the place to go on from (test_a_killed_listener_goes_on).
"""

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

from .exits import Exit, Stop
from .linking import LinkWatch, Stats, add_connection, check_channel, make_connection
from .running import first_of
from .running import run as run_job
from .terminal import say
from .values import count

if TYPE_CHECKING:
    from heartline.client import Connection, Cursor, Entry, Gap

_DESCRIPTION = """\
Print what is published on a channel, each entry once and in order, over any number of links. Strings are printed as
lines of text, other data as JSON. Entries that may be lost are told on stderr, before anything newer.

To go on after this process itself was killed, print places with --print-offsets (EPOCH:OFFSET, a tab, the text) or
--json, and say the last one that was printed as --since: nothing is missing and nothing comes twice. A last line
without a line feed was cut off by the kill: take the one before it."""

_EXAMPLES = """\
examples:
  heartline listen ws://127.0.0.1:8000/ numbers --count 100000 > numbers.txt
  heartline listen ws://127.0.0.1:8000/ news --since now
  heartline listen ws://127.0.0.1:8000/ trades --json | jq .data.price
  heartline listen URL log --print-offsets >> log.tsv
  heartline listen URL log --print-offsets --since "$(tail -n 1 log.tsv | cut -f 1)" >> log.tsv

exit status:
  0    --count entries were printed, or nobody reads stdout any more
  1    a gap with --fail-on-gap, or the server refused us, or there was no link for too long
  2    wrong arguments, or stdout cannot be written (a full disk)
  130  interrupted"""

_REASONS = {
    "history": "the server keeps them no longer",
    "epoch": "the server lost its log and began a new one",
    "none": "this channel keeps no history",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("url", metavar="URL", help="the server, ws:// or wss://")
    add("channel", metavar="CHANNEL", help="channel to follow")
    add("--since", default="beginning", metavar="PLACE", help="beginning: the oldest entry kept (default); now: what "
        "comes from now on; EPOCH:OFFSET: behind this entry; OFFSET: the same, in whatever epoch there is")  # fmt: skip
    add("--count", type=count(1), metavar="N", help="end after N entries (default: never)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line: channel, epoch, offset, event, data")
    form.add_argument("--print-offsets", action="store_true", help="EPOCH:OFFSET and a tab before each line")
    add("--fail-on-gap", action="store_true", help="end with status 1 at the first gap")
    add_connection(parser)


def run(args: argparse.Namespace) -> int:
    """Print entries."""
    check_channel(args.channel)
    since = parse_place(args.since)
    if sys.stdout is None:
        raise Stop("there is no stdout to print to")
    return run_job(Listening(args, since).run())


def parse_place(text: str) -> "Cursor | int | str":
    """The value of --since. Raises Stop."""
    from heartline.client import Cursor

    if text in {"beginning", "now"}:
        return text
    epoch, colon, offset = text.rpartition(":")
    if not offset.isdecimal() or not offset.isascii() or len(offset) > 15 or (colon and not epoch):
        raise Stop(f"--since: expected beginning, now, OFFSET or EPOCH:OFFSET, not {text[:60]!r}")
    return Cursor(epoch, int(offset)) if colon else int(offset)


class Listening:
    """One run."""

    def __init__(self, args: argparse.Namespace, since: Any) -> None:
        self._args = args
        self._since = since
        self._received = 0
        self._gaps = 0
        self._began = time.monotonic()
        self._form = _as_json if args.json else (_with_place if args.print_offsets else _as_text)
        self._bare = sys.stdout.isatty() and not args.json

    async def run(self) -> int:
        """Print until there is a reason to end; the exit status."""
        from .output import Output

        connection = make_connection(self._args)
        output = Output(sys.stdout.fileno())
        async with connection:
            self._watch = LinkWatch(connection, self._args)
            stats = Stats(self._args.stats_every, self.counts)
            work = asyncio.ensure_future(self._print_all(connection, output))
            try:
                await first_of(work, self._watch.dead_end, output.gone)
                return self._result(work, output)
            finally:
                work.cancel()
                await asyncio.wait({work})
                stats.close()
                self._watch.close()
                output.close()
                await connection.end()

    def counts(self) -> dict[str, Any]:
        """For --stats-every."""
        return {"received": self._received, "gaps": self._gaps, **self._watch.counts()}

    async def _print_all(self, connection: "Connection", output: Any) -> int:
        import msgspec

        from heartline.client import Entry

        args, form = self._args, self._form
        most = args.count
        async with connection.subscribe(args.channel, since=self._since, type=msgspec.Raw) as subscription:
            async for item in subscription:
                if isinstance(item, Entry):
                    line = form(item)
                    await output.write(_harmless(line) if self._bare else line)
                    self._received += 1
                    if self._received == most:
                        return Exit.DONE
                else:
                    self._gaps += 1
                    say(_gap_text(item))
                    if args.fail_on_gap:
                        return Exit.NOT_DONE
        raise Stop("the subscription ended", Exit.NOT_DONE)

    def _result(self, work: "asyncio.Future[int]", output: Any) -> int:
        from heartline.core.errors import HeartlineError

        if not work.done():
            if output.gone.done():
                return Exit.DONE
            raise Stop(self._watch.dead_end.result(), Exit.NOT_DONE)
        try:
            return work.result()
        except BrokenPipeError:
            return Exit.DONE
        except OSError as error:
            raise Stop(f"stdout cannot be written: {error.strerror or error}") from None
        except HeartlineError as error:
            raise Stop(str(error), Exit.NOT_DONE) from None


def _text(entry: "Entry[Any]") -> bytes:
    """The data of an entry: a string as it is, anything else as JSON on one line."""
    import msgspec

    raw = bytes(entry.data)
    if raw.startswith(b'"'):
        return msgspec.json.decode(raw, type=str).encode()
    return _one_line(raw)


def _one_line(raw: bytes) -> bytes:
    import msgspec

    return msgspec.json.format(raw, indent=-1) if b"\n" in raw or b"\r" in raw else raw


def _as_text(entry: "Entry[Any]") -> bytes:
    return _text(entry) + b"\n"


def _with_place(entry: "Entry[Any]") -> bytes:
    return b"%b:%d\t%b\n" % (entry.epoch.encode(), entry.offset, _text(entry))


def _as_json(entry: "Entry[Any]") -> bytes:
    import msgspec

    row = {
        "channel": entry.channel,
        "epoch": entry.epoch,
        "offset": entry.offset,
        "event": entry.event,
        "data": msgspec.Raw(_one_line(bytes(entry.data))),
    }
    return msgspec.json.encode(row) + b"\n"


def _harmless(line: bytes) -> bytes:
    """A line as a terminal may see it: whoever may publish must not steer it."""
    text = line[:-1].decode(errors="replace")
    return "".join(c if c.isprintable() or c in "\t\n" else f"\\x{ord(c):02x}" for c in text).encode() + b"\n"


def _gap_text(gap: "Gap") -> str:
    which = f"entries {gap.after + 1:,} to {gap.to:,}" if gap.reason != "epoch" else "entries behind the last one"
    why = _REASONS.get(gap.reason, gap.reason)
    return f"gap: {which} of {gap.channel!r} may be lost: {why} (epoch {gap.epoch})"
