"""`heartline serve`: an application of one's own, or the open relay.

Invariants:
- the first line on stdout is the address, written when the port is open (test_the_first_line_is_the_address);
- the relay listens on loopback only, unless two options say otherwise (test_the_relay_stays_on_loopback).
"""

import argparse
import ipaddress
import logging
import ssl

from .addresses import address_error
from .exits import Exit, Stop
from .terminal import say
from .values import beat, count, seconds, size

_DESCRIPTION = """\
Run an application, named MODULE:APP as in `shop:app` for `app = heartline.Server()` in shop.py.
Without one: an open relay, on which anyone publishes and follows any channel. It is for trying things out, and
listens on this machine only.

The first line on stdout is the address, as soon as clients can connect. Ctrl-C asks clients to move away (see
--drain) and ends; a second Ctrl-C ends at once."""

_EXAMPLES = """\
examples:
  heartline serve                                    a relay on ws://127.0.0.1:8000/
  heartline serve shop:app --host 0.0.0.0 --port 80  your application, for everybody
  heartline serve --port 0 --heartbeat 1,1           any free port; dead links are found within 2 seconds
  heartline serve --host 0.0.0.0 --open              a relay for everybody who reaches this machine
  curl http://127.0.0.1:8000/health                  how it is

exit status: 0 stopped by a signal, 2 the application cannot be loaded or the address cannot be used"""

BROKER = "sqlite:///heartline.db"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("app", nargs="?", metavar="MODULE:APP", help="the application; without it an open relay")
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--port", type=count(), default=8000, metavar="N", help="port to listen on, 0: any free one (default 8000)")
    add("--tls-cert", metavar="FILE", help="certificate chain, PEM; then the address begins with wss://")
    add("--tls-key", metavar="FILE", help="its private key, PEM (default: in the file of the certificate)")
    add("--drain", type=seconds, metavar="S", help="time over which clients are asked to move away at the end "
        "(default 5 s; 0 for the relay)")  # fmt: skip
    relay = parser.add_argument_group("the relay only", "an application says these in heartline.Server(...)")
    add = relay.add_argument
    add("--broker", metavar="URL", help="where entries and sessions are kept: sqlite:///FILE, or memory:// for nothing "
        f"that outlives the relay (default {BROKER})")  # fmt: skip
    add("--open", action="store_true", help="let everybody in: needed when --host is not this machine alone")
    add("--origin", action="append", metavar="ORIGIN", help="browser pages that may connect, such as "
        "https://example.com, or '*'; may be repeated (default: the relay's own)")  # fmt: skip
    add("--history", type=count(), metavar="N", help="entries kept of each channel (default 1,000,000)")
    add("--history-bytes", type=size, metavar="SIZE", help="and at most so many bytes of each (default 256M)")
    add("--heartbeat", type=beat, metavar="I,T", help="seconds of silence before a ping, and before a link counts as "
        "dead after it (default 25,10)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    if args.port > 65535:
        raise Stop(f"--port: expected 0 to 65535, not {args.port}")
    context = _tls(args.tls_cert, args.tls_key)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    app = _relay(args) if args.app is None else _application(args)
    drain = args.drain if args.drain is not None else (0.0 if args.app is None else 5.0)
    ready = False

    def announce(address: object) -> None:
        nonlocal ready
        ready = True
        print(address.url, flush=True)  # type: ignore[attr-defined]
        if args.app is None:
            _explain_relay(args)

    try:
        app.run(args.host, args.port, ssl=context, drain=drain, ready=announce)  # type: ignore[attr-defined]
    except OSError as error:
        if ready:
            raise
        raise Stop(address_error(error, args)) from None
    except Exception as error:
        if ready:
            raise
        from heartline.core.errors import BrokerError

        from .loading import place_of

        if isinstance(error, BrokerError):
            other = "; --broker takes another file, or memory://" if args.app is None else ""
            raise Stop(f"the broker did not start: {error}{other}") from None
        raise Stop(f"the application did not start: {place_of(error)}") from None
    return Exit.DONE


def _application(args: argparse.Namespace) -> object:
    for option in ("broker", "origin", "history", "history_bytes", "heartbeat", "open"):
        if getattr(args, option):
            raise Stop(
                f"--{option.replace('_', '-')} is for the relay: an application says it in heartline.Server(...)"
            )
    from .loading import load_app

    return load_app(args.app)


def _relay(args: argparse.Namespace) -> object:
    if not args.open and not _is_loopback(args.host):
        raise Stop(
            f"the relay lets anyone publish and follow anything, and {args.host} may be reached from other machines: "
            "add --open if that is what you want, or leave --host out"
        )
    from heartline.core.policy import Heartbeat

    from .relay import HISTORY, HISTORY_BYTES, make_relay

    try:
        return make_relay(
            HISTORY if args.history is None else args.history,
            args.history_bytes or HISTORY_BYTES,
            args.origin or (),
            Heartbeat(*args.heartbeat) if args.heartbeat else None,
            secure=args.tls_cert is not None,
            broker=args.broker or BROKER,
        )
    except ValueError as error:
        raise Stop(f"--{error}" if args.broker else str(error)) from None


def _explain_relay(args: argparse.Namespace) -> None:
    where = "everybody who reaches this address" if args.open else "everybody on this machine"
    say(f"an open relay for {where}: any channel, kept in {args.broker or BROKER}; Ctrl-C ends it")


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    if cert is None:
        if key is not None:
            raise Stop("--tls-key needs --tls-cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except FileNotFoundError:
        raise Stop(f"--tls-cert, --tls-key: no such file ({cert}{f', {key}' if key else ''})") from None
    except (ssl.SSLError, OSError) as error:
        raise Stop(f"--tls-cert, --tls-key: {cert} cannot be used: {error}") from None
    return context
