"""Numbers, window, floor, expiry and the limits of the outbox, in exact numbers."""

import pytest

from heartline.core.errors import OutboxFull
from heartline.core.outbox import FIRST_WINDOW_BYTES, OVERHEAD, SPAN, Kind, Message, Outbox, size_of
from heartline.core.policy import Full, OutboxLimits


def outbox(messages: int = 10_000, size: int = 1 << 24, full: Full = Full.REFUSE, **more: object) -> Outbox:
    return Outbox(OutboxLimits(messages, size, full), **more)  # type: ignore[arg-type]


def add(box: Outbox, kind: Kind = Kind.SEND, data: bytes = b"1", **more: object) -> int:
    n = box.take_number()
    box.add(Message(n, kind, "e", data, **more))  # type: ignore[arg-type]
    return n


def written(box: Outbox) -> list[int]:
    numbers = []
    while (message := box.next_to_write()) is not None:
        numbers.append(message.n)
    return numbers


def numbers(messages: list[Message]) -> list[int]:
    return [m.n for m in messages]


def test_numbers_rise_and_are_never_reused() -> None:
    box = outbox()
    assert [add(box) for _ in range(3)] == [1, 2, 3]
    assert box.withdraw(2) is not None
    assert add(box) == 4  # the hole stays
    assert written(box) == [1, 3, 4]
    box.clear()
    assert add(box) == 5


def test_sizes() -> None:
    assert size_of("event", "room", b"12345") == 5 + 4 + 5 + OVERHEAD == 38
    box = outbox()
    add(box, data=b"x" * 100)
    assert box.bytes == 100 + 1 + 24
    box.withdraw(1)
    assert (box.bytes, len(box)) == (0, 0)


# expiry


def test_nothing_written_expires() -> None:
    box = outbox()
    for at in (3.0, 1.0, 2.0):
        add(box, expires_at=at)
    assert box.next_to_write() is not None  # number 1, which would run out at 3
    assert box.next_expiry() == 1.0
    assert numbers(box.expire(2.0)) == [2, 3]
    assert box.next_expiry() is None
    assert box.expire(100.0) == []
    assert 1 in box


def test_expiry_of_one_leaves_a_hole_for_the_others() -> None:
    box = outbox()
    add(box)
    add(box, expires_at=5.0)
    add(box)
    assert numbers(box.expire(5.0)) == [2]
    assert written(box) == [1, 3]
    assert box.floor == 1
    assert numbers(box.ack(3)) == [1, 3]
    assert box.floor == 4


def test_withdraw_only_what_was_never_written() -> None:
    box = outbox()
    add(box)
    add(box)
    box.next_to_write()
    assert box.withdraw(1) is None
    assert box.withdraw(2) is not None
    assert box.withdraw(2) is None
    assert box.withdraw(99) is None


# settling


def test_ack_settles_sends_only() -> None:
    box = outbox()
    kinds = [Kind.SEND, Kind.CALL, Kind.PUB, Kind.SEND, Kind.SEND]
    for kind in kinds:
        add(box, kind)
    assert written(box) == [1, 2, 3, 4, 5]
    assert box.settle(3) is not None  # it failed
    assert numbers(box.ack(4)) == [1, 4]
    assert 2 in box
    assert 5 in box
    assert box.ack(4) == []  # said again
    assert box.settle(2) is not None
    assert box.settle(2) is None  # said again


def test_ack_leaves_no_call_waiting() -> None:
    box = outbox()
    for kind in (Kind.CALL, Kind.SEND, Kind.CALL, Kind.CALL):
        add(box, kind)
    written(box)
    box.settle(1)
    assert numbers(box.ack(3)) == [2]
    assert numbers(box.unanswered(3)) == [3]
    assert box.floor == 4
    assert box.unanswered(3) == []
    assert box.unanswered(2**50) != []  # a call in flight, covered by whatever number


def test_an_ack_beyond_what_was_written_settles_nothing_more() -> None:
    box = outbox()
    for _ in range(20):
        add(box)
    assert written(box) == list(range(1, 9))
    assert numbers(box.ack(1000)) == list(range(1, 9))
    assert box.unanswered(1000) == []
    assert len(box) == 12
    assert written(box) == list(range(9, 21))


# the window


def test_window_bounds_flight() -> None:
    box = outbox()
    for _ in range(1000):
        add(box)
    assert written(box) == list(range(1, 9))
    box.ack(7)
    assert len(written(box)) == 7  # one short of a settled window: still 8
    box.ack(8)
    assert len(written(box)) == 9  # 8 settled: it is 16 now, 7 of them were in flight
    box.ack(24)
    assert len(written(box)) == 32
    for n in (56, 120, 248):
        box.ack(n)
        box.told_floor(box.floor)
        written(box)
    box.ack(500)
    box.told_floor(box.floor)
    written(box)
    assert box.in_flight == 256  # never above the server's limit


