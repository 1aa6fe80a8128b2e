"""`heartline faults`: the fault proxy as a process of its own.

Invariants:
- the first line on stdout is the address to connect to (test_faults_tells_its_address_first);
- it ends with a summary when a signal asks it to (test_faults_ends_with_a_summary).
"""

import argparse
import asyncio
import dataclasses
import errno
import json
import socket
from typing import TYPE_CHECKING

from .exits import Exit, Stop
from .rule_options import add_rules, rules_of
from .running import run as run_job
from .values import address, count, named

if TYPE_CHECKING:
    from heartline.faults import ProxyEvent, ProxyStats

_DESCRIPTION = """\
A TCP proxy that loses connections on purpose: put it between a client and a server, heartline's or any other.
It tells each event on stdout (the first line is the address to connect to) and ends with a summary on Ctrl-C.

The same --seed gives the n-th link the same faults. Without any option of a fault it only forwards."""

_EXAMPLES = """\
examples, with a server on port 8000:
  heartline faults --listen :9000 --to :8000 --cut-every 0.5
      each link dies after half a second or so, and what is in flight is lost
  heartline faults --listen :9000 --to :8000 --freeze-every 10 --freeze-for 3
      links stay open and nothing comes through for three seconds
  heartline faults --listen :9000 --to :8000 --freeze-every 5 --freeze-for inf
      half-open links: the other side is gone and nobody says so
  heartline faults --listen :9000 --to :8000 --refuse-every 20 --refuse-for 5 --latency 40ms --jitter 20ms
      a bad day: outages, and a slow line
  heartline send ws://127.0.0.1:9000/ --channel news < access.log
      and this is how to go through it

exit status: 0 ended by a signal, 2 the address cannot be used"""

_TEXTS = {
    "opened": "open",
    "refused": "dial refused",
    "hung": "dial left without an answer",
    "unreachable": "dial failed: the target cannot be reached",
    "frozen": "frozen",
    "thawed": "thawed",
    "left": "one side left",
    "closed": "gone",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("--listen", type=address, default=("127.0.0.1", 0), metavar="HOST:PORT", help="where clients connect; "
        ":PORT is this machine only, port 0 any free one (default :0)")  # fmt: skip
    add("--to", type=address, required=True, metavar="HOST:PORT", help="where the server is")
    add("--seed", type=count(), default=0, metavar="N", help="choose another course of events (default 0)")
    add("--quiet", action="store_true", help="the address and the summary only")
    add("--json", action="store_true", help="one JSON object a line: the address, events, the summary")
    add_rules(parser)


def run(args: argparse.Namespace) -> int:
    """Proxy until a signal comes."""
    rules = rules_of(args)
    return run_job(_proxy(args, rules))


async def _proxy(args: argparse.Namespace, rules: object) -> int:
    from heartline.faults import FaultProxy

    on_event = None if args.quiet else (_tell_json if args.json else _tell)
    proxy = FaultProxy(args.to, rules=rules, seed=args.seed, listen=args.listen, on_event=on_event)  # type: ignore[arg-type]
    try:
        await proxy.start()
    except OSError as error:
        raise Stop(_listen_error(error, args.listen)) from None
    where = named(*proxy.address)
    print(json.dumps({"what": "listening", "address": where}) if args.json else where, flush=True)
    ended = asyncio.Event()
    try:
        await ended.wait()  # until a signal cancels it
    except asyncio.CancelledError:
        pass
    finally:
        stats = proxy.stats
        await proxy.close()
    if args.json:
        print(json.dumps({"what": "summary", **dataclasses.asdict(stats)}), flush=True)
    else:
        print(_summary(stats), flush=True)
    return Exit.DONE


def _tell(event: "ProxyEvent") -> None:
    text = _TEXTS.get(event.what.value)
    if text is None:
        text = "cut, what was in flight is lost" if event.loses_data else "cut, what was in flight arrives"
    way = f" ({event.direction.value})" if event.direction is not None else ""
    print(f"{event.at:9.3f} s  link {event.link}: {text}{way}", flush=True)


def _tell_json(event: "ProxyEvent") -> None:
    row = {"what": event.what.value, "at": round(event.at, 4), "link": event.link}
    if event.direction is not None:
        row["direction"] = event.direction.value
    if event.loses_data:
        row["loses_data"] = True
    print(json.dumps(row), flush=True)


def _summary(stats: "ProxyStats") -> str:
    return (
        f"{stats.dials:,} dials, {stats.opened:,} links opened, {stats.cut:,} cut; "
        f"{stats.refused:,} dials refused, {stats.hung:,} never answered, {stats.unreachable:,} found nobody; "
        f"bytes: {stats.bytes_up:,} up, {stats.bytes_down:,} down, {stats.bytes_lost:,} lost"
    )


def _listen_error(error: OSError, where: tuple[str, int]) -> str:
    if isinstance(error, socket.gaierror):
        return f"--listen {named(*where)}: no such host"
    if error.errno == errno.EADDRINUSE:
        return f"--listen {named(*where)} is in use: choose another port, or 0 for any free one"
    return f"--listen {named(*where)} cannot be used: {error.strerror or error}"
