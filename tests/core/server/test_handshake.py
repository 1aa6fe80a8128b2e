"""Links and their handshakes: who may come in, who owns a session, what rubbish costs (PROTOCOL 2)."""

import itertools

import msgspec
import pytest

from heartline.core.policy import ServerLimits
from heartline.core.server import effects as do
from heartline.core.server.verdicts import Accepted, RefusedLogin
from heartline.core.states import LinkState
from tests.core.server.world import Peer, World

RUBBISH = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'["',
    b"\xff\xfe",
    b'["nonsense"]',
    b'["welcome",{}]',
    b'["call"]',
    b'["call",1,"e"]',
    b'["call",0,"e",1]',
    b'["call","1","e",1]',
    b'["call",9007199254740992,"e",1]',
    b'["call",300,"e",1]',
    b'["pub",1,"@x","e",1]',
    b'["pub",1,"c","@e",1]',
    b'["sub",0,"c"]',
    b'["sub",1,""]',
    b'["at","c",-1]',
    b'["settled",0]',
    b'["ping",1.5]',
    b'["hello",{"instance":"i","floor":1}]',
    b"[" * 5000,
]


@pytest.mark.parametrize("early", [["call", 1, "e", 1], ["send", 1, "e", 1], ["pub", 1, "c", "e", 1], ["settled", 1]])
@pytest.mark.parametrize("held", [do.Judge, do.HeadInbox])
def test_nothing_numbered_before_welcome(early: list[object], held: type) -> None:
    world = World()
    world.hold = (held,)
    one = world.peer(welcome=False)
    assert one.hello() == []
    assert one.say(["ping", 7]) == [["pong", 7]]
    one.say(early)
    assert one.closed == (4200, "nothing but ping, pong and bye before welcome")
    world.answer_held()
    assert one.heard == [["pong", 7]]
    assert world.started == []


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_rubbish_closes_one_link(rubbish: bytes) -> None:
    world = World()
    one, other = world.peer(), world.peer()
    one.say_text(rubbish)
    assert one.closed is not None
    code, reason = one.closed
    assert code == 4200
    assert 1 <= len(reason.encode()) <= 120
    one.say(["call", 1, "e", 1])
    assert world.started == []
    other.say(["call", 1, "e", 1])
    world.finish(1, reply=2)
    assert other.heard[-1] == ["reply", 1, 2]
    again = world.peer(welcome=False)
    assert again.resume(one)[0][1]["resumed"] is True


def test_old_link_is_fenced() -> None:
    for instance, code in (("i", 4001), ("another", 4202)):
        world = World()
        one = world.peer()
        one.say(["sub", 1, "c"], ["call", 1, "e", 1])
        world.hold = (do.HeadInbox,)
        two = world.peer(welcome=False)
        two.resume(one, instance)
        assert one.closed == (code, "a newer link owns this session")
        assert two.heard == []
        before = list(one.heard)
        one.say(["call", 2, "e", 1])
        world.publish("c", 1)
        world.finish(1, reply=1)
        assert [m.n for m in world.started] == [1]
        assert one.heard == before
        world.answer_held()
        assert [frame[0] for frame in two.heard] == ["welcome", "reply"]
        assert two.session.generation == 2


def test_handshake_has_a_time_limit() -> None:
    for held in (do.Judge, do.HeadInbox):
        world = World(limits=ServerLimits(hello_timeout=10.0))
        world.hold = (held,)
        silent, half, fresh = world.peer(welcome=False), world.peer(welcome=False), world.peer(welcome=False)
        half.hello()
        fresh.say(["ping", 1])
        world.advance(10.0)
        assert (silent.code, half.code, fresh.code) == (None, None, None)
        world.advance(10.5)
        assert [p.closed for p in (silent, half, fresh)] == [(4003, "no end of the handshake in time")] * 3
        world.answer_held()
        assert half.heard == []
        assert world.node.links == {}


def test_wrong_key_is_refused() -> None:
    world = World()
    one = world.peer()
    for key in ("0", "id", "id1x", "ID1", "é"):
        thief = world.peer(welcome=False)
        thief.hello(session="id0", key=key)
        assert thief.heard == [
            ["refused", {"code": "not_your_session", "message": "wrong key, or another identity", "retry": False}]
        ]
        assert thief.code == 4204
    assert one.code is None
    assert one.say(["ping", 1]) == [["pong", 1]]


def test_another_identity_is_refused() -> None:
    for durable in (False, True):
        world = World(durable=durable)
        one = world.peer()
        one.lose()
        world.verdict = lambda _login: Accepted("somebody else")
        two = world.peer(welcome=False)
        two.resume(one)
        assert (two.kinds(), two.code) == (["refused"], 4204)
        if durable:  # the same from the record alone
            after = World(durable=True, broker=world.broker, name="n1", ids=lambda: "fresh")
            after.verdict = world.verdict
            three = after.peer(welcome=False)
            three.resume(one)
            assert (three.kinds(), three.code) == (["refused"], 4204)


