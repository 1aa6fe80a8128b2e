"""The clock that goes on while the machine sleeps, where there is one.

A suspended laptop must see, on waking, how long it was away: the machines then probe before they declare death.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final

_BOOT_TIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)

now: Callable[[], float] = time.monotonic if _BOOT_TIME is None else partial(time.clock_gettime, _BOOT_TIME)
"""Seconds since some moment in the past, never falling."""
