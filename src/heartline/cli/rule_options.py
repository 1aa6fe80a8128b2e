"""Options made from the rules of a bad network, so that help and meaning come from one place.

Invariant: every field of `FaultRules` is an option, with the field's own help (test_every_rule_is_an_option).
"""

import argparse
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from heartline.faults.rules import Direction, FaultRules, rule_fields

from .exits import Stop
from .values import maybe_ever, number

_METAVAR = {"s": "S", "bytes/s": "BYTES/S", "share": "X"}


def add_rules(parser: argparse.ArgumentParser, defaults: Mapping[str, Any] | None = None) -> None:
    """Declare an option for each rule; `defaults` are those of this command, where they differ."""
    group = parser.add_argument_group("faults", "times in seconds, or as 500ms, 2s, 1m; inf where help says so")
    standard = {f.name: f.default for f in dataclasses.fields(FaultRules)} | dict(defaults or {})
    for name, (text, unit) in rule_fields().items():
        option, default = f"--{name.replace('_', '-')}", standard[name]
        if name == "freeze_direction":
            group.add_argument(option, type=Direction, choices=list(Direction), default=default, help=text,
                               metavar="up|down")  # fmt: skip
        elif isinstance(default, bool):
            group.add_argument(option, action=argparse.BooleanOptionalAction, default=default, help=text)
        else:
            told = text if default is None else f"{text} Default {default:g}."
            parse = maybe_ever if unit == "s" else number
            group.add_argument(option, type=parse, default=default, metavar=_METAVAR[unit], help=told)


def rules_of(args: argparse.Namespace) -> FaultRules:
    """The rules that were asked for. Raises Stop."""
    try:
        return FaultRules(**{name: getattr(args, name) for name in rule_fields()})
    except (TypeError, ValueError) as error:
        name, _, rest = str(error).partition(" ")
        raise Stop(f"--{name.replace('_', '-')} {rest} (see --help)" if name in rule_fields() else str(error)) from None


def arguments_of(rules: FaultRules) -> list[str]:
    """The options that say these rules, for another process."""
    words: list[str] = []
    for field in dataclasses.fields(rules):
        value, option = getattr(rules, field.name), field.name.replace("_", "-")
        if value is None or value == field.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, Direction):
            words += [f"--{option}", value.value]
        else:
            words += [f"--{option}", "inf" if math.isinf(value) else f"{value:f}"]
    return words
