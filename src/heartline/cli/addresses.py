"""Addresses that cannot be listened on, explained.

Invariant: what is wrong is one line that says what to do about it (test_errors_are_one_line).
"""

import argparse
import errno
import socket

from .values import named

_BROKEN_ADDRESS = {
    errno.EADDRINUSE: "is in use: stop what listens there, or choose another with --port (0: any free one)",
    errno.EACCES: "is not for ordinary users: choose a --port from 1024 on",
    errno.EADDRNOTAVAIL: "is no address of this machine",
}


def address_error(error: OSError, args: argparse.Namespace) -> str:
    """Why --host and --port cannot be listened on, for a person."""
    where = named(args.host, args.port)
    if isinstance(error, socket.gaierror):
        return f"--host {args.host}: no such host"
    return f"{where} {_BROKEN_ADDRESS.get(error.errno or 0, f'cannot be used: {error.strerror or error}')}"