def test_session_and_key_come_together() -> None:
    world = World()
    for half in ({"session": "id0"}, {"key": "id1"}):
        one = world.peer(welcome=False)
        one.say(["hello", {"instance": "i", "floor": 1, **half}])
        assert one.closed == (4200, "session and key come together or not at all")


def test_lost_swap_looks_again() -> None:
    ids = (f"id{n}" for n in itertools.count())
    first = World(durable=True, ids=lambda: next(ids))
    one = first.peer()
    one.say(["call", 1, "e", 1])
    first.finish(1, reply="one")
    second = World(durable=True, broker=first.broker, name="n1", ids=lambda: next(ids))
    second.hold = (do.Swap,)
    two = second.peer(welcome=False)
    for attempt in range(2):
        two.resume(one) if not attempt else None
        [swap] = second.held
        second.held.clear()
        assert (swap.expected, swap.record.generation) == (1, 2)
        second.node.swapped(swap.link, False, second.now)
        second.turn()
        assert two.heard == []
        assert second.node.sessions.get("id0") is not None  # claimed again, after another look
        assert len(second.of(do.Load)) == attempt + 2
    [swap] = second.held
    second.held.clear()
    second.node.swapped(swap.link, False, second.now)
    second.turn()
    assert two.heard == [["refused", {"code": "busy", "message": "the session could not be taken over", "retry": 1.0}]]
    assert two.code == 4006
    assert second.node.sessions == {}
    second.hold = ()
    three = second.peer(welcome=False)
    assert three.resume(one)[:2] == [three.heard[0], ["reply", 1, "one"]]
    assert three.heard[0][1]["resumed"] is True


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_later_claim_wins(order: tuple[int, int]) -> None:
    world = World()
    one = world.peer()
    one.lose()
    world.hold = (do.HeadInbox,)
    two, three = world.peer(welcome=False), world.peer(welcome=False)
    two.resume(one, "j")
    three.resume(one, "k")
    held, world.held = world.held, []
    assert [effect.link for effect in held] == [two.link, three.link]
    world.hold = ()
    for i in order:
        world.answer(held[i])
        world.turn()
    assert (two.code, two.kinds()) == (4202, [])
    assert (three.code, three.kinds()) == (None, ["welcome"])
    assert three.session.generation == 3
    assert three.say(["ping", 1]) == [["pong", 1]]


def test_claims_are_decided_one_by_one() -> None:
    world = World(durable=True)
    one = world.peer()
    one.lose()
    world.hold = (do.Swap,)
    two, three = world.peer(welcome=False), world.peer(welcome=False)
    two.resume(one, "j")
    three.resume(one, "k")
    assert [effect.link for effect in world.held] == [two.link]  # three waits for what becomes of two
    world.hold = ()
    world.answer_held()
    assert (two.code, two.kinds()) == (4202, [])
    assert (three.code, three.kinds()) == (None, ["welcome"])
    assert three.session.generation == 3


def test_a_claim_behind_a_lost_one_asks_the_new_owner() -> None:
    """Generations are numbers, and that of another node's claim is the one we would have expected of our own."""
    world = World(durable=True)
    one = world.peer()
    record = world.broker.load(one.session.id)
    assert record is not None
    one.lose()
    world.hold = (do.Swap,)
    two, three = world.peer(welcome=False), world.peer(welcome=False)
    two.resume(one, "j")
    three.resume(one, "k")
    world.hold = (do.Release,)
    taken = msgspec.structs.replace(record, generation=record.generation + 1, owner="n2")
    assert world.broker.swap(taken, record.generation)
    world.answer_held()
    assert [(effect.link, effect.owner) for effect in world.held] == [(two.link, "n2"), (three.link, "n2")]
    assert world.node.sessions == {}


def test_a_leaving_session_gets_no_link() -> None:
    """Another node asks for the session while a link of ours waits for the inbox."""
    world = World(durable=True)
    one = world.peer()
    one.lose()
    world.hold = (do.HeadInbox, do.Save)
    two = world.peer(welcome=False)
    two.resume(one)
    world.node.release(one.heard[0][1]["session"], world.now)
    world.turn()
    world.answer_held(do.HeadInbox)
    assert (two.kinds(), two.code) == (["refused"], 4006)
    world.hold = ()
    world.answer_held()
    assert len(world.of(do.Released)) == 1
    assert world.node.sessions == {}


def test_a_floor_that_fell_starts_anew() -> None:
    world = World()
    one = world.peer()
    one.say(["settled", 5])
    one.lose()
    two = world.peer(welcome=False)
    [welcome] = two.resume(one, floor=4)
    assert (welcome[1]["resumed"], welcome[1]["session"], welcome[1]["received"]) == (False, "id2", 0)
    three = world.peer(welcome=False)
    assert three.resume(one, floor=5)[0][1]["resumed"] is True
    four = World(durable=True, broker=world.broker, ids=lambda: "other").peer(welcome=False)
    assert four.hello(session="nobody", key="k")[0][1]["resumed"] is False


