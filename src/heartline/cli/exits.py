"""How a command begins and ends: its parser, its errors, its exit status.

Invariants:
- a `Stop` raised anywhere in a command becomes one line on stderr and its exit status (test_errors_are_one_line);
- a reader of stdout that goes away ends a command quietly (test_a_closed_stdout_ends_quietly).
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from enum import IntEnum
from types import ModuleType
from typing import NoReturn

from .terminal import say


class Exit(IntEnum):
    """Exit statuses, the same for all commands; 128 + the signal's number where a signal left something undone."""

    DONE = 0
    NOT_DONE = 1
    CANNOT = 2


class Stop(Exception):
    """End the command: `text` is shown to the person, on one line."""

    def __init__(self, text: str, status: int = Exit.CANNOT) -> None:
        super().__init__(text)
        self.status = int(status)


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise Stop(f"{message} (see {self.prog} --help)")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are, and names an option's value once."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=min(110, _width() - 2))

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"


def guard(name: str, command: ModuleType, words: Sequence[str]) -> int:
    """Parse `words` for a command and run it; the exit status.

    The command's module has `add_arguments(parser)`, which also sets description and epilogue, and `run(args)`, which
    returns the exit status or raises Stop.
    """
    parser = _Parser(prog=f"heartline {name}", formatter_class=_Formatter, allow_abbrev=False)
    try:
        command.add_arguments(parser)
        status: int = command.run(parser.parse_args(words))
    except Stop as stop:
        say(f"heartline {name}: {stop}")
        return stop.status
    except KeyboardInterrupt:
        return 130
    return status


def leave_stdout() -> None:
    """Nobody reads stdout any more: keep the interpreter from complaining about that when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _width() -> int:
    try:
        return max(60, os.get_terminal_size().columns)
    except OSError:
        return 112