def test_window_in_bytes() -> None:
    box = outbox()
    for _ in range(40):
        add(box, data=b"x" * 4000)
    assert len(written(box)) == 4  # 4 × 4025 ≤ 16384 < 5 × 4025
    assert 4 * 4025 <= FIRST_WINDOW_BYTES < 5 * 4025
    box.ack(8)
    assert len(written(box)) == 4
    box.ack(8)
    assert len(written(box)) == 8  # 32 KiB
    small = outbox()
    small.welcome(0, 2, 100)
    for _ in range(5):
        add(small, data=b"x" * 30)
    assert written(small) == [1]


def test_a_lone_message_is_never_blocked() -> None:
    box = outbox()
    add(box, data=b"x" * 100_000)
    add(box, data=b"x" * 100_000)
    assert written(box) == [1]
    box.ack(1)
    assert written(box) == [2]


def test_a_welcome_opens_the_first_window_again() -> None:
    box = outbox()
    for _ in range(100):
        add(box)
    written(box)
    box.ack(8)
    written(box)
    box.welcome(10, 256, 1 << 20)  # 9 and 10 were accepted; 11 to 24 come again
    assert box.in_flight == 2
    assert written(box) == [11, 12, 13, 14, 15, 16]
    box.welcome(16, 1, 1 << 20)  # a server with a window of one
    assert box.in_flight == 8
    assert written(box) == []
    box.ack(16)
    assert written(box) == [17]


# the floor


def test_numbers_stay_below_floor_plus_256() -> None:
    box = outbox()
    add(box, Kind.CALL)
    for _ in range(400):
        add(box)
    sent = 0
    while True:
        sent = max([sent, *written(box)])
        before = box.in_flight
        box.ack(sent)
        if box.in_flight == before:
            break
    assert sent == SPAN  # floor 1: up to 256
    box.settle(1)
    assert box.floor == 257
    assert written(box) == []
    assert box.floor_to_tell() == 257
    assert written(box)[0] == 257


def test_floor_is_told_after_half_a_span_or_when_it_is_quiet() -> None:
    box = outbox()
    for _ in range(300):
        add(box)
    for n in range(1, 128):
        written(box)
        box.ack(n)
        assert box.floor_to_tell() is None
    assert box.floor_to_tell(idle=True) == 128
    assert box.floor_to_tell(idle=True) is None
    for n in range(128, 256):
        assert box.floor_to_tell() is None
        written(box)
        box.ack(n)
    assert box.floor_to_tell() == 256


def test_a_stale_number_at_the_head_does_not_hide_that_the_floor_holds_us_back() -> None:
    box = outbox(first=1)
    first = add(box)
    written(box)
    stale = add(box)
    box._next = 300  # a block reserved by an earlier process
    add(box)
    box.withdraw(stale)
    box.ack(first)
    assert box.floor == 300
    assert box.floor_to_tell() == 300
    assert written(box) == [300]


# sessions


def test_forget_session_keeps_what_was_never_written_or_may_be_repeated() -> None:
    box = outbox()
    for i in range(12):
        add(box, idempotent=i % 4 == 0)
    assert written(box) == list(range(1, 9))
    assert numbers(box.forget_session()) == [2, 3, 4, 6, 7, 8]
    box.welcome(0, 256, 1 << 20)
    assert written(box) == [1, 5, 9, 10, 11, 12]


def test_numbers_a_session_has_without_us() -> None:
    box = outbox()
    for _ in range(12):
        add(box)
    assert box.highest_written == 0
    written(box)
    assert box.highest_written == 8
    assert numbers(box.forget_session(received=10)) == list(range(1, 11))
    assert box.highest_written == 0


def test_what_is_written_again_does_not_lower_the_highest() -> None:
    box = outbox()
    add(box)
    add(box)
    written(box)
    box.welcome(0, 1, 1 << 20)
    assert written(box) == [1]
    assert box.highest_written == 2


# durable


def test_written_only_after_persisted() -> None:
    box = outbox(durable=True)
    for _ in range(3):
        add(box)
    assert written(box) == []
    box.persisted(2)
    assert written(box) == [1, 2]
    box.persisted(1)  # late news
    box.persisted(3)
    assert written(box) == [3]


