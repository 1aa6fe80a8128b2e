"""Subscriptions, credit, gaps and the inbox, over many links."""

import pytest

from heartline.core import effects as do
from heartline.core.cursors import GONE
from heartline.core.enums import State
from heartline.core.saved import Saved
from tests.core.kit import Kit

OK = {"epoch": "E", "offset": 10}


def following(*channels: str, **more: object) -> Kit:
    """An open client whose subscriptions were granted at (E, 10)."""
    kit = Kit()
    for channel in channels:
        kit.subscribe(channel)
    kit.open(**more)
    for r in range(1, len(channels) + 1):
        kit.hear("ok", r, OK)
    return kit


SCANTY = {"credit": 2, "credit_bytes": 1000}


def reconnect(kit: Kit, **more: object) -> list[object]:
    """Lose the link and get another; returns the cursors of its hello."""
    kit.lose()
    kit.machine.retry_now(kit.now)
    kit.step()
    kit.opened()
    (hello,) = kit.frames()
    kit.open(resumed=True, **more)
    return hello[1]["cursors"]  # type: ignore[no-any-return]


def test_subscriptions_are_restored() -> None:
    kit = following("a", "b")
    kit.hear("msg", "a", 11, "e", 1)
    kit.handled("a", "E", 11)
    assert reconnect(kit) == [[1, "a", ["E", 11]], [2, "b", ["E", 10]], [0, "@", ["i", 0]]]
    kit.machine.unsubscribe("a", kit.now)
    kit.step()
    assert kit.frames() == [["unsub", 3, "a"]]
    kit.subscribe("c")
    assert kit.frames() == [["sub", 4, "c"]]
    assert reconnect(kit) == [[1, "b", ["E", 10]], [0, "@", ["i", 0]], [2, "c"]]


def test_answers_go_to_the_request_of_this_link() -> None:
    kit = following("a", "b")
    kit.machine.unsubscribe("a", kit.now)
    reconnect(kit)  # b is 1 now; it was 2
    kit.hear("ok", 2, OK)
    assert kit.new == []
    kit.hear("no", 1, {"code": "forbidden"})
    assert kit.of(do.Unsubscribed) == [do.Unsubscribed("b", "forbidden", "")]


def test_changes_while_greeting_are_said_after_welcome() -> None:
    kit = Kit()
    kit.subscribe("a")
    kit.subscribe("b")
    kit.dial()
    assert kit.frames()[0][1]["cursors"] == [[1, "a"], [2, "b"]]
    kit.subscribe("late")
    kit.subscribe("b", "E", 5)  # replaces the one that hello asked for
    kit.machine.unsubscribe("a", kit.now)
    kit.step()
    assert kit.frames() == []
    kit.open()
    assert kit.frames() == [["unsub", 3, "a"], ["sub", 4, "b", ["E", 5]], ["sub", 5, "late"]]
    kit.hear("ok", 2, OK)  # to the one that was replaced
    assert kit.new == []
    kit.hear("ok", 4, {"epoch": "E", "offset": 5})
    assert kit.of(do.Subscribed) == [do.Subscribed("b", "E", 5, None)]


def test_wanted_and_given_up_again_while_greeting() -> None:
    kit = Kit()
    kit.dial()
    kit.subscribe("a")
    kit.machine.unsubscribe("a", kit.now)
    kit.open()
    assert kit.frames() == []


def test_a_late_no_to_a_replaced_subscription_ends_nothing() -> None:
    kit = following("a")
    kit.subscribe("a", "E", 3)
    assert kit.frames() == [["sub", 2, "a", ["E", 3]]]
    kit.hear("no", 1, {"code": "forbidden"})
    kit.hear("ok", 1, OK)
    assert kit.of(do.Unsubscribed, do.Subscribed) == []
    kit.hear("ok", 2, {"epoch": "E", "offset": 3})
    kit.hear("msg", "a", 4, "e", 1)
    assert kit.items() == [("E", 4)]