@pytest.mark.parametrize(("retry", "code"), [(False, 4201), (3.5, 4006), (0.0, 4006)])
def test_a_login_is_refused_for_good_or_for_now(retry: float | bool, code: int) -> None:
    world = World()
    world.verdict = lambda login: Accepted(login) if login == "good" else RefusedLogin("no", "not you", retry)
    one = world.peer(welcome=False)
    assert one.hello(login="bad") == [["refused", {"code": "no", "message": "not you", "retry": retry}]]
    assert one.closed == (code, "no")
    assert world.node.sessions == {}
    assert world.node.links == {}
    assert world.peer(login="good").session.identity == "good"


def test_credentials_expire_on_a_live_link() -> None:
    world = World()
    world.verdict = lambda login: Accepted("user", login, 100.0)
    one = world.peer(login="first")
    for at in (20.0, 40.0, 60.0, 69.0):
        world.advance(at)
        one.say(["ping", 1])
    assert "expiring" not in one.kinds()
    world.advance(71.0)
    [expiring] = [frame for frame in one.heard if frame[0] == "expiring"]
    assert 29.0 <= expiring[1]["in"] <= 30.0
    world.verdict = lambda _login: RefusedLogin("stale", "an old password", False)
    assert one.say(["login", "bad"]) == [["refused", {"code": "stale", "message": "an old password", "retry": False}]]
    world.verdict = lambda _login: Accepted("other")
    assert one.say(["login", "else"])[0][1]["code"] == "not_your_session"
    assert one.code is None
    world.verdict = lambda login: Accepted("user", login, 50.0)
    assert one.say(["login", "second"]) == [["ok", 0, {"expires_in": 50.0}]]
    assert one.session.user == "second"
    one.take()
    for at in (90.0, 110.0, 120.0):
        world.advance(at)
        one.say(["ping", 1])
    assert one.code is None
    world.advance(122.0)
    assert one.closed == (4100, "the credentials ran out")
    assert world.node.detached != {}


def test_short_lived_credentials_are_renewed_after_half_their_time() -> None:
    world = World()
    world.verdict = lambda login: Accepted("user", None, 10.0)
    one = world.peer()
    world.advance(4.9)
    assert one.heard[-1][0] == "welcome"
    world.advance(5.5)
    assert one.heard[-1] == ["expiring", {"in": 4.5}]
    world.advance(10.5)
    assert one.code == 4100


def test_an_anonymous_session_is_not_resumed() -> None:
    world = World()
    one = Peer(world)
    one.say(["call", 1, "e", 1])
    world.finish(1, reply=2)
    assert one.heard[-1] == ["reply", 1, 2]
    session = one.session
    assert (session.id, session.anonymous) == ("id0", True)
    thief = world.peer(welcome=False)
    assert thief.hello(session="id0", key="x")[0][1]["resumed"] is False
    one.lose()
    assert session.id not in world.node.sessions


def test_a_server_may_demand_hello() -> None:
    world = World(anonymous=False)
    one = Peer(world)
    one.say(["call", 1, "e", 1])
    assert one.heard == [["refused", {"code": "login_required", "message": "say hello first", "retry": False}]]
    assert one.code == 4201
    assert world.started == []


def test_silent_peer_is_left_and_its_session_kept() -> None:
    world = World()
    one = world.peer()
    world.advance(25.4)
    assert one.take() == []
    world.advance(25.5)
    assert one.take() == [["ping", 1]]
    world.advance(35.9)
    assert one.code is None
    world.advance(36.0)
    assert one.closed == (4000, "nothing was heard from the client")
    assert list(world.node.detached) == ["id0"]


def test_too_many_frames_close_one_link() -> None:
    world = World(limits=ServerLimits(frames=10.0))
    one, other = world.peer(), world.peer()
    one.say(*[["ping", n] for n in range(20)])
    assert one.closed == (4005, "too many frames a second")
    for second in range(1, 5):
        world.advance(second * 1.1)
        other.say(*[["ping", n] for n in range(8)])
    assert other.code is None


def test_a_wish_for_a_heartbeat_is_bounded() -> None:
    world = World()
    for wish, agreed in [((1, 1), (5, 2)), ((30, 12), (30, 12)), ((1000, 1000), (60, 30))]:
        one = world.peer(welcome=False)
        [welcome] = one.hello(heartbeat={"interval": wish[0], "timeout": wish[1]})
        assert welcome[1]["heartbeat"] == {"interval": agreed[0], "timeout": agreed[1]}
        assert one.link.state is LinkState.LIVE
