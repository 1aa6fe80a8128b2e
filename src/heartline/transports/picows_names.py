"""What links, dials and listeners use of picows, from where it is defined: nothing else of it is loaded."""

from typing import Any

import picows.picows as _compiled
from picows.common import (
    WSHandshakeError,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSAutoPingStrategy, WSTransport

WSProtocol: Any = _compiled.WSProtocol  # type: ignore[attr-defined]  # not in its stubs

__all__ = [
    "WSAutoPingStrategy",
    "WSHandshakeError",
    "WSProtocol",
    "WSTransport",
    "WSUpgradeRequest",
    "WSUpgradeResponse",
    "WSUpgradeResponseWithListener",
]
