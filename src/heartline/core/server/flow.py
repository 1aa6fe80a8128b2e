"""Where a subscription stands on the server, and its legal moves.

Invariant: a move that is not in the table raises AssertionError (test_illegal_moves_raise).
"""

from enum import Enum
from typing import Final


class Flow(Enum):
    """ASKING → HEADING → LIVE ⇄ BEHIND ⇄ READING, and ENDED from anywhere."""

    ASKING = "asking"
    """the application judges"""
    HEADING = "heading"
    """followed; the head or the first piece of the log is being read"""
    BEHIND = "behind"
    """there is more in the log; waits for its turn or for credit"""
    READING = "reading"
    """a piece of the log is being read"""
    LIVE = "live"
    """has everything; new entries go straight out"""
    ENDED = "ended"


FLOW_MOVES: Final[dict[Flow, frozenset[Flow]]] = {
    Flow.ASKING: frozenset({Flow.HEADING, Flow.ENDED}),
    Flow.HEADING: frozenset({Flow.LIVE, Flow.BEHIND, Flow.ENDED}),
    Flow.BEHIND: frozenset({Flow.READING, Flow.ENDED}),
    Flow.READING: frozenset({Flow.LIVE, Flow.BEHIND, Flow.ENDED}),
    Flow.LIVE: frozenset({Flow.BEHIND, Flow.ENDED}),
    Flow.ENDED: frozenset(),
}
