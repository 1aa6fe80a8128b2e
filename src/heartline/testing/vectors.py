"""Runs `protocol/vectors/`: what every implementation of heartline.1 has to do, as data.

`protocol/vectors/README.md` describes the form; this is its Python reader. Use `codec_cases()` with `check_codec`,
and `scenarios()` with `check_scenario`; both raise AssertionError naming the case and the step.

Invariants:
- a case that is not done as written fails, and says at which step (test_a_wrong_expectation_fails);
- every draw of a scenario is used and none is invented (test_draws_are_counted).
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from math import isclose
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw

from heartline.core import effects as do
from heartline.core.client import ClientMachine
from heartline.core.errors import BadFrame, ConnectionClosed, OutboxFull
from heartline.core.outbox import Kind, Message
from heartline.core.policy import BackOff, ClientPolicy, Heartbeat, OutboxLimits
from heartline.core.saved import Saved
from heartline.dialects.native import NativeClient, decode_down, decode_up

Json = Any
"""Whatever JSON holds."""

TOLERANCE: Final = 1e-6
LIMITS: Final = {
    "message": 1 << 20,
    "window": 256,
    "window_bytes": 1 << 20,
    "credit": 512,
    "credit_bytes": 1 << 18,
    "subscriptions": 1000,
}
_I: Final = re.compile(r"\$i([+-]\d+)?")
_EMPTY: Final[tuple[Json, ...]] = (None, [], {})
_POLICIES: Final = {"heartbeat": Heartbeat, "back_off": BackOff, "outbox": OutboxLimits}


def folder() -> Path:
    """Where the vectors are: in the installed package, or in the repository it runs from."""
    package = Path(__file__).resolve().parents[1]
    for protocol in (package / "protocol", package.parents[1] / "protocol"):
        if (protocol / "vectors").is_dir():
            return protocol / "vectors"
    raise FileNotFoundError(f"no protocol/vectors beside {package}")


def codec_cases() -> list[dict[str, Json]]:
    """Every case of `codec.json`."""
    cases: list[dict[str, Json]] = json.loads((folder() / "codec.json").read_text(encoding="utf-8"))
    return cases


def scenarios() -> list[dict[str, Json]]:
    """Every scenario of `client/*.json`, file by file, as written."""
    found: list[dict[str, Json]] = []
    for path in sorted((folder() / "client").glob("*.json")):
        found += json.loads(path.read_text(encoding="utf-8"))
    return found


def expand(value: Json, i: int | None = None) -> Json:
    """Write out `$for`, `$i`, `$repeat` and `$limits`."""
    if isinstance(value, list):
        return list(_items(value, i))
    if isinstance(value, dict):
        if "$repeat" in value:
            text, times = value["$repeat"]
            return text * times
        if "$limits" in value:
            return LIMITS | value["$limits"]
        return {key: expand(inner, i) for key, inner in value.items()}
    if i is not None and isinstance(value, str) and (match := _I.fullmatch(value)):
        return i + int(match[1] or 0)
    return value


def _items(values: Iterable[Json], i: int | None) -> Iterator[Json]:
    for value in values:
        if isinstance(value, dict) and "$for" in value:
            first, last = value["$for"]
            for n in range(first, last + 1):
                yield expand(value["of"], n)
        else:
            yield expand(value, i)


# the codec


def text_of(case: dict[str, Json]) -> bytes:
    """The bytes of a codec case's message."""
    if "base64" in case:
        return base64.b64decode(case["base64"])
    text = expand(case["text"])
    return (text if isinstance(text, str) else "".join(text)).encode()


def read_frame(direction: str, text: bytes) -> Json:
    """A message as a JSON array with every default filled in. Raises BadFrame."""
    return _plain((decode_up if direction == "up" else decode_down)(text))


def check_codec(case: dict[str, Json]) -> None:
    """Read one message and compare; raise AssertionError where it is not read as the case says."""
    try:
        frame = read_frame(case["direction"], text_of(case))
    except BadFrame as error:
        _must(len(str(error).encode()) <= 120, f"{case['name']}: the reason is too long")
        _must(case.get("refused") is True, f"{case['name']}: refused with {error}")
        return
    wanted = expand(case.get("frame"))
    _must("frame" in case and same(frame, wanted), f"{case['name']}: read as {frame}, not {wanted}")