def test_the_answer_precedes_entries_and_may_bring_a_snapshot() -> None:
    kit = Kit()
    kit.open()
    kit.subscribe("a")
    kit.hear("msg", "a", 5, "e", 1)
    assert kit.items() == []
    kit.hear("ok", 1, {"epoch": "E", "offset": 4, "state": {"x": [1]}})
    assert kit.new == [do.MoveCursor("a", "E", 4), do.Subscribed("a", "E", 4, b'{"x": [1]}')]
    kit.hear("msg", "a", 5, "e", 1)
    assert kit.items() == [("E", 5)]


@pytest.mark.parametrize("body", [{}, {"epoch": "E"}, {"offset": 3}])
def test_an_answer_without_a_place_is_refused(body: object) -> None:
    kit = Kit()
    kit.open()
    kit.subscribe("a")
    kit.hear("ok", 1, body)
    assert kit.of(do.Drop)[0].code == 4200
    assert kit.state is State.WAITING


def test_permission_withdrawn_while_subscribed() -> None:
    kit = following("a", "b")
    kit.hear("no", 1, {"code": "forbidden", "message": "not any more"})
    assert kit.of(do.Unsubscribed) == [do.Unsubscribed("a", "forbidden", "not any more")]
    kit.hear("msg", "a", 11, "e", 1)
    assert kit.items() == []
    kit.hear("no", 1, {"code": "forbidden"})
    assert kit.new == []
    assert reconnect(kit) == [[1, "b", ["E", 10]], [0, "@", ["i", 0]]]
    kit.subscribe("a")
    assert kit.frames() == [["sub", 2, "a"]]


def test_entries_under_way_to_a_channel_given_up_are_ignored() -> None:
    kit = following("a")
    kit.machine.unsubscribe("a", kit.now)
    kit.step()
    kit.hear("msg", "a", 11, "e", 1)
    kit.hear("gap", "a", {"epoch": "E", "after": 11, "to": 12, "reason": "history"})
    kit.hear("now", "a", "e", 1)
    kit.hear("ok", 2, {})
    assert [e for e in kit.all if isinstance(e, do.Arrived | do.Volatile)] == []
    kit.handled("a", "E", 11)
    assert kit.new == []


def test_volatile_messages_need_no_offset() -> None:
    kit = following("a")
    kit.hear("now", "a", "typing", {"who": 1})
    kit.hear("now", "z", "typing", {"who": 1})
    assert kit.of(do.Volatile) == []
    kit.hear("now", "@", "hint", 2)
    assert [(e.channel, e.event) for e in kit.of(do.Volatile)] == [("@", "hint")]


# prev


def test_a_wrong_prev_resubscribes_from_the_cursor() -> None:
    kit = following("a")
    kit.hear("msg", "a", 11, "e", 1)
    kit.hear("msg", "a", 12, "e", 1)
    kit.handled("a", "E", 11)
    kit.hear("msg", "a", 15, "e", 1, 13)
    assert kit.frames() == [["sub", 2, "a", ["E", 11]]]
    kit.hear("msg", "a", 16, "e", 1)
    assert kit.new == []  # under way before the answer
    kit.hear("ok", 2, {"epoch": "E", "offset": 11})
    for offset in (12, 13, 15):
        kit.hear("msg", "a", offset, "e", 1, offset - 2 if offset == 15 else offset - 1)
    assert kit.items() == [("E", 15)]
    assert sum(isinstance(e, do.Arrived) for e in kit.all) == 4


def test_a_hole_in_the_inbox_takes_another_link() -> None:
    kit = following()
    kit.hear("msg", "@", 1, "e", 1)
    kit.handled("@", "i", 1)
    kit.hear("msg", "@", 4, "e", 1, 3)
    assert [(e.attempt, e.code) for e in kit.of(do.Drop)] == [(1, 4007)]
    assert kit.state is State.WAITING
    kit.open(resumed=True)
    assert kit.frames(kit.all)[-1][1]["cursors"] == [[0, "@", ["i", 1]]]


# credit


