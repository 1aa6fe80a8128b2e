"""What `trace=` may be given: each fact the machines report, as a line or a record.

The machines report states, attempts and refusals; never secrets, never payload.

Invariants: one fact is one line (test_one_fact_is_one_line); a stream that fails stops the trace and nothing else
(test_a_failing_stream_stops_only_the_trace).
"""

import logging
import time
from typing import TextIO

import msgspec

_encode = msgspec.json.Encoder(enc_hook=str).encode


class JsonTrace:
    """Writes `{"at": unix seconds, "what": …, details…}` lines: `heartline.Server(trace=JsonTrace(sys.stderr))`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def __call__(self, now: float, what: str, details: dict[str, object]) -> None:
        """Write one fact. `now`, the machines' own clock, is left out: it means nothing outside the process."""
        del now
        if self._stream is None:
            return
        line = _encode({"at": round(time.time(), 6), "what": what, **details}).decode()
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._stream = None
            logging.getLogger("heartline.observe").warning("the trace ends: %s", error)


class LogTrace:
    """Logs each fact at `level`."""

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.DEBUG) -> None:
        self._logger = logger or logging.getLogger("heartline.trace")
        self._level = level

    def __call__(self, now: float, what: str, details: dict[str, object]) -> None:
        """Log one fact."""
        del now
        if self._logger.isEnabledFor(self._level):
            self._logger.log(self._level, "%s %s", what, _encode(details).decode())
