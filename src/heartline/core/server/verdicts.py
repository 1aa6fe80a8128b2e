"""What a login is answered with: the shell's answers to `Judge`."""

from msgspec import Struct


class Accepted(Struct, frozen=True):
    """The application knows this client. `identity` must be the same for a session to be resumed."""

    identity: str = ""
    user: object = None
    expires_in: float | None = None
    say: object = None
    """for dialects whose answer to a login says more than yes"""


class RefusedLogin(Struct, frozen=True):
    """The application refuses; `retry` is the seconds after which it may be tried again, False for good."""

    code: str
    message: str = ""
    retry: float | bool = False
