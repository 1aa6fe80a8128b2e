"""The clock that goes on while the machine sleeps, where there is one.

A suspended laptop must see, on waking, how long it was away: the machines then probe before they declare death.
"""

import time
from typing import Final

_BOOT_TIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def _boot_time() -> float:
    assert _BOOT_TIME is not None
    return time.clock_gettime(_BOOT_TIME)


now = time.monotonic if _BOOT_TIME is None else _boot_time
"""Seconds since some moment in the past, never falling."""
