"""The rules of a bad network: which faults, how often, how long. What makes a plan of them is `heartline.faults.model`.

Pure values. Invariants, each with a test of that name in ``tests/faults/test_rules.py``:

- every_field_is_checked: a value out of range or of the wrong type raises at once and names the field.
- every_field_explains_itself: each field carries a help text and a unit, for command lines and documentation.
"""

import math
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Final

LEAST_GAP: Final = 0.001  # seconds; shortest period and gap, so a plan stays finite and begins after its link


class Direction(Enum):
    """Which way bytes travel. UP is client to server."""

    UP = "up"
    DOWN = "down"


def _about(unit: str, text: str) -> dict[str, str]:
    return {"help": text, "unit": unit}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRules:
    """What the network does wrong. Without arguments: nothing.

    Every field carries ``metadata["help"]`` (one sentence for people) and ``metadata["unit"]`` ("s", "bytes/s",
    "share" or ""). Errors are `TypeError` or `ValueError` and name the field.

    *Periods.* A gap "every t" is drawn anew each time, evenly between t·(1 - spread) and t·(1 + spread), so t is the
    mean; ``spread=0`` is a metronome, the default 1 reaches from almost nothing to twice t. No gap is shorter than
    1 ms. The gap before a cut or a freeze is counted from the opening of the link, the gap before a further freeze
    from the thaw, the gap before an outage from the model's start or the outage before.

    *Freezes.* A frozen direction is a black hole: the connection stays open, nothing comes out, and nobody is told.
    TCP never loses a piece out of the middle of a stream, so neither does a freeze: what it holds comes out at the
    thaw, in order, or is lost for good when the link is cut instead. ``freeze_for=inf`` is the half-open link: it
    never thaws, and even the goodbye of the side that gives up does not reach the other one. With ``freeze_kills``
    a freeze of finite length ends in a cut that loses everything held.

    *A cut ends a freeze.* One that does not lose data lets out what the freeze held.

    *Kindness.* From ``kind_after`` on dials are accepted, nothing is cut or frozen, and what is frozen thaws at that
    moment. Latency, jitter and bandwidth remain: they delay, but they never stop anything.
    """

    cut_every: float | None = field(
        default=None, metadata=_about("s", "Cut each link after about this long; off when not given.")
    )
    cut_loses_data: bool = field(
        default=True,
        metadata=_about("", "A cut is a reset and loses what is in flight; otherwise that arrives, then the end."),
    )
    freeze_every: float | None = field(
        default=None,
        metadata=_about("s", "Freeze each link after about this long, again so long after a thaw; off when not given."),
    )
    freeze_for: float = field(
        default=5.0, metadata=_about("s", "How long a freeze lasts; inf makes the link half-open for ever.")
    )
    freeze_direction: Direction | None = field(
        default=None, metadata=_about("", "Freeze only this direction, up or down; both when not given.")
    )
    freeze_kills: bool = field(
        default=False, metadata=_about("", "A freeze ends in a cut that loses what was held, not in a thaw.")
    )
    latency: float = field(default=0.0, metadata=_about("s", "Time every chunk takes, one way."))
    jitter: float = field(
        default=0.0, metadata=_about("s", "Up to this much random time more for each chunk; order is kept.")
    )
    bandwidth: float | None = field(
        default=None,
        metadata=_about("bytes/s", "Speed of each direction of a link; no limit when not given."),
    )
    refuse_every: float | None = field(
        default=None,
        metadata=_about("s", "Refuse all dials for a while, about this long after the last time; off when not given."),
    )
    refuse_for: float = field(default=5.0, metadata=_about("s", "How long such an outage lasts; inf never ends."))
    refuse_chance: float = field(default=0.0, metadata=_about("share", "Share of dials refused at random, 0 to 1."))
    hang_chance: float = field(default=0.0, metadata=_about("share", "Share of dials that are never answered, 0 to 1."))
    spread: float = field(
        default=1.0,
        metadata=_about("share", "How far each gap strays from its mean: 0 is exact, 1 from 0 to twice."),
    )
    kind_after: float | None = field(
        default=None, metadata=_about("s", "From this moment there are no more faults; never when not given.")
    )

    def __post_init__(self) -> None:
        for name in ("cut_every", "freeze_every", "refuse_every"):
            _number(self, name, least=LEAST_GAP, optional=True)
        for name in ("freeze_for", "refuse_for"):
            _number(self, name, least=LEAST_GAP, infinite=True)
        for name in ("latency", "jitter"):
            _number(self, name, least=0.0)
        for name in ("refuse_chance", "hang_chance", "spread"):
            _number(self, name, least=0.0, most=1.0)
        _number(self, "bandwidth", least=1.0, optional=True)
        _number(self, "kind_after", least=0.0, optional=True)
        for name in ("cut_loses_data", "freeze_kills"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be a bool, not {getattr(self, name)!r}")
        if self.freeze_direction is not None and not isinstance(self.freeze_direction, Direction):
            raise TypeError(f"freeze_direction must be a Direction or None, not {self.freeze_direction!r}")
        if self.refuse_chance + self.hang_chance > 1.0:
            raise ValueError("refuse_chance and hang_chance together must not exceed 1")


def _number(
    rules: FaultRules,
    name: str,
    *,
    least: float,
    most: float = math.inf,
    optional: bool = False,
    infinite: bool = False,
) -> None:
    value = getattr(rules, name)
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number{' or None' if optional else ''}, not {value!r}")
    if not least <= value <= most or (math.isinf(value) and not infinite):
        limit = f"from {least:g} to {most:g}" if most < math.inf else f"at least {least:g}"
        raise ValueError(f"{name} must be {limit}{'' if infinite else ' and finite'}, not {value!r}")


def rule_fields() -> dict[str, tuple[str, str]]:
    """Name of each rule → (help, unit), in order. For command lines and documentation."""
    return {f.name: (f.metadata["help"], f.metadata["unit"]) for f in fields(FaultRules)}
