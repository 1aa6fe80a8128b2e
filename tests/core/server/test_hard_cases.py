"""What goes wrong between a client and its server, case by case, with exact frames."""

import itertools

import pytest

from heartline.core.ports import History
from heartline.core.server import effects as do
from heartline.core.server.session import Lane
from tests.core.server.world import Peer, World

LOST = {"code": "reply_lost", "message": "it was handled; the reply is no longer kept", "handled": True}


def overlapping() -> World:
    return World(overlapping={"e"}, lane_of=lambda _event, _channel: Lane.FREE)


def test_resume_before_the_old_link_was_seen_dying() -> None:
    world = World()
    one = world.peer()
    one.say(["call", 1, "e", 1], ["call", 2, "e", 2])
    two = world.peer(welcome=False)
    assert two.resume(one)[0][1] | {"resumed": True, "received": 2} == two.heard[0][1]
    assert one.code == 4001
    world.finish(1, reply="one")
    assert two.take()[-1] == ["reply", 1, "one"]
    one.lose()  # seen at last
    assert two.session.link is two.link
    assert world.node.detached == {}
    world.finish(2, reply="two")
    assert two.take()[-1] == ["reply", 2, "two"]
    assert [m.n for m in world.started] == [1, 2]


def test_kill_while_replaying() -> None:
    world = World()
    world.publish("c", *[b'"%b"' % (b"x" * 9998)] * 9)
    one = world.peer()
    world.hold = (do.Read,)
    one.say(["sub", 1, "c", ["E", 0]])
    got: list[int] = []
    peer = one
    for _ in range(30):
        world.answer_held()  # one piece of three, and the next question is out
        fresh = [n for n in peer.offsets("c") if n not in got]
        got += fresh
        if got[-1:] == [9]:
            break
        peer.lose()
        assert world.node.tails == {}
        peer, before = Peer(world), peer
        peer.resume(one, cursors=[[1, "c", ["E", got[-1] if got else 0]]])
        assert before.link.feed.in_flight == 0
    assert got == list(range(1, 10))
    world.hold = ()
    world.answer_held()
    world.publish("c", 10)
    assert peer.offsets("c")[-1] == 10


def test_repeat_of_a_message_whose_reply_was_lost() -> None:
    world = World()
    one = world.peer()
    one.say(["call", 1, "e", 1])
    one.lose()
    world.finish(1, reply="one")
    two = world.peer(welcome=False)
    assert two.resume(one)[1:] == [["reply", 1, "one"], ["ack", 1]]
    assert two.say(["call", 1, "e", 1]) == [["reply", 1, "one"]]
    assert len(world.started) == 1
    two.lose()
    session = world.node.sessions["id0"]
    session.results.drop_below(2)  # as if the record had lost it
    three = world.peer(welcome=False)
    three.resume(one)
    assert three.say(["call", 1, "e", 1]) == [["fail", 1, LOST]]
    assert len(world.started) == 1


def test_repeat_of_a_number_still_running() -> None:
    world = World()
    one = world.peer()
    one.say(["send", 1, "e", 1])
    one.lose()
    two = world.peer(welcome=False)
    two.resume(one)
    assert two.say(["send", 1, "e", 1]) == []
    assert len(world.started) == 1
    world.finish(1)
    assert two.take() == [["ack", 1]]


def test_a_failure_lost_with_the_link_while_others_run() -> None:
    world = overlapping()
    one = world.peer()
    one.say(["send", 1, "e", 1], ["send", 4, "e", 4], ["send", 5, "e", 5], ["send", 6, "e", 6])
    world.finish(1)
    one.lose()
    world.finish(4, fail="failed")
    world.finish(6)
    two = world.peer(welcome=False)
    failed = ["fail", 4, {"code": "failed", "message": ""}]
    assert two.resume(one)[1:] == [failed, ["ack", 4]]
    assert two.say(["settled", 5]) == []
    world.finish(5)
    assert two.take() == [["ack", 6]]


def test_a_duplicated_client_closes_the_first_for_good() -> None:
    world = World()
    one = world.peer(instance="tab 1")
    two = world.peer(welcome=False)
    two.resume(one, "tab 2")
    assert one.closed == (4202, "a newer link owns this session")
    three = world.peer(welcome=False)
    three.resume(one, "tab 2")
    assert two.closed == (4001, "a newer link owns this session")
    assert three.session.generation == 3


