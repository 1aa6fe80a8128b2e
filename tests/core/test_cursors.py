"""One reader: what is handed over, and where the next link goes on."""

import pytest
from msgspec import Raw

from heartline.core.cursors import GONE, Follow, Reader, Take
from heartline.core.effects import Lost
from heartline.core.errors import BadFrame
from heartline.core.frames import Cursor, GapBody, Msg, Start


def msg(offset: int, prev: int | None = None, size: int = 4) -> Msg:
    return Msg("c", offset, "e", Raw(b"x" * size), prev)


def live(epoch: str = "E", offset: int = 10) -> Reader:
    reader = Reader("c")
    reader.ask(1)
    reader.granted(epoch, offset)
    return reader


def take(reader: Reader, *offsets: int) -> list[Take]:
    return [reader.take(msg(offset)) for offset in offsets]


def gap(reader: Reader, epoch: str, after: int, to: int, reason: str = "history") -> Lost | None:
    return reader.gap(GapBody(epoch, after, to, reason))


def test_from_the_head() -> None:
    reader = Reader("c")
    assert reader.ask(3) == Start(3, "c")
    assert take(reader, 1) == [Take.DROP]  # nothing precedes the answer
    assert reader.granted("E", 10) is True
    assert take(reader, 9, 10, 11, 11, 12) == [Take.DROP, Take.DROP, Take.HAND_OVER, Take.DROP, Take.HAND_OVER]
    assert reader.granted("E", 10) is False


def test_any_epoch() -> None:
    reader = Reader("c", None, 7)
    assert reader.ask(1) == Cursor(1, "c", (None, 7))
    assert reader.granted("E", 7) is True
    assert take(reader, 8) == [Take.HAND_OVER]
    reader.handle("E", 8, 4)
    assert reader.ask(1) == Cursor(1, "c", ("E", 8))


def test_an_epoch_without_an_offset_means_nothing() -> None:
    reader = Reader("c", "E", None)
    assert reader.ask(1) == Start(1, "c")
    reader.granted("F", 3)
    assert take(reader, 4) == [Take.HAND_OVER]


def test_resume_begins_at_the_handled_entry() -> None:
    reader = live()
    take(reader, 11, 12, 13)
    assert reader.handle("E", 11, 4)
    assert reader.ask(1) == Cursor(1, "c", ("E", 11))
    reader.granted("E", 11)
    assert take(reader, 12, 13, 14) == [Take.DROP, Take.DROP, Take.HAND_OVER]
    assert not reader.handle("E", 11, 4)  # again
    assert reader.handle("E", 13, 8)  # two at once
    assert reader.ask(2) == Cursor(2, "c", ("E", 13))


def test_holes_in_offsets_are_no_loss() -> None:
    reader = live()
    assert reader.take(msg(15, prev=10)) is Take.HAND_OVER
    assert reader.take(msg(16)) is Take.HAND_OVER
    assert reader.take(msg(90, prev=16)) is Take.HAND_OVER
    assert reader.take(msg(95, prev=70)) is Take.HAND_OVER  # before ours: nothing is missing
    assert reader.take(msg(97)) is Take.HOLE
    assert reader.take(msg(99, prev=96)) is Take.HOLE
    assert reader.received == 95


def test_a_hole_right_after_the_answer_is_the_servers_fault() -> None:
    reader = live()
    with pytest.raises(BadFrame, match="prev is beyond"):
        reader.take(msg(12))


def test_a_gap_moves_beyond_what_is_lost() -> None:
    reader = live()
    take(reader, 11, 12)
    assert gap(reader, "E", 11, 12) is None  # all of that was received
    assert gap(reader, "E", 11, 20) == Lost("c", "E", 12, 20, "history")
    assert take(reader, 20, 21) == [Take.DROP, Take.HAND_OVER]
    assert reader.ask(1) == Cursor(1, "c", ("E", 10))  # nothing of it was handled
    reader.granted("E", 10)
    reader.handle("E", 20, 0)
    assert reader.ask(1) == Cursor(1, "c", ("E", 20))


