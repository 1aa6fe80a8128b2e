"""What the parts of a client's translator share: the dialect, its variables, and what is to be done (DIALECTS §4).

Invariants:
- what comes from outside is cut to what a frame takes (test_long_words_are_cut).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import UNSET, Raw, Struct, json

from .forms import Form, Heard, is_number, match, say
from .native import encode
from .spec import Dialect

REASON: Final = 200
"""Characters of somebody else's explanation that are passed on."""
WORD: Final = 64


class Say(Struct, frozen=True):
    """Write this text message to the socket."""

    data: bytes


class SendPing(Struct, frozen=True):
    """Send an RFC 6455 ping; tell `pong` its payload when the pong comes."""

    payload: bytes


class Down(Struct, frozen=True):
    """Give this frame to the client machine, as if its server had sent it."""

    data: bytes


class Leave(Struct, frozen=True):
    """Leave the link, for the other end is gone, and go on as after any lost one."""

    reason: str


Output = Say | SendPing | Down | Leave


class Desk:
    """One client's dialect at work. `now_ms` gives the time of day, in milliseconds since 1970."""

    def __init__(
        self,
        dialect: Dialect,
        params: Mapping[str, Any],
        keep: Mapping[str, Any],
        now_ms: Callable[[float], int],
    ) -> None:
        self.dialect = dialect
        self.keep: dict[str, Any] = dict(keep)
        self._params: dict[str, Any] = {**dialect.params, **params}
        self._now_ms = now_ms
        self._last_id = 0
        self._outputs: list[Output] = []

    def clear(self) -> None:
        """The link is gone, and with it what was still to be done on it."""
        self._outputs.clear()

    def next_id(self) -> int:
        """A number for `$id`, never used before."""
        self._last_id += 1
        return self._last_id

    # variables

    def saying(self, now: float, **more: Any) -> dict[str, Any]:
        """Values for a form that is said. One that is UNSET or null counts as absent."""
        given = {name: value for name, value in more.items() if value is not UNSET and value is not None}
        always = {"param": self._params, "keep": self.keep, "now_ms": self._now_ms(now)}
        return {**self.dialect.defaults, **always, **given}

    def hear(self, form: Any, heard: Heard, **known: Any) -> dict[str, Any] | None:
        """What `form` finds in a message; None where it does not fit or there is no form."""
        if form is UNSET or form is None:
            return None
        return match(form, heard, {"param": self._params, **known})

    # outputs

    def drain(self) -> list[Output]:
        """Take what is to be done, in order."""
        outputs = self._outputs[:]
        self._outputs.clear()
        return outputs

    def say(self, form: Form, variables: Mapping[str, Any]) -> bool:
        """Say a message; whether there was anything to say. ValueError for data that cannot be said so."""
        data = say(form, variables)
        if data is not None:
            self._outputs.append(Say(data))
        return data is not None

    def put(self, output: Output) -> None:
        """Do something else."""
        self._outputs.append(output)

    def down(self, frame: Struct | bytes) -> None:
        """Give the machine a frame."""
        self._outputs.append(Down(frame if isinstance(frame, bytes) else encode(frame)))


def raw_of(value: Any, otherwise: Heard) -> Raw:
    """A variable as JSON text; the whole message where it is UNSET."""
    if value is not UNSET:
        return Raw(json.encode(value))
    if otherwise.value is not UNSET:
        return Raw(otherwise.data)
    return Raw(json.encode(otherwise.text))


def word_of(value: Any, otherwise: str) -> str:
    """A short word out of whatever `$code` stood for."""
    if isinstance(value, str) and value:
        return value[:WORD]
    return json.encode(value).decode()[:WORD] if is_number(value) else otherwise


def sentence_of(value: Any) -> str:
    """A sentence out of whatever `$why` stood for."""
    if value is UNSET or value is None:
        return ""
    return (value if isinstance(value, str) else json.encode(value).decode())[:REASON]


def name_of(value: Any, otherwise: str) -> str:
    """An event's name, "" where it can be none."""
    name = otherwise if value is UNSET else value
    return name if isinstance(name, str) and 1 <= len(name) <= 255 else ""
