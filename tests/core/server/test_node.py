"""The node as a whole: order of effects, sessions without links, late answers, the wheel, presence."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartline.core.policy import Heartbeat, ServerLimits
from heartline.core.server import effects as do
from heartline.core.server.turns import QUANTUM
from heartline.core.server.wheel import Sleeper as Sleeping
from heartline.core.server.wheel import Wheel
from heartline.core.states import LinkState
from tests.core.server.world import Peer, World


def names(effects: list[Any]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def test_effects_keep_the_order_of_causes() -> None:
    world = World()
    one = world.peer()
    assert names(world.effects) == ["Judge", "HeadInbox", "SessionOpened", "Follow", "Read"]
    world.effects.clear()
    one.say(["sub", 1, "c"], ["sub", 2, "d"], ["unsub", 3, "c"])
    assert names(world.effects) == ["Authorise", "Authorise", "Follow", "Head"]
    assert world.effects[2].channel == "d"
    world.effects.clear()
    two = world.peer(welcome=False)
    two.resume(one)
    assert names(world.effects) == [
        "Judge", "CloseLink", "Unfollow", "Unfollow", "SessionDetached", "HeadInbox", "SessionOpened", "Follow", "Read",
    ]  # fmt: skip
    assert world.effects[6].resumed is True
    world.effects.clear()
    two.say(["bye", ""])
    assert names(world.effects) == ["CloseLink", "Unfollow", "SessionDetached", "ForgetSession"]
    assert two.closed == (4203, "bye")


def _stuck(kind: type) -> tuple[World, Peer]:
    """A link that waits for the answer to one kind of question."""
    before = World(durable=True)
    old = before.peer()
    world = World(
        durable=True,
        broker=before.broker,
        name="n2" if kind is do.Release else "n1",
        ids=map("fresh{}".format, itertools.count()).__next__,
    )
    world.hold = (kind,)
    one = world.peer(welcome=False)
    if kind in {do.Load, do.Release, do.Swap}:
        one.resume(old)
    else:
        one.hello()
    if kind in {do.Authorise, do.Head}:
        one.say(["sub", 1, "c"])
    elif kind is do.Save:
        one.say(["send", 1, "e", None])
        world.finish(1)
    return world, one


@pytest.mark.parametrize(
    "kind", [do.Judge, do.Authorise, do.Load, do.Release, do.Swap, do.Head, do.HeadInbox, do.Read, do.Save]
)
def test_late_answers_are_ignored(kind: type) -> None:
    world, one = _stuck(kind)
    assert len(world.held) == 1, names(world.held)
    one.lose()
    heard = list(one.heard)
    world.effects.clear()
    assert world.answer_held() == 1
    assert one.heard == heard
    assert one.link.state is LinkState.CLOSED
    assert world.node.links == {}
    assert set(names(world.effects)) <= {"Load"}  # an owner that let go: the record is looked at, for nobody
    assert world.node.tails == {}
    world.hold = ()
    again = world.peer()
    assert again.say(["ping", 1]) == [["pong", 1]]


def test_detached_sessions_are_bounded() -> None:
    world = World(limits=ServerLimits(detached_sessions=2, session_ttl=100.0))
    peers = [world.peer() for _ in range(3)]
    for at, peer in enumerate(peers, 1):
        world.now = float(at)
        peer.lose()
    assert list(world.node.detached) == ["id2", "id4"]
    assert [e.session.id for e in world.of(do.ForgetSession)] == ["id0"]
    assert world.node.next_deadline() is not None
    world.advance(101.9)
    assert list(world.node.detached) == ["id2", "id4"]
    world.advance(102.0)
    assert list(world.node.detached) == ["id4"]
    two = world.peer(welcome=False)
    assert two.resume(peers[2])[0][1]["resumed"] is True
    assert world.node.detached == {}
    world.advance(110.0)
    three = world.peer(welcome=False)
    assert three.resume(peers[1])[0][1]["resumed"] is False
    assert sorted(world.node.sessions) == ["id4", "id6"]


def test_saved_sessions_may_leave_memory() -> None:
    """With a broker that lasts nothing ends because memory is short: the record is there for whoever comes back."""
    world = World(durable=True, limits=ServerLimits(detached_sessions=2))
    busy, *idle = [world.peer() for _ in range(4)]
    busy.say(["call", 1, "e", 1])
    running = busy.session
    for at, peer in enumerate([busy, *idle], 1):
        world.now = float(at)
        peer.lose()
    assert world.of(do.ForgetSession) == []
    assert len(world.node.sessions) == 2
    assert running in world.node.sessions.values(), "what runs must stay"
    again = world.peer(welcome=False)
    assert again.resume(idle[0])[0][1]["resumed"] is True
    world.finish(1, reply="one")
    assert world.peer(welcome=False).resume(busy)[1] == ["reply", 1, "one"]


def test_sessions_per_user_are_bounded() -> None:
    world = World(limits=ServerLimits(sessions_per_user=2))
    one, two = world.peer(), world.peer()
    three = world.peer(welcome=False)
    three.hello()
    assert (three.kinds(), three.code) == (["refused"], 4205)
    one.lose()
    world.now = 1.0
    four = world.peer()
    assert sorted(world.node.sessions) == ["id2", "id4"]
    assert (two.code, four.code) == (None, None)
    five = world.peer(welcome=False)
    assert five.hello()[0][0] == "refused"


def test_lost_link_cancels_nothing() -> None:
    world = World()
    one = world.peer()
    one.say(["call", 1, "e", 1], ["call", 2, "e", 2])
    one.lose()
    assert list(world.running) == [1]
    world.finish(1, reply="one")
    assert list(world.running) == [2]
    world.finish(2, reply="two")
    two = world.peer(welcome=False)
    assert two.resume(one)[1:3] == [["reply", 1, "one"], ["reply", 2, "two"]]


class Sleeper(Sleeping):
    def __init__(self, name: str, *at: float) -> None:
        super().__init__()
        self.name = name
        self.at = list(at)
        self.woken: list[float] = []
        self.log: list[str] | None = None

    def next_deadline(self) -> float | None:
        return self.at[0] if self.at else None

    def wake(self, now: float) -> None:
        self.at.pop(0)
        self.woken.append(now)
        if self.log is not None:
            self.log.append(self.name)


def run(wheel: Wheel, to: float) -> None:
    while (at := wheel.next_deadline()) is not None and at <= to:
        wheel.turn(at)


@pytest.mark.pure  # as what follows: its sleepers extend a class that may be compiled
def test_wheel_wakes_within_a_slot() -> None:
    wheel = Wheel(0.5)
    sleepers = [Sleeper(str(at), at) for at in (0.0, 0.1, 0.49, 0.5, 7.3, 7.5)]
    for sleeper in sleepers:
        wheel.schedule(sleeper)
    wheel.turn(0.4)
    assert not any(s.woken for s in sleepers)
    run(wheel, 10.0)
    assert [s.woken for s in sleepers] == [[0.5], [0.5], [0.5], [1.0], [7.5], [8.0]]
    assert wheel.next_deadline() is None


@pytest.mark.pure
def test_a_deadline_that_moved_later_costs_nothing() -> None:
    wheel = Wheel(0.5)
    one = Sleeper("one", 1.0)
    wheel.schedule(one)
    one.at = [3.0]
    wheel.schedule(one)
    assert wheel.next_deadline() == 1.5
    wheel.turn(1.5)
    assert one.woken == []
    assert wheel.next_deadline() == 3.5
    one.at = [2.0]
    wheel.schedule(one)
    assert wheel.next_deadline() == 2.5
    run(wheel, 9.0)
    assert one.woken == [2.5]


@pytest.mark.pure
def test_wheel_forgets_nobody() -> None:
    wheel = Wheel(0.5)
    late, other = Sleeper("late", 5.0), Sleeper("other", 2.0, 9.0)

    class Meddler(Sleeper):
        def wake(self, now: float) -> None:
            super().wake(now)
            wheel.schedule(late)
            late.at = [1.0]
            wheel.schedule(late)

    meddler = Meddler("meddler", 0.2)
    for sleeper in (meddler, other):
        wheel.schedule(sleeper)
    run(wheel, 20.0)
    assert (meddler.woken, late.woken, other.woken) == ([0.5], [1.5], [2.5, 9.5])


@pytest.mark.pure
def test_wheel_keeps_order() -> None:
    wheel = Wheel(1.0)
    log: list[str] = []
    for name, at in [("c", 0.9), ("a", 0.1), ("b", 0.5)]:
        sleeper = Sleeper(name, at)
        sleeper.log = log
        wheel.schedule(sleeper)
    wheel.turn(1.0)
    assert log == ["c", "a", "b"]


@pytest.mark.pure
@given(
    deadlines=st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=3), max_size=12),
    later=st.lists(st.integers(0, 12), max_size=5),
    most=st.integers(1, 4),
)
def test_wheel_turned_in_parts_wakes_the_same(deadlines: list[list[int]], later: list[int], most: int) -> None:
    """Whatever else is scheduled between two parts; who has nothing due yet counts as well."""

    def turned(most: int | None) -> list[list[float]]:
        wheel = Wheel(2.0)
        sleepers = [Sleeper(str(number), *map(float, sorted(at))) for number, at in enumerate(deadlines)]
        for sleeper in sleepers:
            wheel.schedule(sleeper)
        fresh = [Sleeper(f"later {at}", float(at)) for at in later]
        for now in range(20):
            waiting = [sleeper for sleeper in fresh if sleeper.at and sleeper.at[0] >= now]
            if most is None:
                wheel.turn(now)
            else:
                for part in itertools.count():
                    before = sum(len(sleeper.woken) for sleeper in sleepers + fresh)
                    more = wheel.turn(now, most)
                    assert sum(len(sleeper.woken) for sleeper in sleepers + fresh) - before <= most
                    if not more:
                        break
                    for sleeper in waiting[part : part + 1]:
                        wheel.schedule(sleeper)
            for sleeper in waiting:
                wheel.schedule(sleeper)
        assert wheel.next_deadline() is None
        return [sleeper.woken for sleeper in sleepers + fresh]

    assert turned(most) == turned(None)


def present(**more: Any) -> World:
    """A world in which every channel has presence."""
    world = World(**more)
    world.allow = lambda _subscription: (None, "", True)
    return world


def who(peer: Peer) -> list[Any]:
    return [frame[3:5] for frame in peer.heard if frame[0] == "msg" and frame[1] == "@who/room"]


def test_one_join_for_many_sessions() -> None:
    world = present()
    watcher = world.peer()
    world.allow = lambda subscription: (None, "", not subscription.channel.startswith("@"))
    assert watcher.say(["sub", 1, "@who/room"]) == [["ok", 1, {"epoch": "E", "offset": 0, "state": []}]]
    one, two = world.peer(), world.peer()
    one.say(["sub", 1, "room"])
    two.say(["sub", 1, "room"])
    assert who(watcher) == [["join", {"who": "user"}]]
    assert watcher.say(["sub", 2, "@who/room"])[0][2]["state"] == ["user"]
    one.say(["unsub", 2, "room"])
    assert len(who(watcher)) == 1
    two.say(["bye", ""])
    assert who(watcher) == [["join", {"who": "user"}], ["leave", {"who": "user"}]]
    assert world.node.presence.members("room") == []


def test_quick_return_is_no_news() -> None:
    world = present(presence_grace=15.0, heartbeat=Heartbeat(1000.0, 10.0))
    watcher = world.peer()
    watcher.say(["sub", 1, "@who/room"])
    one = world.peer()
    one.say(["sub", 1, "room"])
    one.lose()
    world.advance(14.0)
    two = world.peer(welcome=False)
    two.resume(one, cursors=[[1, "room", ["E", 0]]])
    world.advance(100.0)
    assert who(watcher) == [["join", {"who": "user"}]]
    two.lose()
    world.advance(114.9)
    assert len(who(watcher)) == 1
    world.advance(115.0)
    assert who(watcher)[1:] == [["leave", {"who": "user"}]]


def test_a_server_asks_its_clients_to_move() -> None:
    world = World()
    one, fresh = world.peer(), world.peer(welcome=False)
    world.node.drain_links(1.0, 30.0)
    world.turn()
    assert one.take() == [["move", {"after": 1.0, "spread": 30.0}]]
    assert fresh.heard == []
    world.node.close_links(4002, "moved")
    world.turn()
    assert (one.code, fresh.code) == (4002, 4002)
    assert list(world.node.detached) == ["id0"]


def test_sessions_take_turns_of_a_window() -> None:
    world = World()
    peers = [world.peer() for _ in range(3)]
    for peer in peers:
        for n in range(1, 2 * QUANTUM + 1 + peers.index(peer)):
            world.node.received(peer.link, b'["send",%d,"e",null]' % n, world.now)
    order: list[int] = []
    owners = [peer.session for peer in peers]
    while (message := world.node.next_start(world.now)) is not None:
        order.append(owners.index(message.session))
        world.node.finished(message, None, world.now)
    assert order == [*[0] * QUANTUM, *[1] * QUANTUM, *[2] * QUANTUM] * 2 + [1, 2, 2]


def test_a_session_whose_handler_waits_gives_its_turn_away() -> None:
    world = World()
    peers = [world.peer() for _ in range(2)]
    for peer in peers:
        for n in (1, 2):
            world.node.received(peer.link, b'["send",%d,"e",null]' % n, world.now)
    first, second = world.node.next_start(world.now), world.node.next_start(world.now)
    assert first is not None
    assert second is not None
    assert [first.session, second.session] == [peer.session for peer in peers]
    assert world.node.next_start(world.now) is None
    world.node.finished(first, None, world.now)
    third = world.node.next_start(world.now)
    assert third is not None
    assert third.session is first.session
