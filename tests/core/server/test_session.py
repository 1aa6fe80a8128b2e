"""Numbers, repeats, answers and acknowledgements of one session, as a client sees them (PROTOCOL 3)."""

from typing import Any

import pytest

from heartline.core.errors import BadFrame
from heartline.core.outbox import SPAN, Kind
from heartline.core.policy import ServerLimits
from heartline.core.server import effects as do
from heartline.core.server.session import REPLY_LOST, Lane, Session
from tests.core.server.world import World

LOST = {"code": "reply_lost", "message": "it was handled; the reply is no longer kept", "handled": True}


def overlapping(**more: Any) -> World:
    """A world whose handlers may overlap."""
    return World(overlapping={"e"}, lane_of=lambda _event, _channel: Lane.FREE, **more)


def test_each_number_starts_once() -> None:
    world = overlapping()
    one = world.peer()
    one.say(["send", 1, "e", None], ["call", 2, "e", None], ["pub", 5, "c", "e", None])
    assert [m.n for m in world.started] == [1, 2, 5]
    one.lose()
    two = world.peer(welcome=False)
    assert two.resume(one)[0][1]["received"] == 5
    two.say(["send", 1, "e", None], ["call", 2, "e", None], ["send", 6, "e", None])
    assert [m.n for m in world.started] == [1, 2, 5, 6]
    two.say(["send", 6, "e", None])
    assert two.closed == (4200, "numbers rise on a link")
    assert [m.n for m in world.started] == [1, 2, 5, 6]
    assert [m.id for m in world.started] == ["id0/1", "id0/2", "id0/5", "id0/6"]


def test_serial_messages_wait_for_each_other() -> None:
    world = World()
    one = world.peer()
    one.say(["send", 1, "e", None], ["send", 2, "e", None], ["send", 3, "e", None])
    assert list(world.running) == [1]
    world.finish(1)
    assert list(world.running) == [2]
    world.finish(2)
    world.finish(3)
    assert one.heard[-1] == ["ack", 3]


def test_publications_overlap_with_each_other_only() -> None:
    """The broker keeps their order, so they may share a commit; what a handler does comes before or after."""
    world = World(lane_of=lambda _event, _channel: Lane.TOGETHER)
    one = world.peer()
    pubs = [["pub", n, "c", "e", None] for n in (1, 2)]
    one.say(*pubs, ["send", 3, "e", None], ["pub", 4, "c", "e", None], ["pub", 5, "c", "e", None], ["send", 6, "e", 1])
    assert list(world.running) == [1, 2]
    world.finish(2)
    assert list(world.running) == [1]
    world.finish(1)
    assert list(world.running) == [3]
    world.finish(3)
    assert list(world.running) == [4, 5]
    world.finish(4)
    world.finish(5)
    assert list(world.running) == [6]


def test_repeats_start_nothing() -> None:
    world = overlapping()
    one = world.peer()
    one.say(["call", 1, "e", None], ["call", 2, "e", None], ["send", 3, "e", None], ["send", 4, "e", None])
    world.finish(2, reply="two")
    world.finish(3)
    one.lose()
    two = world.peer(welcome=False)
    assert two.resume(one)[1:] == [["reply", 2, "two"]]
    assert two.say(["call", 1, "e", None], ["call", 2, "e", None]) == [["reply", 2, "two"]]
    assert two.say(["send", 3, "e", None], ["send", 4, "e", None]) == []
    assert [m.n for m in world.started] == [1, 2, 3, 4]
    two.take()
    world.finish(1, reply="one")
    assert two.take() == [["reply", 1, "one"], ["ack", 3]]
    world.finish(4)
    assert two.take() == [["ack", 4]]


def test_ack_covers_only_what_has_ended() -> None:
    world = overlapping()
    one = world.peer()
    one.say(*[["send", n, "e", None] for n in (1, 2, 3, 7)])
    world.finish(2)
    assert one.take() == []
    world.finish(1)
    assert one.take() == [["ack", 2]]
    world.finish(7)
    assert one.take() == []
    world.finish(3, fail="failed")
    assert one.take() == [["fail", 3, {"code": "failed", "message": ""}], ["ack", 7]]


def test_answers_are_kept_until_the_floor() -> None:
    world = overlapping(limits=ServerLimits(results_bytes=300))
    one = world.peer()
    one.say(*[["call", n, "e", None] for n in (1, 2, 3, 4)])
    session = one.session
    world.finish(1, fail="failed")
    world.finish(2, reply="x" * 200)
    world.finish(3, reply="y" * 50)
    assert [n for n, _ in session.results.items()] == [1, 2, 3]
    assert session.results.size <= 300
    world.finish(4, reply="z" * 100)
    one.lose()
    two = world.peer(welcome=False)
    assert two.resume(one)[1:] == [
        ["fail", 1, {"code": "failed", "message": ""}],
        ["fail", 2, LOST],
        ["reply", 3, "y" * 50],
        ["reply", 4, "z" * 100],
        ["ack", 4],
    ]
    two.say(["settled", 4])
    assert [n for n, _ in session.results.items()] == [4]
    two.lose()
    three = world.peer(welcome=False)
    assert three.resume(one, floor=5)[1:] == [["ack", 4]]
    assert (len(session.results), session.floor) == (0, 5)


