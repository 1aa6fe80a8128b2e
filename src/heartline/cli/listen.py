"""`heartline listen`: what is published on a channel, once and in order, on stdout.

Invariants:
- an entry counts as handled after it was written to stdout (test_handled_means_written);
- what is missing is told on stderr before anything newer is printed (test_a_gap_is_told);
- with --print-offsets or --json each line names the place to go on from (test_a_killed_listener_goes_on);
- with --cursor and --output each line is in the output once, over kills (test_a_killed_listener_writes_each_line_once).
"""

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

from .exits import Exit, Stop
from .linking import LinkWatch, Stats, add_connection, check_channel, make_connection, start
from .place import Place, open_output
from .running import first_of
from .running import run as run_job
from .terminal import say
from .values import count

if TYPE_CHECKING:
    from heartline.client import Connection, Cursor, Entry, Gap

_DESCRIPTION = """\
Print what is published on a channel, each entry once and in order, over any number of links. Strings are printed as
lines of text, other data as JSON. Entries that may be lost are told on stderr, before anything newer.

With --cursor FILE the place is kept in FILE, and the same command goes on there, however this process ends. With
--output OUT as well, each line is in OUT once: what a killed process wrote and could not keep track of is taken back.
To stdout at most 256 lines come again then, with the same places.

To go on without such a file, print places with --print-offsets (EPOCH:OFFSET, a tab, the text) or
--json, and say the last one that was printed as --since: nothing is missing and nothing comes twice. A last line
without a line feed was cut off by the kill: take the one before it."""

_EXAMPLES = """\
examples:
  heartline listen ws://127.0.0.1:8000/ numbers --count 100000 > numbers.txt
  heartline listen ws://127.0.0.1:8000/ news --since now
  heartline listen ws://127.0.0.1:8000/ trades --json | jq .data.price
  heartline listen URL log --cursor log.cursor --output log.txt
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
    add("--cursor", metavar="FILE", help="keep the place in FILE and go on from it; --since counts where it has none")
    add("--output", metavar="OUT", help="append to this file instead of printing; with --cursor each line once")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line: channel, epoch, offset, event, data")
    form.add_argument("--print-offsets", action="store_true", help="EPOCH:OFFSET and a tab before each line")
    add("--fail-on-gap", action="store_true", help="end with status 1 at the first gap")
    add_connection(parser)


def run(args: argparse.Namespace) -> int:
    """Print entries."""
    check_channel(args.channel)
    since = parse_place(args.since)
    if sys.stdout is None and args.output is None:
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
        self._bare = args.output is None and sys.stdout.isatty() and not args.json
        self._place: Place | None = None

    async def run(self) -> int:
        """Print until there is a reason to end; the exit status."""
        from .output import Output

        args = self._args
        descriptor = None if args.output is None else open_output(args.output)
        connection = make_connection(args, file=args.cursor)
        await start(connection)
        async with connection:
            if args.cursor is not None:
                self._place = Place(connection, args, descriptor)
            output = Output(sys.stdout.fileno() if descriptor is None else descriptor)
            self._watch = LinkWatch(connection, args)
            stats = Stats(args.stats_every, self.counts)
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
                await self._leave(connection)

    async def _leave(self, connection: "Connection") -> None:
        """Close; a session whose place is kept is kept as well."""
        if self._place is None:
            await connection.end()
        else:
            await self._place.close()
            await connection.close()

    def counts(self) -> dict[str, Any]:
        """For --stats-every."""
        return {"received": self._received, "gaps": self._gaps, **self._watch.counts()}

    async def _print_all(self, connection: "Connection", output: Any) -> int:
        import msgspec

        from heartline.client import Entry

        args, form, place = self._args, self._form, self._place
        most = args.count
        since = self._since if place is None or place.cursor is None else place.cursor
        async with connection.subscribe(args.channel, since=since, type=msgspec.Raw) as subscription:
            if place is not None:
                await subscription.ready()
                assert subscription.cursor is not None
                await place.begin(subscription.cursor)
            async for item in subscription:
                if isinstance(item, Entry):
                    line = form(item)
                    await output.write(_harmless(line) if self._bare else line)
                    if place is not None:
                        await place.wrote(item.cursor, len(line))
                    self._received += 1
                    if self._received == most:
                        return Exit.DONE
                else:
                    self._gaps += 1
                    say(_gap_text(item))
                    if place is not None:
                        await place.wrote(item.cursor, 0)
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
            raise Stop(f"{self._args.output or 'stdout'} cannot be written: {error.strerror or error}") from None
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
