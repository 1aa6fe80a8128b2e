"""Channels on one link: positions, credit, fair catching up, gaps, the live tail (PROTOCOL 4)."""

import pytest

from heartline.core.policy import ServerLimits
from heartline.core.ports import History
from heartline.core.server import effects as do
from heartline.core.server.feed import Feed
from heartline.core.server.flow import Flow
from tests.core.server.world import Peer, World

SMALL = ServerLimits(credit=4, credit_bytes=1000, link_credit_bytes=1500)


def check_credit(feed: Feed, limits: ServerLimits) -> None:
    """What is in flight is counted right and within its bounds, but for lone entries."""
    subscriptions = list(feed.by_channel.values())
    assert feed.in_flight == sum(s.flight for s in subscriptions)
    assert feed.flight_bytes == sum(s.flight_bytes for s in subscriptions)
    for one in subscriptions:
        assert one.flight <= limits.credit
        assert one.flight_bytes <= limits.credit_bytes or one.flight == 1
    lone = sum(s.flight_bytes for s in subscriptions if s.flight == 1)
    assert feed.flight_bytes - lone <= limits.link_credit_bytes


def flow(peer: Peer, channel: str) -> Flow:
    return peer.link.feed.by_channel[channel].flow


def test_credit_bounds_what_is_in_flight() -> None:
    world = World(limits=SMALL)
    one = world.peer()
    one.say(["sub", 1, "c"])
    for n in range(1, 11):
        world.publish("c", n)
        check_credit(one.link.feed, SMALL)
    assert one.offsets("c") == [1, 2, 3, 4]
    assert flow(one, "c") is Flow.BEHIND
    one.say(["at", "c", 2])
    assert one.offsets("c") == [1, 2, 3, 4, 5, 6]
    one.say(["at", "c", 6])
    assert one.offsets("c") == list(range(1, 11))
    assert flow(one, "c") is Flow.LIVE
    one.say(["at", "c", 11], ["at", "c", 9], ["at", "c", 3], ["at", "never", 1])
    check_credit(one.link.feed, SMALL)
    one.say(["at", "c", 10])
    assert (one.link.feed.in_flight, one.link.feed.flight_bytes) == (0, 0)


def test_credit_bounds_bytes_and_the_whole_link() -> None:
    world = World(limits=SMALL)
    one = world.peer()
    one.say(["sub", 1, "c"], ["sub", 2, "d"], ["sub", 3, "e"])
    for _ in range(3):
        for channel in "cde":
            world.publish(channel, b'"%b"' % (b"x" * 400))
            check_credit(one.link.feed, SMALL)
    assert [one.offsets(channel) for channel in "cde"] == [[1], [1], [1]]
    one.say(["at", "c", 1])
    assert [one.offsets(channel) for channel in "cde"] == [[1, 2], [1], [1]]
    for _ in range(6):
        for channel in "cde":
            one.say(["at", channel, max(one.offsets(channel))])
            check_credit(one.link.feed, SMALL)
    assert [one.offsets(channel) for channel in "cde"] == [[1, 2, 3]] * 3


def test_a_lone_entry_always_goes() -> None:
    world = World(limits=SMALL)
    one = world.peer()
    one.say(["sub", 1, "c"], ["sub", 2, "d"])
    big = b'"%b"' % (b"x" * 5000)
    world.publish("c", big, big)
    world.publish("d", big)
    assert (one.offsets("c"), one.offsets("d")) == ([1], [1])
    one.say(["at", "c", 1])
    assert one.offsets("c") == [1, 2]


def test_catching_up_takes_turns_inbox_first() -> None:
    world = World()
    one = world.peer()
    one.lose()
    for channel in ("a", "b", "@id0"):
        world.publish(channel, *[b'"%b"' % (b"x" * 9998)] * 9)
    two = world.peer(welcome=False)
    two.resume(one, cursors=[[1, "a", ["E", 0]], [2, "b", ["E", 0]], [0, "@", ["E.id0", 0]]])
    reads = [read.subscription.channel for read in world.of(do.Read)[1:]]  # but the first link's inbox
    assert reads == ["@id0", "@id0", "a", "b", "@id0", "a", "b", "a", "b"]
    assert two.offsets("@") == two.offsets("a") == two.offsets("b") == list(range(1, 10))
    order = [frame[1] for frame in two.heard if frame[0] == "msg"]
    assert order == list("@@@@@@aaabbb@@@aaabbbaaabbb")


def test_trimmed_history_is_a_gap() -> None:
    world = World()
    world.publish("c", *range(1, 11), history=History(3))
    one = world.peer()
    one.say(["sub", 1, "c", ["E", 2]])
    assert one.new[:2] == [
        ["ok", 1, {"epoch": "E", "offset": 2}],
        ["gap", "c", {"epoch": "E", "after": 2, "to": 7, "reason": "history"}],
    ]
    assert one.offsets("c") == [-7, 8, 9, 10]


