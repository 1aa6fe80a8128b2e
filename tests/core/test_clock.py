"""A clock that only runs forward."""

from hypothesis import given
from hypothesis import strategies as st

from heartline.core.clock import Clock


@given(st.lists(st.floats(-1e6, 1e6)))
def test_time_never_falls(moments: list[float]) -> None:
    clock = Clock()
    told = [clock.tell(moment) for moment in moments]
    assert told == sorted(told)


def test_small_steps_back_stand_still() -> None:
    clock = Clock()
    assert [clock.tell(t) for t in (10.0, 9.5, 10.0, 10.1)] == [10.0, 10.0, 10.0, 10.1]
    assert clock.outside(12.0) == 12.0


def test_time_runs_on_after_a_jump_back() -> None:
    clock = Clock()
    clock.tell(1000.0)
    assert clock.tell(400.0) == 1000.0
    assert clock.tell(401.5) == 1001.5
    assert clock.outside(1003.0) == 403.0
    assert clock.tell(2000.0) == 2600.0  # a jump ahead is believed: it may be a laptop waking up
    assert clock.tell(403.0) == 2600.0
    assert clock.tell(404.0) == 2601.0