def test_at_is_told_before_half_the_credit() -> None:
    kit = following("a", limits={"credit": 20, "credit_bytes": 1000})
    for offset in range(11, 16):
        kit.hear("msg", "a", offset, "e", 1)
    told = []
    for offset in range(11, 16):
        kit.handled("a", "E", offset, 10)
        told += kit.frames()
    assert told == [["at", "a", 15]]  # a quarter of the entries
    for offset in range(16, 20):
        kit.hear("msg", "a", offset, "e", 1)
    for offset in range(16, 20):
        kit.handled("a", "E", offset, 70)
    assert kit.frames() == [["at", "a", 19]]  # a quarter of the bytes


def test_what_is_said_again_is_told_again() -> None:
    """The server may have been reading when our `at` came: it waits for another."""
    kit = following("a")
    for offset in (11, 12):
        kit.hear("msg", "a", offset, "e", 1)
        kit.handled("a", "E", offset)
    kit.wait()
    assert kit.frames() == [["at", "a", 12]]
    kit.hear("msg", "a", 11, "e", 1)
    kit.hear("msg", "a", 12, "e", 1)
    assert kit.of(do.Arrived) == []
    kit.wait()
    assert kit.frames() == [["at", "a", 12]]
    kit.hear("msg", "a", 13, "e", 1)
    kit.hear("msg", "a", 13, "e", 1)  # said again, and not handled yet
    kit.handled("a", "E", 13)
    kit.wait()
    assert kit.frames() == [["at", "a", 13]]


def trimmed_again_and_again(kit: Kit, channel: str, epoch: str, links: int) -> list[do.Entry | do.Lost]:
    """The log is trimmed between the links, and nobody reads: what was handed over."""
    items = []
    for link in range(1, links + 1):
        reconnect(kit, limits=SCANTY)
        if channel != "@":
            kit.hear("ok", 1, {"epoch": epoch, "offset": 10})
            items += [e.item for e in kit.of(do.Arrived)]
        to = 100 * link
        kit.hear("gap", channel, {"epoch": epoch, "after": 10, "to": to, "reason": "history"})
        items += [e.item for e in kit.of(do.Arrived)]
        kit.hear("msg", channel, to + 1, "e", 1)
        items += [e.item for e in kit.of(do.Arrived)]
    assert kit.state is State.OPEN
    return items


def test_who_does_not_read_is_not_swamped() -> None:
    kit = following("a", limits=SCANTY)
    items = trimmed_again_and_again(kit, "a", "E", 30)
    assert len(items) == 4 * 2 + 16
    asked = []
    for item in items:
        kit.handled("a", "E", item.to if isinstance(item, do.Lost) else item.offset)
        asked += [frame for frame in kit.frames() if frame[0] == "sub"]
    assert asked == [["sub", 2, "a", ["E", 1101]]]  # as soon as 2 are left; those have come already
    kit.hear("ok", 2, {"epoch": "E", "offset": 1101})
    kit.hear("gap", "a", {"epoch": "E", "after": 1101, "to": 3000, "reason": "history"})
    assert [e.item for e in kit.of(do.Arrived)] == [do.Lost("a", "E", 1201, 3000, "history")]


def test_who_does_not_read_the_inbox_dials_again_later() -> None:
    kit = following(limits=SCANTY)
    items = trimmed_again_and_again(kit, "@", "i", 30)
    assert len(items) == 4 * 2 + 16
    for item in items[:-3]:
        kit.handled("@", "i", item.to if isinstance(item, do.Lost) else item.offset)
        assert kit.state is State.OPEN
    for item in items[-3:]:
        kit.handled("@", "i", item.to if isinstance(item, do.Lost) else item.offset)
    assert kit.state is State.WAITING
    assert reconnect(kit) == [[0, "@", ["i", 1201]]]


def test_at_is_told_at_the_latest_after_a_tenth_of_a_second() -> None:
    kit = following("a", "b")
    kit.hear("msg", "a", 11, "e", 1)
    kit.hear("msg", "b", 11, "e", 1)
    kit.now = 1.0
    kit.handled("b", "E", 11)
    kit.now = 1.05
    kit.handled("a", "E", 11)
    assert kit.frames() == []
    assert kit.deadline == 1.1
    assert kit.frames(kit.tick(1.1)) == [["at", "a", 11], ["at", "b", 11]]
    assert kit.deadline == 25.0