def test_a_channel_without_history_has_gaps() -> None:
    world = World(limits=SMALL)
    world.publish("c", *range(1, 6), history=History(0))
    one = world.peer()
    one.say(["sub", 1, "c", ["E", 2]])
    assert one.new == [
        ["ok", 1, {"epoch": "E", "offset": 2}],
        ["gap", "c", {"epoch": "E", "after": 2, "to": 5, "reason": "none"}],
    ]
    for n in range(6, 12):
        world.publish("c", n, history=History(0))
    assert one.offsets("c") == [-5, 6, 7, 8, 9]
    one.say(["at", "c", 9])
    assert one.offsets("c") == [-5, 6, 7, 8, 9, -11]
    world.publish("c", 12, history=History(0))
    assert one.offsets("c") == [-5, 6, 7, 8, 9, -11, 12]


def test_resubscription_is_answered_anew() -> None:
    world = World()
    one = world.peer()
    assert one.say(["sub", 1, "c"]) == [["ok", 1, {"epoch": "E", "offset": 0}]]
    world.publish("c", 1, 2, 3)
    assert one.say(["sub", 2, "c"]) == [["ok", 2, {"epoch": "E", "offset": 3}]]
    one.say(["sub", 3, "c", ["E", 1]])
    assert [frame[:3] for frame in one.new] == [
        ["ok", 3, {"epoch": "E", "offset": 1}],
        ["msg", "c", 2],
        ["msg", "c", 3],
    ]
    assert one.say(["unsub", 4, "c"]) == [["ok", 4, {}]]
    world.publish("c", 4)
    assert one.offsets("c") == [1, 2, 3, 2, 3]
    assert [type(e).__name__ for e in world.effects if isinstance(e, do.Unfollow) and e.channel == "c"] == [
        "Unfollow"
    ] * 3


def test_what_is_handled_before_it_is_said_again_takes_no_credit() -> None:
    """A client that handles what an earlier link brought says `at` once, maybe before this link has come so far."""
    world = World(limits=SMALL)
    world.publish("c", *range(1, 13))
    one = world.peer()
    world.hold = (do.Read,)
    one.say(["sub", 1, "c", ["E", 2]], ["at", "c", 5])
    world.hold = ()
    world.answer_held()
    assert one.offsets("c") == [6, 7, 8, 9]  # 3 to 5 need not be said at all
    one.say(["at", "c", 10])  # 10 too was handled before
    assert one.offsets("c") == [6, 7, 8, 9, 11, 12]
    check_credit(one.link.feed, SMALL)
    assert flow(one, "c") is Flow.LIVE
    one.say(["at", "c", 12])
    assert one.link.feed.in_flight == 0


def test_what_was_handled_of_another_log_skips_nothing() -> None:
    world = World(limits=SMALL)
    world.publish("c", *range(1, 13))
    world.broker.drop("c")
    world.publish("c", *range(1, 4))
    one = world.peer()
    world.hold = (do.Read,)
    one.say(["sub", 1, "c", ["E", 2]], ["at", "c", 9])
    world.hold = ()
    world.answer_held()
    one.say(["at", "c", 10])  # it crossed the gap
    assert [frame[:3] for frame in one.heard if frame[0] in ("gap", "msg")] == [
        ["gap", "c", {"epoch": "E.1", "after": 0, "to": 0, "reason": "epoch"}],
        ["msg", "c", 1],
        ["msg", "c", 2],
        ["msg", "c", 3],
    ]


def test_subscriptions_are_bounded() -> None:
    world = World(limits=ServerLimits(subscriptions=2))
    one = world.peer()
    one.say(["sub", 1, "a"], ["sub", 2, "b"], ["sub", 3, "c"], ["sub", 4, "a"])
    assert [(frame[0], frame[1]) for frame in one.new] == [("no", 3), ("ok", 2), ("ok", 4)]  # 4 has replaced 1
    assert sorted(one.link.feed.by_channel) == ["a", "b"]


def test_live_followers_have_everything_before() -> None:
    world = World()
    one = world.peer()
    world.hold = (do.Head,)
    one.say(["sub", 1, "c"])
    [head] = world.held
    world.publish("c", 1, 2)
    world.broker.append("c", "e", b"3", History())  # announced, not yet flushed
    world.node.headed(head.subscription, "E", 0, world.now)  # told before any of them was there
    world.turn()
    world.publish("c", 4)
    assert one.offsets("c") == [1, 2, 3, 4]
    one.say(["sub", 2, "d"])
    world.broker.append("d", "e", b"1", History())
    head = world.held.pop()
    world.node.headed(head.subscription, "E", 1, world.now)  # told after it: it is not for this follower
    world.turn()
    world.publish("d", 2)
    assert one.offsets("d") == [2]


