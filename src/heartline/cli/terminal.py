"""One line on the terminal that is written over and over; nothing at all where there is no terminal.

Invariant: other lines on stderr are never mixed with it (test_a_status_line_is_cleared_for_other_lines).
"""

import contextlib
import shutil
import sys
import time
from weakref import WeakSet

_shown: "WeakSet[StatusLine]" = WeakSet()


def say(line: str) -> None:
    """One line for the person, on stderr; whoever closed it wants none."""
    for status in _shown:
        status.clear()
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


class StatusLine:
    """A status line on stderr. `show` as often as you like: it is drawn ten times a second at most."""

    def __init__(self, wanted: bool = True) -> None:
        self.visible = wanted and sys.stderr is not None and sys.stderr.isatty()
        self._drawn = 0.0
        self._length = 0
        if self.visible:
            _shown.add(self)

    def due(self) -> bool:
        """Whether `show` would draw now."""
        return self.visible and time.monotonic() - self._drawn >= 0.1

    def show(self, text: str, *, now: bool = False) -> None:
        """Draw `text`, cut to the terminal's width."""
        if not self.visible or not (now or self.due()):
            return
        self._drawn = time.monotonic()
        text = text[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write(f"\r{text}{' ' * (self._length - len(text))}")
        sys.stderr.flush()
        self._length = len(text)

    def clear(self) -> None:
        """Take it away, before other lines are written."""
        if self.visible and self._length:
            sys.stderr.write(f"\r{' ' * self._length}\r")
            sys.stderr.flush()
            self._length = 0


def bar(share: float, width: int = 20) -> str:
    """A progress bar for a share from 0 to 1."""
    full = round(min(1.0, max(0.0, share)) * width)
    return f"[{'#' * full}{'-' * (width - full)}]"


def per_second(amount: int, took: float) -> str:
    """A rate, as people read it."""
    return f"{amount / took:,.0f}/s" if took > 0 else "-"