def test_a_reply_too_small_to_be_worth_it_is_kept() -> None:
    # To name a reply as lost takes 108 bytes or so: shorter ones stay, and no answer but the newest takes more.
    world = overlapping(limits=ServerLimits(results_bytes=1))
    one = world.peer()
    one.say(*[["call", n, "e", None] for n in range(1, 257)])
    for n in range(1, 257):
        world.finish(n, reply="x" * (n % 120))
    results = one.session.results
    room = len(b'["fail",256,') + len(REPLY_LOST) + 1
    assert all(len(payload) <= room for n, payload in results.items() if n != 256)
    assert {n for n, payload in results.items() if payload.endswith(b"%b]" % REPLY_LOST)} == {
        n for n in range(1, 256) if len(b'["reply",%d,""]' % n) + n % 120 > len(b'["fail",%d,]' % n) + len(REPLY_LOST)
    }


def test_nothing_said_before_it_is_saved() -> None:
    world = overlapping(durable=True)
    one = world.peer()
    world.hold = (do.Save,)
    one.say(["call", 1, "e", None], ["send", 2, "e", None], ["call", 3, "e", None])
    world.finish(1, reply="one")
    world.finish(2)
    assert one.take() == []
    assert len(world.held) == 1  # one write at a time: what changed meanwhile goes with the next
    world.answer_held()
    assert one.take() == [["reply", 1, "one"]]
    stored = world.broker.load("id0")
    assert stored is not None
    assert (stored.done, stored.results) == (1, {1: b'["reply",1,"one"]'})
    world.answer_held()
    assert one.take() == [["ack", 2]]
    stored = world.broker.load("id0")
    assert stored is not None
    assert (stored.done, stored.received) == (2, 3)


def test_old_link_is_fenced() -> None:
    world = overlapping(durable=True)
    one = world.peer()
    one.say(["call", 1, "e", None])
    session = one.session
    # Another node has taken the session over: the next write shows it.
    stored = world.broker.load("id0")
    assert stored is not None
    other = {name: getattr(stored, name) for name in stored.__struct_fields__} | {"generation": 9, "owner": "n2"}
    assert world.broker.swap(type(stored)(**other), stored.generation)
    world.finish(1, reply="one")
    assert one.closed == (4001, "another node owns this session")
    assert ["reply", 1, "one"] not in one.heard
    assert session.fenced
    assert session.next_start(world.now) is None
    assert world.node.sessions == {}
    assert world.broker.load("id0") == type(stored)(**other)


def test_floor_and_span_bound_the_numbers() -> None:
    session = Session("s", "k", "", "i", ServerLimits())
    session.settled(10)
    for n in (9, 10 + SPAN):
        with pytest.raises(BadFrame, match=rf"number {n} is outside \[10, 266\)"):
            session.accept(n, Kind.SEND, "e", b"", "", Lane.FREE)
    assert session.accept(10, Kind.SEND, "e", b"", "", Lane.FREE) is not None
    assert session.accept(10 + SPAN - 1, Kind.SEND, "e", b"", "", Lane.FREE) is not None
    with pytest.raises(BadFrame, match="the floor fell from 10 to 9"):
        session.settled(9)


def test_bytes_in_flight_are_bounded() -> None:
    world = World(limits=ServerLimits(window_bytes=100, message=50))
    one = world.peer()
    one.say(*[["send", n, "e", "x" * 48] for n in (1, 2, 3)])
    assert one.code is None
    one.say(["send", 4, "e", "x"])
    assert one.closed == (4200, "more bytes in flight than the window allows")


def test_a_rate_delays_starts() -> None:
    world = World(limits=ServerLimits(rate=2.0))
    world.auto = True
    one = world.peer()
    one.say(*[["send", n, "e", None] for n in range(1, 7)])
    assert [m.n for m in world.started] == [1, 2]
    assert world.node.throttled
    assert world.node.next_deadline() == 0.5
    world.advance(0.49)
    assert len(world.started) == 2
    world.advance(0.5)
    assert len(world.started) == 3
    world.advance(2.0)
    assert len(world.started) == 6
    assert one.heard[-1] == ["ack", 6]
    assert not world.node.throttled


def test_a_restored_session_goes_on_where_the_record_ends() -> None:
    world = overlapping(durable=True)
    one = world.peer()
    one.say(*[["call", n, "e", None] for n in (1, 2, 3)], ["send", 4, "e", None])
    session = one.session
    session.record_start(world.running[1])
    world.finish(2, reply="two")
    world.finish(4)
    record = world.broker.load("id0")
    assert record is not None
    assert (record.done, record.received, record.results) == (0, 4, {2: b'["reply",2,"two"]', 4: b""})
    again = Session.restored(record, ServerLimits(), {})
    assert again.received == 0
    assert again.accept(2, Kind.CALL, "e", b"", "", Lane.ALONE) is None
    message = again.accept(3, Kind.CALL, "e", b"", "", Lane.ALONE)
    assert message is not None
    assert again.accept(4, Kind.SEND, "e", b"", "", Lane.ALONE) is None
    assert again.results.get(1) == (
        b'["fail",1,{"code":"unknown","message":"the server stopped while this was running"}]'
    )