def test_slow_follower_is_passed_over() -> None:
    world = World(limits=SMALL)
    slow, fast = world.peer(), world.peer()
    slow.say(["sub", 1, "c"])
    fast.say(["sub", 1, "c"])
    for n in range(1, 21):
        world.publish("c", n)
        fast.say(["at", "c", n])
    assert fast.offsets("c") == list(range(1, 21))
    assert slow.offsets("c") == [1, 2, 3, 4]
    while max(slow.offsets("c")) < 20:
        slow.say(["at", "c", max(slow.offsets("c"))])
    assert slow.offsets("c") == list(range(1, 21))


def test_a_consumer_that_does_not_consume_costs_nothing_more() -> None:
    world = World(limits=SMALL)
    stuck, fast = world.peer(), world.peer()
    stuck.say(["sub", 1, "c"])
    fast.say(["sub", 1, "c"])
    for n in range(1, 1001):
        world.publish("c", b'"%b"' % (b"x" * 200), history=History(50))
        fast.say(["at", "c", n])
        check_credit(stuck.link.feed, SMALL)
    assert len(fast.offsets("c")) == 1000
    assert stuck.offsets("c") == [1, 2, 3, 4]
    subscription = stuck.link.feed.by_channel["c"]
    assert (subscription.flight, len(subscription.later or ()), stuck.link.out) == (4, 3, [])
    tail = world.node.tails["c"]
    assert (tail.fresh, tail.fresh_bytes, len(tail.followers)) == ([], 0, 2)
    stuck.say(["at", "c", 4])
    assert stuck.offsets("c")[4:6] == [-950, 951]


def test_live_followers_notice_a_new_epoch() -> None:
    world = World()
    one = world.peer()
    one.say(["sub", 1, "c"])
    world.publish("c", 1, 2)
    world.broker.drop("c")
    one.take()
    world.publish("c", 7)
    assert one.take() == [
        ["gap", "c", {"epoch": "E.1", "after": 0, "to": 0, "reason": "epoch"}],
        ["msg", "c", 1, "e", 7],
    ]
    world.publish("c", 8)
    assert one.take() == [["msg", "c", 2, "e", 8]]
    two = world.peer()
    assert two.say(["sub", 1, "c", ["E", 2]])[:2] == [
        ["ok", 1, {"epoch": "E.1", "offset": 0}],
        ["gap", "c", {"epoch": "E.1", "after": 0, "to": 0, "reason": "epoch"}],
    ]
    assert two.offsets("c") == [0, 1, 2]
    three = world.peer()
    assert three.say(["sub", 1, "c", [None, 1]])[0] == ["ok", 1, {"epoch": "E.1", "offset": 1}]
    assert three.offsets("c") == [2]


def test_holes_in_offsets_are_named_by_prev() -> None:
    world = World()
    world.broker._step = lambda: 5
    one = world.peer()
    one.say(["sub", 1, "c"])
    world.publish("c", 1, 2)
    assert one.take()[1:] == [["msg", "c", 5, "e", 1, 0], ["msg", "c", 10, "e", 2, 5]]


def test_a_permission_can_be_lost_while_subscribed() -> None:
    world = World()
    one = world.peer()
    one.say(["sub", 1, "c"], ["sub", 2, "d"])
    world.publish("c", 1)
    one.take()
    world.node.revoke(one.session, "c", "forbidden", "not any more")
    world.turn()
    assert one.take() == [["no", 1, {"code": "forbidden", "message": "not any more"}]]
    world.publish("c", 2)
    assert one.take() == []
    world.allow = lambda subscription: ("forbidden", "gone", False)
    one.say(["login", "renewed"])
    assert one.take() == [["ok", 0, {}], ["no", 2, {"code": "forbidden", "message": "gone"}]]
    world.publish("d", 1)
    assert one.take() == []
    assert list(world.node.tails) == ["@id0"]
    assert (one.link.feed.in_flight, one.link.feed.flight_bytes) == (0, 0)


def test_volatile_messages_take_no_credit_and_may_be_dropped() -> None:
    world = World(limits=SMALL)
    one = world.peer()
    one.say(["sub", 1, "c"])
    for n in range(10):
        world.node.volatile("c", "e", b"%d" % n)
    world.node.tell_now(one.session, "e", b"1")
    world.node.volatile("nobody", "e", b"1")
    world.turn()
    assert one.take()[1:] == [["now", "c", "e", n] for n in range(10)] + [["now", "@", "e", 1]]
    one.link.congested = True
    world.node.volatile("c", "e", b"1")
    world.node.tell_now(one.session, "e", b"1")
    world.turn()
    assert one.take() == []
    assert one.link.feed.in_flight == 0


@pytest.mark.parametrize("name", ["@", "@id0", "@who/", "a\x00", "@@"])
def test_names_of_the_protocol_are_not_channels(name: str) -> None:
    world = World()
    one = world.peer()
    assert one.say(["sub", 1, name]) == [["no", 1, {"code": "invalid", "message": "not a channel name"}]]
    assert one.say(["unsub", 2, name]) == [["ok", 2, {}]]
    world.publish("@id0", 5)
    assert one.take()[-1] == ["msg", "@", 1, "e", 5]
