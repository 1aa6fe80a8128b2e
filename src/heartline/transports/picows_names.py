"""What links, dials and listeners use of picows, from where it is defined: nothing else of it is loaded."""

from typing import Any

from .postponed import postpone

postpone("picows")

import picows.picows as _compiled  # noqa: E402
from picows.common import (  # noqa: E402
    WSHandshakeError,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSAutoPingStrategy, WSFrame, WSListener, WSMsgType, WSTransport  # noqa: E402

WSProtocol: Any = _compiled.WSProtocol  # type: ignore[attr-defined]  # not in its stubs

__all__ = [
    "WSAutoPingStrategy",
    "WSFrame",
    "WSHandshakeError",
    "WSListener",
    "WSMsgType",
    "WSProtocol",
    "WSTransport",
    "WSUpgradeRequest",
    "WSUpgradeResponse",
    "WSUpgradeResponseWithListener",
]