def _two_nodes() -> tuple[World, World]:
    """Two nodes over one broker; the second asks the first to let go."""
    ids = map("id{}".format, itertools.count())
    first = World(durable=True, name="n1", ids=ids.__next__)
    second = World(durable=True, name="n2", broker=first.broker, ids=ids.__next__)
    second.owners["n1"] = first
    return first, second


def test_release_of_a_session_with_running_handlers() -> None:
    first, second = _two_nodes()
    one = first.peer()
    one.say(["call", 1, "e", 1], ["call", 2, "e", 2])
    second.hold = (do.Load,)
    two = Peer(second)
    two.resume(one)
    second.hold = ()
    first.hold = (do.Save,)
    [load] = second.held
    second.held.clear()
    second.hold = (do.Release,)
    second.answer(load)
    second.turn()
    [release] = second.held
    first.node.release(release.session, first.now)
    first.turn()
    assert one.closed == (4002, "the session moves to another node")
    late = Peer(first)
    late.resume(one)
    assert (late.kinds(), late.code) == (["refused"], 4006)
    assert late.heard[0][1]["code"] == "busy"
    assert first.of(do.Released) == []  # 1 runs: it is finished first, 2 is never started
    first.finish(1, reply="one")
    assert first.of(do.Released) == []
    first.hold = ()
    first.answer_held()
    assert [effect.session for effect in first.of(do.Released)] == ["id0"]
    assert [m.n for m in first.started] == [1]
    assert first.node.sessions == {}
    second.hold = ()
    second.held.clear()
    second.node.released(release.link, True, second.now)
    second.turn()
    [welcome, *answers] = two.heard
    assert (welcome[1]["resumed"], welcome[1]["received"]) == (True, 1)
    assert answers == [["reply", 1, "one"], ["ack", 1]]
    two.say(["call", 2, "e", 2])
    second.finish(2, reply="two")
    assert two.heard[-1] == ["reply", 2, "two"]


def test_an_owner_that_is_silent_counts_as_crashed() -> None:
    first, second = _two_nodes()
    one = first.peer()
    one.say(["call", 1, "e", 1], ["call", 2, "e", 2])
    first.node.sessions["id0"].record_start(first.running[1])
    first.turn()
    del second.owners["n1"]
    two = Peer(second)
    two.resume(one)
    assert [frame[:2] for frame in two.heard] == [["welcome", two.heard[0][1]], ["fail", 1]]
    assert two.heard[1][2]["code"] == "unknown"
    assert two.heard[0][1]["received"] == 0  # 2 was not begun as far as anybody knows: its client says it again
    assert ("server.owner_silent", {"session": "id0"}) in [(what, details) for _, what, details in second.traced]
    first.finish(1, reply="too late")
    assert one.closed == (4001, "another node owns this session")
    assert ["reply", 1, "too late"] not in one.heard


@pytest.mark.parametrize("lose_it", [True, False])
def test_a_swap_whose_answer_comes_after_the_link(lose_it: bool) -> None:
    world = World(durable=True)
    world.hold = (do.Swap,)
    one = world.peer(welcome=False)
    one.hello()
    if lose_it:
        one.lose()
    world.hold = ()
    world.answer_held()
    assert (one.kinds(), sorted(world.node.sessions)) == (([], []) if lose_it else (["welcome"], ["id0"]))
    assert (world.broker.load("id0") is None) is lose_it


def test_the_inbox_loses_nothing_between_two_links() -> None:
    world = World()
    one = world.peer()
    world.publish("@id0", 1, 2)
    assert one.offsets("@") == [1, 2]
    one.lose()
    world.publish("@id0", 3)
    two = world.peer(welcome=False)
    world.hold = (do.HeadInbox, do.Read)
    two.resume(one, cursors=[[0, "@", ["E.id0", 1]]])
    world.publish("@id0", 4)
    while world.held:
        world.answer_held()
        world.broker.append("@id0", "e", b"0", History())
    world.hold = ()
    world.turn()
    assert two.offsets("@") == list(range(2, world.broker.head("@id0")[1] + 1))
