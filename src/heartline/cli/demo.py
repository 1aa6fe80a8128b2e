"""`heartline demo`: the example systems in a browser, on a network that can be broken from their pages.

Invariants:
- the first line on stdout is the address, written when the port is open (test_the_first_line_is_the_address);
- a port in use, a bundle not built or a package not installed is one line on stderr (test_demo_errors_are_one_line).
"""

import argparse
import asyncio
import logging
import webbrowser
from pathlib import Path

from .addresses import address_error
from .exits import Exit, Stop
from .running import run as run_job
from .terminal import say
from .values import count

_DESCRIPTION = """\
Five systems on one port, each with a page: heart, card, echo, trades, community, and heartline's own protocol.
Every page has a panel that cuts, freezes, slows or refuses its own links, through the fault proxy the port is made
of; and `heartline prove` can be started from the first page. Clients of your own connect to the same addresses, and
nothing is done to them."""

_EXAMPLES = """\
examples:
  heartline demo                                   http://127.0.0.1:8002/, opened in your browser
  heartline demo --no-open --port 0                any free port
  heartline demo --host 0.0.0.0                    for a phone in the same network; whoever reaches it may use it
  heartline demo --data ./demo-data                keep posts and bindings for the next time

It needs what `pip install 'heartline[demo]'` installs.

exit status: 0 stopped by a signal, 2 the address cannot be used, or something is not installed"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1: this machine only)")
    add("--port", type=count(), default=8002, metavar="N", help="port to listen on, 0: any free one (default 8002)")
    add("--no-open", action="store_true", help="do not open a browser")
    add("--data", type=Path, metavar="DIR", help="keep the systems' files there (default: a temporary folder)")


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    if args.port > 65535:
        raise Stop(f"--port: expected 0 to 65535, not {args.port}")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from heartline.demo import DemoError, Gallery

    try:
        gallery = Gallery(args.host, args.port, data=args.data)
    except DemoError as error:
        raise Stop(str(error)) from None
    return run_job(_serve(gallery, args))


async def _serve(gallery: object, args: argparse.Namespace) -> int:
    from heartline.core.errors import BrokerError
    from heartline.demo import DemoError, Gallery

    assert isinstance(gallery, Gallery)
    try:
        await gallery.__aenter__()
    except DemoError as error:
        raise Stop(str(error)) from None
    except BrokerError as error:  # --data of another demo that runs, say
        raise Stop(f"the demo did not start: {error}") from None
    except OSError as error:
        raise Stop(address_error(error, args)) from None
    try:
        print(gallery.url, flush=True)
        say("Ctrl-C ends it")
        if not args.no_open:
            await asyncio.to_thread(webbrowser.open, gallery.url)
        await asyncio.Event().wait()  # until a signal cancels it
    except asyncio.CancelledError:
        pass
    finally:
        await gallery.__aexit__(None, None, None)
    return Exit.DONE
