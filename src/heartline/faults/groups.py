"""Links that share a fate: those whose first words give them the same name.

A link belongs to a group by its name alone, whenever either came into being. What is done to the whole proxy holds for
every group as well.

Invariants, tested in ``tests/faults/test_groups.py``:

- a_group_alone: what a group's hands and rules do, no link of another name sees, and none without a name.
- joined_at_once: a group made or forgotten later counts for links that are open already.
- same_seed_same_fate: the n-th dial of a group with rules of its own always gets the same plan.
- heads_are_bounded: naming waits for at most `HEAD_LIMIT` bytes and `HEAD_WAIT` seconds, then the link has no name.
"""

import random
from typing import TYPE_CHECKING, Final

from heartline.faults.model import DialVerdict, FaultModel, LinkFaults
from heartline.faults.report import ProxyStats, no_counts
from heartline.faults.rules import Direction, FaultRules

if TYPE_CHECKING:
    from heartline.faults.link import ProxyLink
    from heartline.faults.proxy import FaultProxy

HEAD_LIMIT: Final = 16 * 1024  # bytes of a request's head that are looked at
HEAD_WAIT: Final = 10.0  # seconds until it must be there
HEAD_END: Final = b"\r\n\r\n"


class Plan:
    """Rules, the model that plays them, and since when (loop time)."""

    def __init__(self, rules: FaultRules, rng: random.Random, began: float) -> None:
        self.rules: FaultRules = rules
        self.began: float = began
        self._random = rng
        self._model = FaultModel(rules, rng)

    def follow(self, rules: FaultRules, now: float) -> None:
        """Other rules from now on; their times count from this moment."""
        self.rules, self.began = rules, now
        self._model = FaultModel(rules, self._random)

    def dial(self, now: float) -> DialVerdict:
        """What becomes of the next dial."""
        return self._model.dial(now - self.began)

    def link(self, now: float) -> LinkFaults:
        """What becomes of the link that an accepted dial opens."""
        return self._model.link(now - self.began)


class Group:
    """All links of one name, those to come as well. Made by `FaultProxy.group`; `FaultProxy.forget` ends it."""

    def __init__(self, host: "FaultProxy", name: str, seed: int) -> None:
        self.name: str = name
        self.plan: Plan | None = None  # without rules of its own the proxy's count
        self.held: set[Direction] = set()
        self.verdict: DialVerdict | None = None  # by hand
        self.counts: dict[str, int] = no_counts()
        self._host = host
        self._random = random.Random(f"{seed}:{name}")

    def cut(self, lose: bool = True) -> int:
        """Cut its links, also hung dials; as `FaultProxy.cut`. Returns how many."""
        links = self._links()
        for link in links:
            link.cut(lose)
        return len(links)

    def freeze(self, direction: Direction | None = None) -> None:
        """Let nothing through in this direction (None: both) until `thaw`, on links opened later as well."""
        self.held.update(directions(direction))
        self._refresh()

    def thaw(self, direction: Direction | None = None) -> None:
        """Undo `freeze`. What rules or the proxy's own hands froze stays frozen."""
        self.held.difference_update(directions(direction))
        self._refresh()

    def refuse(self, on: bool = True) -> None:
        """Reset its dials from now on, or leave them to the rules again."""
        self.verdict = DialVerdict.REFUSE if on else None

    def hang_dials(self, on: bool = True) -> None:
        """Never answer its dials from now on, or leave them to the rules again. `refuse` and this exclude each other."""
        self.verdict = DialVerdict.HANG if on else None

    def set_rules(self, rules: FaultRules | None) -> None:
        """Follow rules of its own from now on, for open links as well; None: the proxy's."""
        now = self._host.loop.time()
        self.plan = None if rules is None else Plan(rules, self._random, now)
        for link in self._links():
            link.obey(self._host.plan_of(link))

    @property
    def stats(self) -> ProxyStats:
        """The numbers of its links as they are now."""
        return self._host.stats_of(self.counts, self._links())

    @property
    def stuck(self) -> int:
        """Bytes of its links that are on their way and do not arrive now, those in the system's buffers included."""
        return sum(link.up.stuck + link.down.stuck for link in self._links())

    def _links(self) -> "list[ProxyLink]":
        return self._host.links_named(self.name)

    def _refresh(self) -> None:
        for link in self._links():
            link.refresh()


def directions(direction: Direction | None) -> tuple[Direction, ...]:
    """One direction, or both. Raises TypeError for anything else."""
    if direction is not None and not isinstance(direction, Direction):
        raise TypeError(f"direction must be a Direction or None, not {direction!r}")
    return (Direction.UP, Direction.DOWN) if direction is None else (direction,)