def test_a_new_epoch_without_a_gap_is_refused() -> None:
    reader = live()
    reader.ask(2)
    reader.granted("F", 0)
    with pytest.raises(BadFrame, match="another epoch"):
        reader.take(msg(1))
    assert gap(reader, "F", 0, 0, "epoch") == Lost("c", "F", 0, 0, "epoch")
    assert take(reader, 1) == [Take.HAND_OVER]


# epochs, unhandled entries, and links that die in between


def test_epoch_change_with_entries_unhandled() -> None:
    reader = live()
    take(reader, 11, 12)
    reader.ask(1)
    reader.granted("F", 0)
    gap(reader, "F", 0, 0, "epoch")
    take(reader, 1, 2)
    assert reader.handle("E", 11, 4)
    assert reader.ask(1) == Cursor(1, "c", ("E", 11))
    assert reader.handle("E", 12, 4)
    assert reader.handle("F", 0, 0)
    assert reader.ask(1) == Cursor(1, "c", ("F", 0))
    assert reader.handle("F", 1, 4)
    assert reader.ask(1) == Cursor(1, "c", ("F", 1))
    assert not reader.handle("E", 12, 4)  # too late, and twice
    assert reader.ask(1) == Cursor(1, "c", ("F", 1))


def test_link_dies_between_answer_and_gap() -> None:
    reader = live()
    take(reader, 11)
    reader.ask(1)
    reader.granted("F", 0)  # and the link dies
    assert reader.ask(1) == Cursor(1, "c", ("E", 10))
    reader.granted("F", 0)
    assert gap(reader, "F", 0, 0, "epoch") is not None
    assert take(reader, 1) == [Take.HAND_OVER]


def test_the_gap_comes_again_when_it_was_not_handled() -> None:
    reader = live()
    reader.ask(1)
    reader.granted("F", 0)
    assert gap(reader, "F", 0, 0, "epoch") is not None
    take(reader, 1, 2)
    assert reader.ask(1) == Cursor(1, "c", ("E", 10))  # the gap was handed over, not handled
    reader.granted("F", 0)
    assert gap(reader, "F", 0, 0, "epoch") is None
    assert take(reader, 1, 2, 3) == [Take.DROP, Take.DROP, Take.HAND_OVER]


def test_two_epochs_on() -> None:
    reader = live()
    take(reader, 11)
    for epoch in ("F", "G"):
        reader.ask(1)
        reader.granted(epoch, 0)
        assert gap(reader, epoch, 0, 0, "epoch") is not None
        take(reader, 1)
    assert reader.handle("E", 11, 4)
    assert not reader.handle("F", 0, 0)  # between the two: the cursor waits at what a server can check
    assert not reader.handle("F", 1, 4)
    assert reader.ask(1) == Cursor(1, "c", ("E", 11))
    assert reader.handle("G", 0, 0)
    assert reader.handle("G", 1, 4)
    assert reader.ask(1) == Cursor(1, "c", ("G", 1))


def test_epoch_change_on_a_live_link() -> None:
    reader = live()
    take(reader, 11)
    assert gap(reader, "F", 10, 5, "epoch") == Lost("c", "F", 10, 5, "epoch")
    assert take(reader, 5, 6) == [Take.DROP, Take.HAND_OVER]


def test_another_log_with_the_same_epoch() -> None:
    reader = live("E", 10)
    take(reader, 11, 12)
    reader.handle("E", 11, 4)
    assert reader.restart("E", 0, 2, "epoch") == Lost("c", "E", 0, 2, "epoch")
    reader.granted("E", 2)
    assert take(reader, 3) == [Take.HAND_OVER]
    assert not reader.handle("E", 12, 4)  # of the log before
    assert reader.ask(1) == Cursor(1, "c", (GONE, 11))  # in neither: whoever is asked says gap
    assert reader.handle("E", 2, 0)
    assert reader.handle("E", 3, 4)
    assert reader.ask(1) == Cursor(1, "c", ("E", 3))


def test_strangers_move_no_cursor() -> None:
    reader = live("E", 10)
    take(reader, 11)
    assert not reader.handle("E", 12, 4)  # nobody handed that over
    assert not reader.handle("F", 11, 4)
    assert reader.handled == 10
    fresh = Reader("c")
    fresh.ask(1)
    assert not fresh.handle("E", 500, 4)  # from the reader that this one replaced
    fresh.granted("E", 20)
    assert fresh.handled == 20