def test_restored_messages_count_as_written() -> None:
    box = outbox(durable=True, first=1000)
    box.restore([Message(n, Kind.SEND, "e", b"1", expires_at=1.0) for n in (7, 9)], 1000)
    assert all(m.written for m in box)
    assert (box.floor, box.next_number, box.highest_written) == (7, 1000, 999)
    assert box.next_expiry() is None
    assert box.withdraw(7) is None
    assert add(box) == 1000
    box.told_floor(box.floor)
    assert written(box) == [7, 9]  # 1000 is beyond floor + 256
    box.ack(9)
    box.forgotten(7)
    box.forgotten(9)
    assert box.floor_to_tell() == 1000


def test_restore_never_goes_below_a_stored_message() -> None:
    box = outbox(durable=True, first=5)
    box.restore([Message(9, Kind.SEND, "e", b"1")], 5)
    assert box.next_number == 10


# limits


def test_refuse_at_the_limit_of_messages_and_bytes() -> None:
    box = outbox(messages=2)
    assert [add(box), add(box)] == [1, 2]
    with pytest.raises(OutboxFull) as caught:
        box.make_room(10)
    assert (caught.value.messages, caught.value.bytes) == (2, 52)
    box = outbox(size=100)
    add(box, data=b"x" * 60)
    assert box.make_room(15) == []
    with pytest.raises(OutboxFull):
        box.make_room(16)


def test_drop_oldest_drops_the_oldest_never_written() -> None:
    box = outbox(messages=10, full=Full.DROP_OLDEST)
    for _ in range(10):
        add(box)
    written(box)
    assert numbers(box.make_room(30)) == [9]
    add(box)
    assert numbers(box.make_room(30)) == [10]
    assert [m.n for m in box] == [1, 2, 3, 4, 5, 6, 7, 8, 11]


def test_drop_oldest_makes_room_for_bytes() -> None:
    box = outbox(size=200, full=Full.DROP_OLDEST)
    for _ in range(4):
        add(box, data=b"x" * 25)  # 50 each
    assert numbers(box.make_room(60)) == [1, 2]
    assert box.bytes == 100


def test_nothing_is_dropped_in_vain() -> None:
    box = outbox(size=200, full=Full.DROP_OLDEST)
    add(box, data=b"x" * 100)
    written(box)
    add(box, data=b"x" * 25)
    with pytest.raises(OutboxFull):
        box.make_room(150)  # dropping number 2 would not be enough
    assert [m.n for m in box] == [1, 2]


def test_what_can_never_fit_is_an_error_of_the_program() -> None:
    for full in Full:
        with pytest.raises(ValueError, match="a message of 101 bytes can never fit an outbox of 100 bytes"):
            outbox(size=100, full=full).make_room(101)


def test_queues_do_not_grow_with_what_has_gone() -> None:
    box = outbox(messages=100, full=Full.DROP_OLDEST)
    for _ in range(20_000):
        box.make_room(30)
        add(box, expires_at=1e9)
    assert len(box) == 100
    assert [m.n for m in box] == list(range(19_901, 20_001))
    assert max(map(len, (box._order, box._to_write, box._acking, box._expiries))) <= 2 * 100 + 65
    # ... and also where one that was written stays at the head
    box = outbox(messages=100, full=Full.DROP_OLDEST)
    add(box, Kind.CALL)
    box.next_to_write()
    for _ in range(20_000):
        box.make_room(30)
        add(box)
    assert box.floor == 1
    assert max(map(len, (box._order, box._to_write, box._acking))) <= 2 * 100 + 65


def test_reading_changes_nothing() -> None:
    box = outbox()
    for at in (1.0, 2.0, 3.0):
        add(box, expires_at=at)
    box.withdraw(1)
    before = (list(box._order), list(box._to_write), list(box._expiries))
    for _ in range(3):
        assert (box.floor, box.next_expiry(), box.in_flight, box.next_number) == (2, 2.0, 0, 4)
    assert (list(box._order), list(box._to_write), list(box._expiries)) == before


def test_floor_waits_until_the_disk_has_forgotten():
    """Or a crash in between would bring back a message whose answer the server has let go of."""
    box = Outbox(OutboxLimits(), durable=True)
    for n in (1, 2, 3):
        box.add(Message(box.take_number(), Kind.SEND, "e", b"1"))
        box.persisted(n)
    box.welcome(0, 256, 1 << 20)
    while box.next_to_write() is not None:
        pass
    box.ack(2)
    assert box.floor == 1
    box.forgotten(1)
    assert box.floor == 2
    box.forgotten(2)
    assert box.floor == 3


def test_nothing_is_written_above_a_hole_on_disk() -> None:
    """After a crash the server would take it for handled: it is below what was received."""
    box = outbox(durable=True)
    for n in (1, 2, 3):
        add(box)
        box.persisted(n)
    box.welcome(0, 256, 1 << 20)
    assert box.withdraw(2) is not None
    assert written(box) == [1]
    box.forgotten(2)
    assert written(box) == [3]