def _plain(value: Json) -> Json:
    if isinstance(value, Raw):
        return json.loads(bytes(value))
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        pairs = {wire: getattr(value, name) for name, wire in names}
        if value.__struct_config__.array_like:
            tag = value.__struct_config__.tag
            return [*([] if tag is None else [tag]), *(_plain(inner) for inner in pairs.values())]
        if pairs.get("state", 0) is UNSET:
            del pairs["state"]
        return {key: None if inner is UNSET else _plain(inner) for key, inner in pairs.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def same(one: Json, other: Json) -> bool:
    """Whether two JSON values are the same: numbers by value and within 1e-6, true and 1 never."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or isclose(one, other, rel_tol=0.0, abs_tol=TOLERANCE)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)


# the client machine


class Draws(Random):
    """The numbers of a scenario, in their order."""

    def __init__(self, numbers: list[float]) -> None:
        super().__init__(0)
        self.left = list(numbers)

    def random(self) -> float:
        """The next number."""
        _must(bool(self.left), "a number was drawn that the scenario does not have")
        return self.left.pop(0)


class Player:
    """One scenario on one machine: `step` does one input and tells what came of it."""

    def __init__(self, scenario: dict[str, Json]) -> None:
        self.draws = Draws(scenario.get("random", []))
        given = scenario.get("policy", {})
        policy: dict[str, Any] = {
            k: _POLICIES[k](**v) if k in _POLICIES and v is not None else v for k, v in given.items()
        }
        saved = scenario.get("saved")
        self._machine = ClientMachine(
            ClientPolicy(**policy),
            NativeClient(),
            self.draws,
            scenario.get("instance", "me"),
            saved=None if saved is None else _saved(saved),
        )

    def step(self, step: dict[str, Json]) -> dict[str, Json]:
        """Do one expanded step: `expect`, `deadline` and, where the input has one, `returns`."""
        returned = getattr(self, "_" + step["do"], self._other)(step, step["at"])
        result = {
            "expect": [neutral(effect) for effect in self._machine.drain()],
            "deadline": self._machine.next_deadline(),
        }
        return result if returned is None else result | {"returns": returned}

    # inputs whose arguments need a translation; every other is called by its name

    def _other(self, step: dict[str, Json], now: float) -> Json:
        rest = {key: value for key, value in step.items() if key not in _OF_A_STEP}
        return getattr(self._machine, step["do"])(**rest, now=now)

    def _send(self, step: dict[str, Json], now: float) -> Json:
        more = {key: step[key] for key in ("target", "expires_in", "idempotent") if key in step}
        try:
            return self._machine.send(Kind(step["kind"]), step["event"], _dump(step["data"]), now, **more)
        except OutboxFull:
            return "outbox full"
        except ConnectionClosed:
            return "closed"

    def _subscribe(self, step: dict[str, Json], now: float) -> Json:
        try:
            self._machine.subscribe(step["channel"], now, step.get("epoch"), step.get("offset"))
        except ConnectionClosed:
            return "closed"
        return None

    def _opened(self, step: dict[str, Json], now: float) -> None:
        self._machine.opened(step["attempt"], now, Raw(_dump(step.get("login"))))

    def _login(self, step: dict[str, Json], now: float) -> None:
        self._machine.login(Raw(_dump(step["payload"])), now)

    def _received(self, step: dict[str, Json], now: float) -> None:
        text = step["text"].encode() if "text" in step else _dump(step["frame"])
        self._machine.received(step["attempt"], text, now)


_OF_A_STEP: Final = {"at", "do", "expect", "deadline", "returns"}


def check_scenario(scenario: dict[str, Json]) -> None:
    """Play one scenario; raise AssertionError at the first step that does not do what is written."""
    player = Player(scenario)
    for number, step in enumerate(expand(scenario["steps"]), 1):
        where = f"{scenario['name']}, step {number} ({step['do']} at {step['at']})"
        try:
            done = player.step(step)
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
        for what in ("expect", "deadline", "returns"):
            wanted = step.get(what)
            _must(same(done.get(what), wanted), f"{where}: {what} is {done.get(what)}, not {wanted}")
    _must(not player.draws.left, f"{scenario['name']}: {player.draws.left} were never drawn")


def neutral(effect: do.Effect) -> list[Json]:
    """One effect as the vectors write it."""
    match effect:
        case do.Transmit():
            return ["transmit", effect.attempt, _transmitted(effect.payload)]
        case do.Drop():
            return ["drop", effect.attempt, effect.code]
        case do.Persist():
            return ["persist", effect.message.n, effect.reserved]
        case do.Settle():
            return ["settle", effect.message.n, effect.outcome.value, json.loads(effect.body)]
        case do.Arrived(do.Entry() as item):
            return ["entry", item.channel, item.epoch, item.offset, item.event, _plain(item.data)]
        case do.Arrived(do.Lost() as item):
            return ["lost", item.channel, item.epoch, item.after, item.to, item.reason]
        case do.Subscribed():
            state = [] if effect.state is None else [json.loads(effect.state)]
            return ["subscribed", effect.channel, effect.epoch, effect.offset, *state]
        case do.Changed():
            return ["state", effect.old, effect.new, effect.code, effect.retry_in]
    words = "".join("_" + letter.lower() if letter.isupper() else letter for letter in type(effect).__name__)
    return [words.strip("_"), *(_plain(getattr(effect, name)) for name in effect.__struct_fields__)]


def _transmitted(payload: bytes) -> Json:
    """A frame that was written; in a hello what is null or empty is as good as absent."""
    frame = json.loads(payload)
    if frame[0] == "hello":
        frame[1] = {key: value for key, value in frame[1].items() if value not in _EMPTY}
    return frame


def _saved(saved: dict[str, Json]) -> Saved:
    messages = []
    for kept in saved.get("messages", []):
        more = {key: kept[key] for key in ("target", "idempotent") if key in kept}
        messages.append(Message(kept["n"], Kind(kept["kind"]), kept["event"], _dump(kept["data"]), **more))
    cursors = {channel: (epoch, offset) for channel, (epoch, offset) in saved.get("cursors", {}).items()}
    rest = {key: saved[key] for key in ("session", "key", "next_number") if key in saved}
    return Saved(messages=tuple(messages), cursors=cursors, **rest)


def _must(held: bool, otherwise: str) -> None:
    if not held:
        raise AssertionError(otherwise)


def _dump(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
