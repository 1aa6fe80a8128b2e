"""What a peer and a benchmark are, and what a run of them leaves behind."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

ALONE = "alone"


@dataclass(frozen=True)
class Peer:
    """What is measured: `command` starts a server, which prints {"port": n} when it listens.

    `dialect` is what it speaks with the load generator (loadgen/dialect.c), or ALONE: then there is no load generator,
    `command` with the words of the load does the work and prints the sample. `packages` are told with the results and
    installed before, where they have the prefix of a registry (install.py).
    """

    name: str
    about: str
    command: Sequence[str]
    dialect: str
    packages: Sequence[str] = ()


@dataclass(frozen=True)
class Metric:
    """One number of the load generator's answer. `scale` turns it into `unit`."""

    key: str
    title: str
    unit: str
    scale: float = 1.0
    digits: int = 0
    more_is_better: bool = True

    def tell(self, value: float) -> str:
        """A value for a person."""
        return f"{value * self.scale:,.{self.digits}f} {self.unit}"


@dataclass(frozen=True)
class Bench:
    """One kind of work for several peers, the first of which is ours.

    `load` are the words for the load generator, `quick` what is added or changed in the short form. The first metric
    is the one that counts: `targets` are the least ratios to other peers, `limit` the worst value of our own; `more_targets` are the same for the other metrics, by their keys. `cost`
    is the same work seen as processor time of the server, which suffers less from whatever else the machine does.
    Each `group` has a record of its own, and a table in docs/performance.md.
    """

    name: str
    title: str
    about: str
    peers: Sequence[str]
    load: Sequence[str]
    metrics: Sequence[Metric]
    cost: Metric | None = None
    quick: Sequence[str] = ()
    targets: dict[str, float] = field(default_factory=dict)
    more_targets: dict[str, dict[str, float]] = field(default_factory=dict)
    limit: float | None = None
    rounds: int = 5
    quick_rounds: int = 3
    group: str = "links"


Sample = dict[str, float]


@dataclass
class Outcome:
    """The samples of one benchmark: for each peer one a round."""

    bench: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"bench": self.bench, "samples": self.samples}
