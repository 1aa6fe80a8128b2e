"""Fills in what Python answers to the inputs of protocol/vectors/client/*.json and dialects/client-*.json.

Write a scenario's inputs by hand, run this, then judge each new `expect` against PROTOCOL.md or DIALECTS.md before it is committed:
what is recorded is only what the code does. A step that already has an `expect` keeps it; `--check` writes
nothing and fails where a file is incomplete or not laid out as this script would.
"""

import json
import sys
from pathlib import Path
from typing import Any

from heartline.testing import dialect_vectors, vectors

WIDTH = 90
DONE = ("returns", "expect", "ignored", "kept", "deadline")
OUT = ("expect", "deadline", "ignored")
Player = type[vectors.Player] | type[dialect_vectors.Player]


def recorded(scenario: dict[str, Any], make: Player) -> dict[str, Any]:
    """The scenario with an `expect` and a `deadline` in every step."""
    player = make(scenario)
    steps: list[dict[str, Any]] = []
    for written in scenario["steps"]:
        if "$for" in written:  # loops are written with their expectations
            for step in vectors.expand([written]):
                player.step(step)
        else:
            try:
                done = player.step(vectors.expand(written))
            except Exception as error:
                error.add_note(f"{scenario['name']}, step {len(steps) + 1}: {written}")
                raise
            if "expect" not in written:
                written = written | {key: done[key] for key in DONE if key in done}
        steps.append(written)
    return scenario | {"steps": steps}


def laid_out(scenarios: list[dict[str, Any]]) -> str:
    """The text of a file: two lines a step, what goes in and what comes out, or more where much comes out."""
    return "[\n" + ",\n".join(_scenario(scenario) for scenario in scenarios) + "\n]\n"


def _scenario(scenario: dict[str, Any]) -> str:
    head = [f"    {_json(key)}: {_json(value)},\n" for key, value in scenario.items() if key != "steps"]
    steps = ",\n".join("      " + _step(step) for step in scenario["steps"])
    return "  {\n" + "".join(head) + '    "steps": [\n' + steps + "\n    ]\n  }"


def _step(step: dict[str, Any]) -> str:
    if "$for" in step:
        return f'{{"$for": {_json(step["$for"])}, "of": {_step(step["of"])}}}'
    line = _json({key: value for key, value in step.items() if key not in OUT})[:-1]
    expected = _json(step["expect"])
    if len(expected) > WIDTH:
        expected = "[\n" + ",\n".join("          " + _json(effect) for effect in step["expect"]) + "\n        ]"
    ignored = ', "ignored": true' if step.get("ignored") else ""
    return f'{line},\n       "expect": {expected}{ignored}, "deadline": {_json(step["deadline"])}}}'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def main(arguments: list[str]) -> int:
    """Record, or with --check compare."""
    wrong = 0
    rooms: tuple[tuple[str, str, Player], ...] = (
        ("client", "*.json", vectors.Player),
        ("dialects", "client-*.json", dialect_vectors.Player),
    )
    for room, pattern, make in rooms:
        for path in sorted((vectors.folder() / room).glob(pattern)):
            wrong += not renewed(path, make, check="--check" in arguments)
    return 1 if wrong else 0


def renewed(path: Path, make: Player, *, check: bool) -> bool:
    """Whether the file was as it should be, or is now."""
    old = path.read_text(encoding="utf-8")
    new = laid_out([recorded(scenario, make) for scenario in json.loads(old)])
    if new != old and not check:
        path.write_text(new, encoding="utf-8")
    if check and new != old:
        print(f"{path.name}: run scripts/record_vectors.py")
    return new == old or not check


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
