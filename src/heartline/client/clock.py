"""The clock of a client: seconds that go on while the machine sleeps, where there is such a clock.

A clock that stops in suspend would take a link for fresh that died hours ago; the server forgot it long since.

Invariant: `now` never goes back (test_the_clock_never_goes_back).
"""

import sys
import time
from functools import partial

if sys.platform == "linux":
    now = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
elif sys.platform == "darwin":  # CLOCK_MONOTONIC goes on there, time.monotonic() stops
    now = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
else:
    now = time.monotonic  # type: ignore[assignment]  # on Windows it goes on
