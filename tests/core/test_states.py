"""The tables of moves themselves; test_client_states.py runs the machine against them."""

import pytest

from heartline.core.enums import State
from heartline.core.states import LINK_MOVES, MOVES, LinkState, check_move


@pytest.mark.parametrize("old", State)
@pytest.mark.parametrize("new", State)
def test_illegal_moves_raise(old: State, new: State) -> None:
    if new in MOVES[old]:
        check_move(MOVES, old, new)
    else:
        with pytest.raises(AssertionError, match=f"illegal move: {old.value} → {new.value}"):
            check_move(MOVES, old, new)


def test_closed_is_final() -> None:
    assert MOVES[State.CLOSED] == frozenset()
    assert LINK_MOVES[LinkState.CLOSED] == frozenset()
    assert set(MOVES) == set(State)
    assert set(LINK_MOVES) == set(LinkState)


def test_every_state_can_be_reached_and_closed() -> None:
    for table, first, closed in ((MOVES, State.IDLE, State.CLOSED), (LINK_MOVES, LinkState.FRESH, LinkState.CLOSED)):
        seen = {first}
        while more := {new for old in seen for new in table[old]} - seen:
            seen |= more
        assert seen == set(table)
        assert all(closed in moves for state, moves in table.items() if state is not closed)
