"""What a schedule comes to. Plain frozen values."""

from dataclasses import dataclass, field

TraceLine = tuple[float, str, str, tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Broken:
    """An invariant that did not hold. `trace` is what happened last, `repeat` the command that shows it again."""

    invariant: str
    message: str
    at: float
    trace: tuple[TraceLine, ...] = field(repr=False)
    repeat: str = ""

    def lines(self) -> list[str]:
        """The trace, a line for each event."""
        return [f"{at:10.4f}  {who:<8} {what} {' '.join(map(str, details))}" for at, who, what, details in self.trace]


@dataclass(frozen=True, slots=True)
class Report:
    """One schedule. `digest` is the same whenever seed, scenario and code are; `violation` None means all is well."""

    seed: int
    scenario: str
    steps: int
    virtual_seconds: float
    counts: dict[str, int]
    digest: str
    violation: Broken | None = None
