"""The application's login hook: from a function to a verdict.

Invariants:
- a hook that returns something else than an identity is a programmer's error, told in the log and to the client as
  "failed", never as a success (test_login_must_return_an_identity);
- what a hook raises reaches nobody but the log, unless it is a `Refuse` (test_a_failing_login_shows_nothing).
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from heartline.core.server.verdicts import Accepted
from heartline.transports.api import Request

from .handlers import hints_of
from .refusals import Refuse, check_text, split_invalid


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is. `name` must stay the same for its sessions to be resumed; `user` is handed to your handlers.

    `expires_in`: seconds until the credentials must be renewed; the client is asked in time, and closed with
    "login again" if it does not answer. `say`: what the answer to the login tells the client besides yes, where its
    dialect can: `$keep.x` and `$data` of `login.ok` stand for it.
    """

    name: str
    user: Any = field(default=None, repr=False)
    expires_in: float | None = None
    say: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    def __post_init__(self) -> None:
        check_text(self.name, "Identity.name must be a non-empty string")
        if not isinstance(self.say, Mapping):
            raise TypeError(f"Identity.say must be a mapping, not {type(self.say).__name__}")
        if self.expires_in is None:
            return
        if not isinstance(self.expires_in, int | float):
            raise TypeError(f"Identity.expires_in must be seconds or None, not {self.expires_in!r}")
        if not 0 < self.expires_in <= 1e9:
            raise ValueError(f"Identity.expires_in must be above 0 and at most 1e9, not {self.expires_in!r}")


def make_judge(function: Callable[..., Any]) -> Callable[[Raw, Any], Awaitable[Accepted]]:
    """Wrap a login hook: (payload) or (payload, request); typed by its annotation. Raises TypeError early."""
    if not callable(function):
        raise TypeError(f"a login must be a function, not {type(function).__name__}")
    hints = hints_of(function)
    names = list(inspect.signature(function).parameters)
    wants_request = [name for name in names if hints.get(name) is Request or name == "request"]
    payloads = [name for name in names if name not in wants_request]
    if len(wants_request) > 1 or len(payloads) > 1:
        raise TypeError("a login takes the payload, the request, or both, and nothing else")
    decode = msgspec.json.Decoder(hints.get(payloads[0], Any) if payloads else Any).decode

    async def judge(payload: Raw, request: Any) -> Accepted:
        try:
            given = {name: decode(payload) for name in payloads} | dict.fromkeys(wants_request, request)
        except RecursionError:
            raise Refuse("invalid", "nested too deeply") from None
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            message, path = split_invalid(error)
            raise Refuse("invalid", f"{message} (at {path})") from None
        value = function(**given)
        if hasattr(value, "__await__"):
            value = await value
        if isinstance(value, str) and value:
            return Accepted(value)
        if isinstance(value, Identity):
            return Accepted(value.name, value.user, value.expires_in, dict(value.say))
        raise TypeError(f"the login hook must return an Identity or a non-empty string, not {type(value).__name__}")

    return judge