def test_a_settled_message_does_not_put_off_at() -> None:
    kit = following("a")
    kit.send()
    kit.hear("ack", 1)
    kit.hear("msg", "a", 11, "e", 1)
    kit.handled("a", "E", 11)
    assert kit.deadline == 0.1


def test_at_is_told_only_by_handling() -> None:
    kit = following("a")
    for offset in range(11, 400):
        kit.hear("msg", "a", offset, "e", 1)
    assert kit.frames(kit.tick(5.0)) == []
    assert kit.deadline == 25.0


def test_what_was_handled_while_asking_is_told_after_the_answer() -> None:
    kit = following("a", limits={"credit": 4})
    for offset in range(11, 15):
        kit.hear("msg", "a", offset, "e", 1)
    kit.lose()
    kit.machine.retry_now(kit.now)
    kit.opened()
    for offset in range(11, 13):
        kit.handled("a", "E", offset)
    kit.open(resumed=True, limits={"credit": 4})
    for offset in range(13, 15):
        kit.handled("a", "E", offset)
    assert kit.frames() == []
    kit.hear("ok", 1, OK)
    # The server spends its credit on what we have, and would wait for ever.
    assert kit.deadline == 0.1
    assert kit.frames(kit.tick(0.1)) == [["at", "a", 14]]


def test_what_was_handled_of_the_inbox_while_greeting_is_told() -> None:
    kit = following()
    kit.hear("msg", "@", 1, "e", 1)
    kit.lose()
    kit.machine.retry_now(kit.now)
    kit.opened()
    kit.handled("@", "i", 1)
    kit.open(resumed=True)
    assert kit.frames(kit.tick(0.1)) == [["at", "@", 1]]


def test_a_server_beyond_its_credit_is_left() -> None:
    kit = following("a", limits={"credit": 3})
    for offset in range(11, 17):
        kit.hear("msg", "a", offset, "e", 1)
    assert kit.state is State.OPEN  # twice the credit may be due to an `at` that crossed something
    kit.hear("msg", "a", 17, "e", 1)
    assert [(e.code, e.reason) for e in kit.of(do.Drop)] == [
        (4200, "the server broke the protocol: more entries than the credit allows")
    ]
    assert kit.state is State.WAITING  # and will be asked again, a little later
    # In bytes, but a lone entry always goes.
    kit = following("a", limits={"credit_bytes": 50})
    kit.hear("msg", "a", 11, "e", "x" * 1000)
    assert kit.state is State.OPEN
    kit.hear("msg", "a", 12, "e", 1)
    assert kit.state is State.WAITING


def test_a_consumer_that_does_not_consume() -> None:
    kit = following("slow", "quick", limits={"credit": 5})
    for offset in range(11, 16):
        kit.hear("msg", "slow", offset, "e", 1)
    for offset in range(11, 100):
        kit.hear("msg", "quick", offset, "e", 1)
        kit.handled("quick", "E", offset)
    assert kit.state is State.OPEN
    assert [f[1] for f in kit.frames(kit.all) if f[0] == "at"] == ["quick"] * 44  # a quarter of 5 is two entries
    kit.lose()
    kit.open(resumed=True, limits={"credit": 5})
    kit.hear("ok", 1, OK)
    for offset in range(11, 16):  # again, and dropped
        kit.hear("msg", "slow", offset, "e", 1)
    assert kit.items() == []
    assert kit.state is State.OPEN


# the inbox


def test_the_inbox_is_followed_from_welcome_on() -> None:
    kit = Kit()
    kit.open(inbox={"epoch": "i", "offset": 7})
    assert kit.of(do.MoveCursor) == [do.MoveCursor("@", "i", 7)]
    kit.hear("msg", "@", 7, "e", 1)
    kit.hear("msg", "@", 8, "e", 1)
    assert kit.items() == [("i", 8)]


