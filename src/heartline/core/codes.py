"""Close codes, as `protocol/close_codes.json` lists them.

Invariants:
- code and data file agree in number, name and class (test_codes_equal_the_data_file);
- every code from 0 to 4999 has a class (test_every_code_has_a_class).
"""

from enum import Enum, IntEnum
from typing import Final


class CodeClass(Enum):
    """What a client does after a close (PROTOCOL 6.1)."""

    RETRY = "retry"
    LOGIN = "login"
    FATAL = "fatal"


class Code(IntEnum):
    """Close codes by name; the meaning of each is in `protocol/close_codes.json`."""

    NORMAL = 1000
    GOING_AWAY = 1001
    WEBSOCKET_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_CODE = 1005
    ABNORMAL = 1006
    INVALID_TEXT = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    RESTART = 1012
    TRY_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_FAILED = 1015
    PEER_SILENT = 4000
    SUPERSEDED = 4001
    MOVED = 4002
    HELLO_TIMEOUT = 4003
    STALLED = 4004
    FLOODING = 4005
    REFUSED_FOR_NOW = 4006
    ABANDONED = 4007
    LOGIN_EXPIRED = 4100
    BAD_FRAME = 4200
    LOGIN_REFUSED = 4201
    REPLACED = 4202
    ENDED = 4203
    NOT_YOUR_SESSION = 4204
    TOO_MANY_SESSIONS = 4205


_FATAL_BELOW_4000: Final = frozenset({Code.UNSUPPORTED_DATA, Code.INVALID_TEXT, Code.POLICY, Code.TOO_BIG})


def classify(code: int) -> CodeClass:
    """Return what a client does after a link ended with `code` (PROTOCOL 6.1)."""
    if 4100 <= code < 4200:
        return CodeClass.LOGIN
    if 4200 <= code < 4300 or code in _FATAL_BELOW_4000:
        return CodeClass.FATAL
    return CodeClass.RETRY
