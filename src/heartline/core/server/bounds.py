"""What `ServerLimits` mean for each message, worked out once: sessions and links look here on every frame."""

import math
from functools import lru_cache
from typing import Final

from heartline.core.policy import ServerLimits

SLIP: Final = 1e-6  # of a token, lest sums of floats come out just below one


class Bounds:
    """The limits of one session and its link.

    The rate is a bucket of max(1, rate) tokens that fills with the rate, kept as one moment: until when it is paid. A
    start adds `pace` seconds to it; it may lie `ahead` seconds in the future.
    """

    __slots__ = (
        "ahead", "credit", "credit_bytes", "frames", "link_credit_bytes", "pace", "results_bytes", "subscriptions",
        "window_bytes",
    )  # fmt: skip

    def __init__(self, limits: ServerLimits) -> None:
        rate = limits.rate
        self.pace: float = 0.0 if rate is None else 1.0 / rate
        self.ahead: float = math.inf if rate is None else (max(1.0, rate) - 1.0 + SLIP) / rate
        self.frames: float = limits.frames
        """those of a second"""
        self.window_bytes: int = limits.window_bytes + limits.message
        """what may be in flight when the last message is taken"""
        self.results_bytes: int = limits.results_bytes
        self.credit: int = limits.credit
        self.credit_bytes: int = limits.credit_bytes
        self.link_credit_bytes: int = limits.link_credit_bytes
        self.subscriptions: int = limits.subscriptions


@lru_cache
def bounds_of(limits: ServerLimits) -> Bounds:
    """Those of these limits, the same for all who ask."""
    return Bounds(limits)