def test_lost_inbox_is_a_gap() -> None:
    kit = Kit()
    kit.open()
    kit.hear("msg", "@", 1, "e", 1)
    kit.lose()
    kit.open("t", inbox={"epoch": "j", "offset": 3})
    assert kit.items() == [("j", 0, 3, "epoch")]
    assert kit.of(do.MoveCursor) == [do.MoveCursor("@", "i", 0)]  # after a crash the gap comes again
    kit.hear("msg", "@", 4, "e", 1)
    assert kit.items() == [("j", 4)]
    kit.handled("@", "i", 1)
    kit.handled("@", "j", 3)
    assert kit.of(do.MoveCursor) == [do.MoveCursor("@", "j", 3)]


def test_lost_inbox_whose_epoch_is_the_same() -> None:
    kit = Kit()
    kit.open()
    for offset in (1, 2, 3):
        kit.hear("msg", "@", offset, "e", 1)
    kit.handled("@", "i", 1)
    kit.lose()
    kit.open("t")
    assert kit.items() == [("i", 0, 0, "epoch")]
    assert kit.of(do.MoveCursor) == [do.MoveCursor("@", GONE, 1)]
    kit.hear("msg", "@", 1, "e", 1)
    assert kit.items() == [("i", 1)]
    kit.handled("@", "i", 2)  # of the old session: it moves nothing
    kit.handled("@", "i", 3)
    assert kit.of(do.MoveCursor) == []
    kit.handled("@", "i", 0)
    assert kit.of(do.MoveCursor) == [do.MoveCursor("@", "i", 0)]
    kit.lose()
    kit.machine.retry_now(kit.now)
    kit.opened()
    assert kit.frames(kit.all)[-1][1]["cursors"] == [[0, "@", ["i", 0]]]


def test_an_inbox_is_not_asked_for_without_its_session() -> None:
    kit = Kit()
    kit.open()
    kit.hear("msg", "@", 1, "e", 1)
    kit.lose(4203)
    assert kit.state is State.REFUSED
    kit.machine.retry_now(kit.now)
    kit.step()
    kit.opened()
    assert "cursors" not in kit.frames()[0][1]
    kit.open("t", inbox={"epoch": "j", "offset": 0})
    assert kit.items() == [("j", 0, 0, "epoch")]


# a process before this one


def test_a_stored_place_is_where_a_subscription_goes_on() -> None:
    saved = Saved("s", "k", cursors={"a": ("E", 5), "b": ("E", 6), "c": ("E", 7), "@": ("i", 3)})
    kit = Kit(saved=saved)
    kit.subscribe("a")
    kit.subscribe("c", "E", 2)
    kit.dial()
    # b is not followed: nobody in this process asked for it.
    assert kit.frames()[0][1]["cursors"] == [[0, "@", ["i", 3]], [1, "a", ["E", 5]], [2, "c", ["E", 2]]]
    kit.open(resumed=True)
    kit.subscribe("b")
    assert kit.frames() == [["sub", 3, "b", ["E", 6]]]
    kit.machine.unsubscribe("b", kit.now)
    kit.step()
    assert kit.of(do.ForgetCursor) == [do.ForgetCursor("b")]
    kit.subscribe("b")
    assert kit.frames() == [["sub", 5, "b"]]


def test_a_stored_place_can_be_forgotten_unused() -> None:
    kit = Kit(saved=Saved("s", "k", cursors={"a": ("E", 5)}))
    kit.machine.unsubscribe("a", kit.now)
    assert kit.step() == [do.ForgetCursor("a")]
    kit.machine.unsubscribe("a", kit.now)
    assert kit.step() == []


def test_a_cursor_is_stored_from_the_first_answer_on() -> None:
    kit = following("a")
    assert do.MoveCursor("a", "E", 10) in kit.all
    kit.subscribe("b", None, 3)
    kit.hear("ok", 2, {"epoch": "F", "offset": 3})
    assert kit.of(do.MoveCursor) == [do.MoveCursor("b", "F", 3)]
    kit.subscribe("c", "F", 3)
    kit.hear("ok", 3, {"epoch": "F", "offset": 3})
    assert kit.of(do.MoveCursor) == []  # whoever named it knows it
