"""Every state times every input: nothing but the moves of the tables, and never another error than a close."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from heartline.core.policy import ServerLimits
from heartline.core.server import effects as do
from heartline.core.server.feed import Subscription
from heartline.core.server.flow import FLOW_MOVES, Flow
from heartline.core.states import LINK_MOVES, LinkState, check_move
from tests.core.server.world import Peer, World

FRAMES: list[list[Any]] = [
    ["hello", {"instance": "i", "floor": 1}],
    ["hello", {"instance": "i", "floor": 1, "session": "x", "key": "y"}],
    ["login", None],
    ["call", 1, "e", None],
    ["send", 1, "e", None],
    ["pub", 1, "c", "e", None],
    ["settled", 2],
    ["sub", 1, "c"],
    ["sub", 2, "c", ["E", 0]],
    ["unsub", 3, "c"],
    ["at", "c", 1],
    ["ping", 1],
    ["pong", 1],
    ["bye", ""],
    ["rubbish"],
]
HELD = {LinkState.JUDGING: do.Judge, LinkState.RESUMING: do.HeadInbox}
NEXT = {  # where a frame leads from each state; what is not named here stays
    LinkState.FRESH: {
        "hello": LinkState.LIVE, "login": LinkState.LIVE, "call": LinkState.LIVE, "send": LinkState.LIVE,
        "pub": LinkState.LIVE, "settled": LinkState.LIVE, "sub": LinkState.LIVE, "unsub": LinkState.LIVE,
        "at": LinkState.LIVE, "bye": LinkState.CLOSED, "rubbish": LinkState.CLOSED,
    },
    LinkState.JUDGING: {
        kind: LinkState.CLOSED for kind in (frame[0] for frame in FRAMES) if kind not in {"ping", "pong"}
    },
    LinkState.RESUMING: {
        kind: LinkState.CLOSED for kind in (frame[0] for frame in FRAMES) if kind not in {"ping", "pong"}
    },
    LinkState.LIVE: {"hello": LinkState.CLOSED, "bye": LinkState.CLOSED, "rubbish": LinkState.CLOSED},
    LinkState.CLOSED: {},
}  # fmt: skip


def in_state(state: LinkState) -> tuple[World, Peer]:
    world = World()
    one = world.peer(welcome=False)
    if state in HELD:
        world.hold = (HELD[state],)
    if state is not LinkState.FRESH:
        one.hello()
    if state is LinkState.CLOSED:
        one.lose()
    assert one.link.state is state
    return world, one


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: json.dumps(frame)[:24])
@pytest.mark.parametrize("state", LinkState)
def test_every_frame_in_every_state(state: LinkState, frame: list[Any]) -> None:
    world, one = in_state(state)
    one.say(frame)
    expected = NEXT[state].get(frame[0], state)
    assert one.link.state is expected
    if state is LinkState.CLOSED:
        assert one.new == []
    elif expected is LinkState.CLOSED:
        assert one.code == (4203 if frame[0] == "bye" else 4200)
    world.hold = ()
    world.answer_held()


INPUTS: dict[str, Callable[[World, Peer], None]] = {
    "lost": lambda world, one: world.node.lost(one.link, world.now),
    "alive": lambda world, one: world.node.alive(one.link, world.now),
    "tick": lambda world, one: world.node.tick(1000.0),
    "close": lambda world, one: one.link.close(4002, "moved"),
    "refuse": lambda world, one: one.link.refuse("no", "", False, 4201),
    "flush": lambda world, one: world.node.flush(world.now),
    "drain": lambda world, one: world.node.drain_links(0.0, 1.0),
    "congested": lambda world, one: setattr(one.link, "congested", True),
}
ENDS = {"lost", "tick", "close", "refuse"}


@pytest.mark.parametrize("what", INPUTS)
@pytest.mark.parametrize("state", LinkState)
def test_every_input_in_every_state(state: LinkState, what: str) -> None:
    world, one = in_state(state)
    INPUTS[what](world, one)
    world.turn()
    if what == "tick" and state is LinkState.LIVE:  # the heartbeat asks before it ends a link
        assert (one.link.state, one.heard[-1]) == (LinkState.LIVE, ["ping", 1])
        return
    assert one.link.state is (LinkState.CLOSED if what in ENDS else state)
    world.hold = ()
    world.answer_held()
    assert (one.link in world.node.links) is (one.link.state is not LinkState.CLOSED)


@pytest.mark.parametrize("old", LinkState)
@pytest.mark.parametrize("new", LinkState)
def test_a_link_makes_only_legal_moves(old: LinkState, new: LinkState) -> None:
    _, one = in_state(old)
    if new in LINK_MOVES[old]:
        one.link.go(new)
        assert one.link.state is new
    else:
        with pytest.raises(AssertionError, match=f"illegal move: {old.value} → {new.value}"):
            one.link.go(new)
        assert one.link.state is old


@pytest.mark.parametrize("old", Flow)
@pytest.mark.parametrize("new", Flow)
def test_illegal_moves_raise(old: Flow, new: Flow) -> None:
    subscription = Subscription(World().peer().link.feed, 1, "c", None)
    subscription.flow = old
    if new in FLOW_MOVES[old]:
        check_move(FLOW_MOVES, old, new)
        subscription.go(new)
        assert subscription.flow is new
    else:
        with pytest.raises(AssertionError, match=f"illegal move: {old.value} → {new.value}"):
            subscription.go(new)
        assert subscription.flow is old


def flowing(state: Flow) -> tuple[World, Peer, Subscription]:
    """A subscription of `c`, where five entries are, in a state."""
    slow = state in {Flow.BEHIND, Flow.READING}
    world = World(limits=ServerLimits(credit=2) if slow else None)
    world.publish("c", *range(1, 6))
    one = world.peer()
    held = {Flow.ASKING: do.Authorise, Flow.HEADING: do.Read}.get(state)
    world.hold = (held,) if held is not None else ()
    one.say(["sub", 1, "c", ["E", 0]])
    subscription = one.link.feed.by_channel["c"]
    if state is Flow.READING:
        world.hold = (do.Read,)
        one.say(["at", "c", 2])
    elif state is Flow.ENDED:
        one.link.feed.end("c")
    assert subscription.flow is state
    return world, one, subscription


@pytest.mark.parametrize(
    "what", ["headed", "read", "authorised", "refused", "at", "publish", "revoke", "sub", "unsub", "lost"]
)
@pytest.mark.parametrize("state", Flow)
def test_every_input_in_every_flow(state: Flow, what: str) -> None:
    world, one, subscription = flowing(state)
    node = world.node
    match what:
        case "headed":
            node.headed(subscription, "E", 5, 0.0)
        case "read":
            node.read(subscription, world.broker.read("c", subscription.sent, 64, 1000), 0.0)
        case "authorised":
            node.authorised(subscription, None)
        case "refused":
            node.authorised(subscription, "forbidden")
        case "at":
            one.say(["at", "c", 3])
        case "publish":
            world.publish("c", 6)
        case "revoke":
            node.revoke(one.session, "c", "forbidden", "")
        case "sub":
            one.say(["sub", 2, "c", ["E", 0]])
        case "unsub":
            one.say(["unsub", 2, "c"])
        case "lost":
            one.lose()
    world.turn()
    ended = state is Flow.ENDED or what in {"refused", "revoke", "sub", "unsub", "lost"}
    assert (subscription.flow is Flow.ENDED) is ended
    world.hold = ()
    world.answer_held()
    if what not in {"lost", "refused", "revoke", "unsub"} and state is not Flow.ENDED:
        current = one.link.feed.by_channel["c"]
        assert [n for n in one.offsets("c") if n > 0] != [] or what == "headed"
        assert current.flow in {Flow.LIVE, Flow.BEHIND}
    assert one.link.feed.in_flight == sum(s.flight for s in one.link.feed.by_channel.values())
