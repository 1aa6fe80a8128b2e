"""What became of each line that was sent.

Invariants:
- every line ends in exactly one count: handled or failed (test_every_line_is_accounted_for);
- however many fail, a bounded number is remembered by line, the rest is counted (test_failures_are_bounded).
"""

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heartline.client import Receipt

REMEMBERED = 20


class Ledger:
    """Receipts of lines in the order sent. `collect` takes those that have an outcome."""

    def __init__(self) -> None:
        self.handled: int = 0
        self.failed: int = 0
        self.last_handled: int = 0
        """number of the last line known to be handled"""
        self.code: str = ""
        """the last refusal's code"""
        self.open: deque[tuple[int, Receipt]] = deque()
        self.open_bytes: int = 0
        self._sizes: deque[int] = deque()
        self._failures: list[str] = []

    @property
    def sent(self) -> int:
        """Lines that were given to the connection."""
        return self.handled + self.failed + len(self.open)

    def add(self, number: int, receipt: "Receipt", size: int) -> None:
        """A line was sent."""
        self.open.append((number, receipt))
        self._sizes.append(size)
        self.open_bytes += size

    def fail(self, number: int, why: str) -> None:
        """A line was not handled."""
        self.failed += 1
        if len(self._failures) < REMEMBERED:
            self._failures.append(f"line {number:,}: {why}")

    async def collect(self) -> None:
        """Count what has its outcome, up to the first line that has none."""
        from heartline.core.enums import Outcome

        waiting = self.open
        while waiting and (outcome := waiting[0][1].outcome) is not None:
            number, receipt = waiting.popleft()
            self.open_bytes -= self._sizes.popleft()
            if outcome is Outcome.HANDLED:
                self.handled += 1
                self.last_handled = number
            else:
                await self._collect_failure(number, receipt)

    async def _collect_failure(self, number: int, receipt: "Receipt") -> None:
        from heartline.core.errors import NotDelivered, Rejected

        outcome = receipt.outcome
        try:
            await receipt
        except Rejected as error:
            self.code = error.code
            self.fail(number, f"refused: {error}")
        except NotDelivered as error:
            self.fail(number, f"{outcome.value if outcome else ''}: {error}")

    def failures(self) -> list[str]:
        """The lines that failed, one text each, and how many more there are."""
        more = self.failed - len(self._failures)
        return self._failures + ([f"and {more:,} more lines"] if more else [])
