"""The table of named deadlines."""

from heartline.core.deadlines import Deadlines, Due


def test_next_deadline_is_pure() -> None:
    table = Deadlines()
    assert table.next() is None
    table.set(Due.RETRY, 3.0)
    table.set(Due.STABLE, 2.0)
    assert [table.next() for _ in range(3)] == [2.0, 2.0, 2.0]
    assert Due.STABLE in table
    assert table.pop_due(10.0) == [Due.STABLE, Due.RETRY]


def test_due_in_order_of_time_then_name() -> None:
    table = Deadlines()
    table.set(Due.FLOOR, 1.0)
    table.set(Due.ACK, 1.0)
    table.set(Due.MOVE, 0.5)
    table.set(Due.RETRY, 1.5)
    assert table.pop_due(1.0) == [Due.MOVE, Due.ACK, Due.FLOOR]
    assert table.pop_due(1.0) == []
    assert table.next() == 1.5


def test_set_default_keeps_what_is_there() -> None:
    table = Deadlines()
    table.set_default(Due.ACK, 1.0)
    table.set_default(Due.ACK, 0.5)
    assert table.next() == 1.0
    table.set(Due.ACK, 2.0)
    assert table.next() == 2.0
    table.clear(Due.ACK, Due.MOVE)
    assert table.next() is None
    table.set(Due.ACK, 2.0)
    table.clear_all()
    assert Due.ACK not in table
