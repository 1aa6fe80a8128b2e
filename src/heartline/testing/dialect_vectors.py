"""Runs `protocol/vectors/dialects/`: what every implementation of dialects has to do, as data.

`protocol/DIALECTS.md` §5 describes the form; this is its Python reader.

Invariant: a case that is not done as written fails, and says which and at which step
(test_a_wrong_expectation_fails).
"""

import base64
import json
from collections.abc import Iterator
from typing import Any, Final

from msgspec import UNSET

from heartline.dialects import forms, presets
from heartline.dialects.client_desk import Down, Leave, Output, Say, SendPing
from heartline.dialects.client_translator import ClientTranslator
from heartline.dialects.spec import Dialect

from .vectors import Json, expand, folder, read_frame, same


def form_cases() -> list[dict[str, Json]]:
    """Every case of `forms.json`."""
    return _load("forms.json")


def spec_cases() -> list[dict[str, Json]]:
    """Every case of `spec.json`."""
    return _load("spec.json")


def scenarios() -> Iterator[dict[str, Json]]:
    """Every scenario of `client-*.json`, file by file, as written."""
    for path in sorted((folder() / "dialects").glob("client-*.json")):
        yield from _load(path.name)


def _load(name: str) -> list[dict[str, Json]]:
    cases: list[dict[str, Json]] = json.loads((folder() / "dialects" / name).read_text(encoding="utf-8"))
    return cases


def dialect_of(written: Json) -> Dialect:
    """A preset by name, a preset with some parts replaced ({"like": name, …}), or a dialect."""
    if isinstance(written, str):
        return presets.load(written)
    if "like" in written:
        base = json.loads(presets.load(written["like"]).to_json())
        written = base | {key: value for key, value in written.items() if key != "like"}
    return Dialect.from_json(json.dumps(written))


# forms and specs


def check_form(case: dict[str, Json]) -> None:
    """Do one case of forms.json; raise AssertionError where something else comes of it."""
    name, form = case["name"], case["form"]
    if "allowed" in case:
        try:
            forms.check_form(form, "form", frozenset(case["allowed"]))
        except (TypeError, ValueError):
            _must(case["refused"] is True, f"{name}: refused")
        else:
            _must(case["refused"] is False, f"{name}: not refused")
    elif "variables" in case:
        try:
            said = forms.say(form, case["variables"])
        except ValueError:
            _must(case.get("refused") is True, f"{name}: refused")
            return
        text = None if said is None else said.decode()
        _must("text" in case and text == case["text"], f"{name}: said {text!r}")
    else:
        message = base64.b64decode(case["base64"]) if "base64" in case else case["message"].encode()
        found = forms.match(form, forms.read(message), case.get("known", {}))
        _must(same(found, case["found"]), f"{name}: found {found}")


def check_spec(case: dict[str, Json]) -> None:
    """Read one dialect of spec.json; raise AssertionError where it is refused and should not be, or the other way."""
    try:
        Dialect.from_json(json.dumps(case["dialect"]))
    except ValueError:
        _must(case["refused"], f"{case['name']}: refused")
    else:
        _must(not case["refused"], f"{case['name']}: not refused")


# the client's translator


class _Notes:
    def __init__(self, notes: dict[str, Json]) -> None:
        self._notes = notes

    def message(self, n: int) -> tuple[bool, str]:
        note = self._notes.get("messages", {}).get(str(n), {})
        return note.get("again", False), note.get("channel", "")

    def args(self, channel: str) -> Any:
        return self._notes.get("args", {}).get(channel, UNSET)


class Player:
    """One scenario on one translator: `step` does one input and tells what came of it."""

    def __init__(self, scenario: dict[str, Json]) -> None:
        self._translator = ClientTranslator(
            dialect_of(scenario["dialect"]),
            _Notes(scenario.get("notes", {})),
            scenario.get("epoch", "e"),
            params=scenario.get("params"),
            keep=scenario.get("keep"),
            can_ping=scenario.get("can_ping", True),
        )

    def step(self, step: dict[str, Json]) -> dict[str, Json]:
        """Do one expanded step: `expect`, `deadline`, and what changed of `ignored` and `kept`."""
        translator, now = self._translator, step["at"]
        before = translator.ignored
        match step["do"]:
            case "up":
                translator.up(json.dumps(step["frame"]).encode(), now)
            case "heard":
                text = step["text"] if "text" in step else json.dumps(step["json"], separators=(",", ":"))
                translator.heard(text.encode(), now)
            case "pong":
                translator.pong(step["payload"].encode(), now)
            case "tick":
                translator.tick(now)
            case "goodbye":
                translator.goodbye(now)
            case "lost":
                translator.lost()
            case "forget":
                translator.forget(step["n"])
            case other:
                raise AssertionError(f"no input is called {other!r}")
        done: dict[str, Json] = {"expect": [neutral(output) for output in translator.drain()]}
        if translator.ignored > before:
            done["ignored"] = True
        if "kept" in step:
            done["kept"] = dict(translator.kept)
        return done | {"deadline": translator.next_deadline()}


COMPARED: Final = ("expect", "deadline", "ignored", "kept")


def check_scenario(scenario: dict[str, Json]) -> None:
    """Play one scenario; raise AssertionError at the first step that does not do what is written."""
    player = Player(scenario)
    for number, step in enumerate(expand(scenario["steps"]), 1):
        done = player.step(step)
        for what in COMPARED:
            _must(
                same(done.get(what), step.get(what)),
                f"{scenario['name']}, step {number} ({step['do']} at {step['at']}): "
                f"{what} is {done.get(what)}, not {step.get(what)}",
            )


def neutral(output: Output) -> list[Json]:
    """One output as the vectors write it."""
    match output:
        case Say():
            return ["say", output.data.decode()]
        case SendPing():
            return ["ping", output.payload.decode()]
        case Down():
            return ["down", read_frame("down", output.data)]
        case Leave():
            return ["leave"]


def _must(held: bool, otherwise: str) -> None:
    if not held:
        raise AssertionError(otherwise)