# telling the server


def test_at_is_told_once() -> None:
    reader = live()
    take(reader, 11, 12)
    assert reader.tell() is None
    reader.handle("E", 11, 4)
    assert reader.untold
    assert reader.tell() == 11
    assert reader.tell() is None


def test_at_is_told_in_the_present_epoch_only() -> None:
    reader = live("E", 3)
    take(reader, 4)
    gap(reader, "F", 0, 0, "epoch")
    take(reader, 1, 2, 3, 4)
    reader.handle("E", 4, 4)
    assert reader.tell() is None
    reader.handle("F", 0, 0)
    assert reader.tell() is None  # 0 tells nothing
    reader.handle("F", 2, 4)
    assert reader.tell() == 2


def test_at_is_told_even_where_the_old_epoch_had_the_same_offset() -> None:
    reader = live("E", 4)
    gap(reader, "F", 0, 0, "epoch")
    take(reader, 1, 2, 3, 4)
    reader.ask(1)  # a new link; the cursor is (E, 4) still
    reader.granted("F", 0)
    gap(reader, "F", 0, 0, "epoch")
    for offset in (0, 1, 2, 3, 4):
        reader.handle("F", offset, 4)
    assert reader.tell() == 4


def test_at_is_told_anew_after_a_new_epoch_on_the_same_link() -> None:
    reader = live("E", 4)
    gap(reader, "F", 0, 0, "epoch")
    take(reader, 1, 2, 3, 4)
    for offset in (0, 1, 2, 3, 4):
        reader.handle("F", offset, 4)
    assert reader.tell() == 4


def test_at_is_not_told_to_a_server_that_reads_another_epoch() -> None:
    reader = live("E", 10)
    take(reader, 11)
    reader.ask(1)
    reader.granted("F", 20)  # its gap is under way
    reader.handle("E", 11, 4)
    assert reader.tell() is None


def test_handled_while_asking_is_untold() -> None:
    reader = live()
    take(reader, 11, 12)
    reader.ask(1)
    reader.handle("E", 12, 4)
    reader.granted("E", 10)
    assert reader.untold
    assert reader.tell() == 12


# credit


def test_overrun_in_entries_and_bytes() -> None:
    reader = live("E", 0)
    take(reader, 1, 2, 3, 4, 5, 6)  # 24 bytes
    assert not reader.overrun(3, 1000)
    assert reader.overrun(2, 1000)
    assert reader.overrun(3, 11)
    assert not reader.overrun(3, 12)
    reader.handle("E", 5, 8)
    assert not reader.overrun(1, 1)  # a lone entry always goes
    reader.take(msg(7, size=1000))
    reader.handle("E", 6, 4)
    assert not reader.overrun(1, 1)


def test_credit_counts_anew_with_an_answer_or_a_gap_but_has_an_end() -> None:
    reader = live("E", 0)
    take(reader, 1, 2)
    gap(reader, "E", 2, 5)
    assert take(reader, 6, 7) == [Take.HAND_OVER] * 2
    assert not reader.overrun(1, 1000)
    reader.ask(2)
    reader.granted("E", 0)
    take(reader, 6, 7, 8, 9)
    assert not reader.overrun(1, 1000)
    for epoch in range(9):
        gap(reader, f"F{epoch}", 0, 0, "epoch")
        take(reader, 1, 2)
    assert not reader.overrun(2, 1000)
    assert reader.is_swamped(2)  # 4 × 2 + 16 things nobody looks at
    assert not reader.has_room_again(2)
    assert reader.is_swamped(2)
    reader.handle("F8", 2, 4)
    assert reader.has_room_again(2)
    assert not reader.is_swamped(2)
    assert not reader.has_room_again(2)  # said once


def test_states_of_following() -> None:
    reader = Reader("c")
    assert reader.follow is Follow.OFFLINE
    assert take(reader, 1) == [Take.DROP]
    reader.ask(1)
    assert reader.follow is Follow.ASKED
    reader.granted("E", 0)
    assert reader.follow is Follow.GRANTED
    take(reader, 1)
    assert reader.follow is Follow.LIVE
