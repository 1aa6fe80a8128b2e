"""The command `heartline`: which sub-commands there are, and the way to them.

Invariants:
- only the module of the command that was named is imported, so that help and errors come at once
  (test_start_up_is_quick);
- what goes wrong is one line on stderr and an exit status of `heartline.cli.exits`, never a traceback
  (test_errors_are_one_line).
"""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Final

COMMANDS: Final = {
    "serve": "run an application, or without one an open relay to play with",
    "send": "publish each line of stdin on a channel, in order, whatever happens to the links",
    "listen": "print what is published on a channel, once and in order",
    "faults": "a TCP proxy that cuts, freezes, delays and refuses on purpose",
    "demo": "five systems in your browser, on a network you can break from their pages",
    "prove": "watch the promise being kept: carry a text through faults and compare every byte",
    "simulate": "run seeded schedules of faults in virtual time and check every step",
}

_HELP: Final = """\
usage: heartline COMMAND ...

WebSocket sessions that outlive their sockets: ordered, resumable, bounded.

commands:
{commands}

options:
  -h, --help   this help
  --version    the version

A first look, in two terminals:
  heartline serve
  heartline listen ws://127.0.0.1:8000/ news
and in a third one:
  seq 1 1000 | heartline send ws://127.0.0.1:8000/ --channel news

exit status:
  0    done
  1    not done in full: lines not handled, a gap with --fail-on-gap, a difference, a violation
  2    cannot be done: wrong arguments, bad input, an application or address that cannot be used
  130  interrupted by Ctrl-C (143: by SIGTERM), where that leaves something undone

`heartline COMMAND --help` tells more, with examples.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, without the program's name (None: this process's own); returns the exit status."""
    from .exits import leave_stdout

    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            return _run(words)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        leave_stdout()
        return 0


def help_text() -> str:
    """The help of `heartline` itself."""
    rows = "\n".join(f"  {name:<11}{summary}" for name, summary in COMMANDS.items())
    return _HELP.format(commands=rows)


def _run(words: list[str]) -> int:
    from .exits import guard

    name = words[0] if words else ""
    if name == "help" and len(words) > 1:
        name, words = words[1], [words[1], "--help"]
    if name in COMMANDS:
        return guard(name, import_module(f"{__name__}.{name}"), words[1:])
    if name in {"-h", "--help", "help"}:
        print(help_text(), end="")
        return 0
    if name == "--version":
        from heartline import __version__
        from heartline.variant import is_compiled

        print(f"heartline {__version__}{' (compiled)' if is_compiled() else ''}")
        return 0
    if name:
        close = get_close_matches(name, COMMANDS, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        print(f"heartline: unknown command {name!r}{hint}\n", file=sys.stderr)
    print(help_text(), end="", file=sys.stderr)
    return 2
