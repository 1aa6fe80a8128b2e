"""Values on the command line: seconds, sizes, counts, addresses.

Invariant: a value that cannot be meant is refused with a text that says what was expected
(test_values_say_what_was_expected).
"""

import argparse
import math
import re
from collections.abc import Callable

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
LONGEST_BEAT = 86_400.0
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def seconds(text: str) -> float:
    """A time from 0 on: 2, 0.5, 500ms, 2s, 1m, 1h."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d*)?|\.\d+)\s*(ms|s|min|m|h|)", text.strip().lower())
    if found is None:
        raise argparse.ArgumentTypeError(f"expected a time such as 2, 0.5, 500ms or 1m, not {text[:40]!r}")
    return float(found[1]) * _UNITS[found[2]]


def above_0(text: str) -> float:
    """A time that is longer than nothing."""
    value = seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError("expected a time above 0")
    return value


def maybe_ever(text: str) -> float:
    """A time, or inf."""
    return math.inf if text.strip().lower() == "inf" else seconds(text)


def every(text: str) -> float:
    """A time above 0, or inf for never."""
    return math.inf if text.strip().lower() == "inf" else above_0(text)


def size(text: str) -> int:
    """A number of bytes: 65536, 64k, 256M, 1G."""
    found = re.fullmatch(r"(\d+)\s*([kmg]?)(?:i?b)?", text.strip().lower())
    if found is None or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"expected a size such as 65536, 64k or 256M, not {text[:40]!r}")
    return int(found[1]) * _SIZES[found[2]]


def count(least: int = 0) -> Callable[[str], int]:
    """A whole number, at least `least`."""

    def parse(text: str) -> int:
        try:
            number = int(text.replace("_", "").replace(",", ""))
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, not {text[:40]!r}")
        return number

    return parse


def number(text: str) -> float:
    """Any finite number from 0 on."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, not {text[:40]!r}")
    return value


def rate(text: str) -> float:
    """So many a second, above 0."""
    value = number(text)
    if value == 0:
        raise argparse.ArgumentTypeError("expected a number above 0, not 0")
    return value


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, [::1]:PORT, or :PORT for this machine."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535 or (":" in bare and bare == host):
        raise argparse.ArgumentTypeError(f"expected HOST:PORT such as 127.0.0.1:8000, not {text[:80]!r}")
    return bare or "127.0.0.1", int(port)


def beat(text: str) -> tuple[float, float]:
    """INTERVAL,TIMEOUT in seconds."""
    parts = text.split(",")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"expected INTERVAL,TIMEOUT such as 25,10, not {text[:40]!r}")
    interval, timeout = above_0(parts[0]), above_0(parts[1])
    if max(interval, timeout) > LONGEST_BEAT:
        raise argparse.ArgumentTypeError(f"expected times of at most a day, not {text[:40]!r}")
    return interval, timeout


def named(host: str, port: int) -> str:
    """HOST:PORT as it is written."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
