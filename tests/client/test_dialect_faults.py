"""What existing clients of five small systems get wrong, each fault of each system by name. Ours must not."""

import asyncio
import json
from typing import Any

import pytest

import heartline
from heartline import BackOff, ClientPolicy, Entry, State, StateChange
from heartline.dialects import Reconnect
from heartline.transports.clock import now

from .conftest import Run
from .feeds import Card, Community, Echo, Heart, Peer, Trades, quick
from .world import until, until_state


async def accept_and_drop(peer: Peer) -> None:
    peer.drop()


# Heart: text ping and pong


def test_heart_the_attempt_counter_resets(run: Run) -> None:
    """More outages than attempts, each after a good link: nobody gives up."""

    async def main() -> None:
        feed = Heart()
        async with feed.serving(), feed.connect(quick("heart", 0.02, attempts=2), on={"message": print}) as conn:
            for count in range(1, 7):
                await feed.until_links(count)
                await feed.last.say("progress")
                await until(lambda: "ping" in feed.last.heard)
                feed.last.drop()
            await conn.connected(5)

    run(main())


def test_heart_gives_up_says_so_and_can_be_revived(run: Run) -> None:
    async def main() -> None:
        feed = Heart()
        feed.greet = accept_and_drop
        changes: list[StateChange] = []
        async with feed.serving(), feed.connect(quick("heart", attempts=12)) as conn:
            conn.on_state(changes.append)
            await until_state(conn, State.GAVE_UP)
            assert len(feed.links) == 12
            assert "attempt 12 of 12" in changes[-1].reason
            with pytest.raises(heartline.GaveUp):
                await conn.connected(5)
            feed.greet = None
            conn.retry_now()
            await conn.connected(5)

    run(main())


def test_heart_other_traffic_is_life(run: Run) -> None:
    async def main() -> None:
        feed = Heart()
        feed.pongs = False
        async with feed.serving(), feed.connect(quick("heart", 0.3, 0.9)) as conn:
            await conn.connected(5)
            for _ in range(40):
                await feed.last.say("tick")
                await asyncio.sleep(0.05)
            assert len(feed.links) == 1
            assert "ping" in feed.last.heard
            await feed.until_links(2)  # silence is none

    run(main())


def test_heart_timers_end_with_the_connection(run: Run) -> None:
    """Entering the page twice is two connections; leaving it ends everything."""

    async def main() -> None:
        feed = Heart()
        async with feed.serving():
            for _ in range(2):
                async with feed.connect(quick("heart", 0.02)) as conn:
                    await until(lambda: len(feed.everything) >= 2)
            assert conn._shell._wake is None
            said, links = len(feed.everything), len(feed.links)
            await asyncio.sleep(0.2)
            assert (len(feed.everything), len(feed.links), conn._shell.links) == (said, links, {})

    run(main())


def test_heart_is_connected_only_when_it_is(run: Run) -> None:
    async def main() -> None:
        feed = Heart()
        async with feed.through_faults() as proxy:
            proxy.hang_dials()
            async with feed.connect(quick("heart")) as conn:
                await proxy.until(lambda stats: stats.hung >= 1)
                assert conn.state is State.DIALLING
                proxy.hang_dials(False)
                proxy.cut_all()
                await conn.connected(5)
                assert len(feed.links) == 1

    run(main())


def test_heart_beats_an_interval_after_each_answer(run: Run) -> None:
    async def main() -> None:
        feed = Heart()
        async with feed.serving(), feed.connect(quick("heart", 0.2)) as conn:
            await conn.connected(5)
            began = now()
            await until(lambda: feed.everything.count("ping") == 3)
            assert now() - began > 0.55

    run(main())


# Card: identity, then binding

CARD = {"cardId": 1, "BusinessID": 2, "phone": "5", "memberId": 4, "BusinessName": "n", "baseId": 6}
FIELDS = ["type", "cardId", "BusinessID", "phone", "memberId", "BusinessName", "baseId"]


def test_card_identity_and_binding_are_repeated_and_bind_once(run: Run) -> None:
    async def main() -> None:
        feed = Card()
        async with feed.serving(), feed.connect(quick("card"), login={"userId": "u1"}) as conn:
            conn.subscribe("card", args=dict(reversed(CARD.items())), callback=print)
            for count in (1, 2, 3):
                await until(lambda count=count: len(feed.links) == count and len(feed.last.without(Card.BEAT)) == 2)
                identity, binding = feed.last.without(Card.BEAT)
                assert identity == {"userId": "u1"}
                assert list(binding) == FIELDS
                feed.last.drop()
            assert list(feed.bound) == [1]

    run(main())


def test_card_a_half_open_link_is_noticed(run: Run) -> None:
    """Nothing answers the beat: RFC 6455 pings find it."""

    async def main() -> None:
        feed = Card()
        async with (
            feed.through_faults() as proxy,
            feed.connect(quick("card", 0.2, 0.2), login={"userId": "u1"}) as conn,
        ):
            await conn.connected(5)
            proxy.freeze(link=proxy.links[0])
            await feed.until_links(2)
            await conn.connected(5)

    run(main())


def test_card_a_reconnect_adds_no_beat_loop(run: Run) -> None:
    async def main() -> None:
        feed = Card()
        async with feed.serving(), feed.connect(quick("card", 0.1), login={"userId": "u1"}) as conn:
            for count in range(1, 6):
                await feed.until_links(count)
                await until(lambda: Card.BEAT in feed.last.heard)
                if count < 5:
                    feed.last.drop()
            await conn.connected(5)
            began, before = now(), feed.last.heard.count(Card.BEAT)
            await asyncio.sleep(0.55)
            beats = feed.last.heard.count(Card.BEAT) - before
            assert 1 <= beats <= (now() - began) / 0.1 + 1

    run(main())


def test_card_a_first_connection_that_fails_is_tried_again(run: Run) -> None:
    async def main() -> None:
        feed = Card()
        async with feed.through_faults() as proxy:
            proxy.refuse()
            async with feed.connect(quick("card"), login={"userId": "u1"}) as conn:
                await proxy.until(lambda stats: stats.dials >= 3)
                proxy.refuse(False)
                await conn.connected(5)

    run(main())


def test_card_closing_on_a_dead_link_ends_everything(run: Run) -> None:
    async def main() -> None:
        feed = Card()
        async with feed.through_faults() as proxy:
            conn = feed.connect(quick("card"), login={"userId": "u1"})
            await conn.start()
            await conn.connected(5)
            proxy.freeze()
            began = now()
            await conn.close()
            assert now() - began < 5
            dials = proxy.stats.dials
            await asyncio.sleep(0.2)
            assert proxy.stats.dials == dials

    run(main())


def test_card_input_that_is_no_json_harms_nobody(run: Run) -> None:
    async def main() -> None:
        feed, heard = Card(), asyncio.Queue[Any]()
        async with (
            feed.serving(),
            feed.connect(quick("card"), login={"userId": "u1"}, on={"notice": heard.put_nowait}) as conn,
        ):
            await conn.connected(5)
            for rubbish in ("", "<html>", "null", '"x"', "[1", b"\x00\xff"):
                await feed.last.say(rubbish)
            await feed.last.say({"msgType": "notice", "n": 1})
            assert await asyncio.wait_for(heard.get(), 5) == {"msgType": "notice", "n": 1}
            assert len(feed.links) == 1

    run(main())


def test_card_a_refused_identity_is_told(run: Run) -> None:
    async def main() -> None:
        feed = Card()
        async with feed.serving(), feed.connect(quick("card"), login={"userId": "other"}) as conn:
            with pytest.raises(heartline.LoginRefused, match="403"):
                await conn.connected(5)
            assert conn.state is State.REFUSED
            assert len(feed.links) == 1

    run(main())


# Echo: an envelope, echoed


def test_echo_closing_never_reconnects(run: Run) -> None:
    async def main() -> None:
        feed = Echo()
        async with feed.serving():
            async with feed.connect(quick("echo")) as conn:
                await conn.connected(5)
            assert conn.state is State.CLOSED
            await asyncio.sleep(0.2)
            assert len(feed.links) == 1
            assert feed.closed == [(0, 1000)]

    run(main())


def test_echo_a_half_open_link_is_replaced_at_once(run: Run) -> None:
    """Within interval + timeout and the back-off, not after a closing time-out."""

    async def main() -> None:
        feed = Echo()
        async with feed.through_faults() as proxy, feed.connect(quick("echo", 0.3, 0.3)) as conn:
            await conn.connected(5)
            proxy.freeze(link=proxy.links[0])
            began = now()
            await feed.until_links(2)
            assert now() - began < 3

    run(main())


def test_echo_what_is_sent_while_a_link_is_dead_is_not_dropped(run: Run) -> None:
    async def main() -> None:
        feed, heard = Echo(), []
        async with (
            feed.through_faults() as proxy,
            feed.connect(quick("echo", 0.2, 0.2), on={"message": heard.append}) as conn,
        ):
            await conn.connected(5)
            proxy.freeze(link=proxy.links[0])
            receipts = [conn.send_nowait("message", n, delivery="at_least_once") for n in range(50)]
            for receipt in receipts:
                await receipt
            await until(lambda: heard == list(range(50)))

    run(main())


def test_echo_slow_answers_kill_no_live_link(run: Run) -> None:
    """Answers that take longer than the timeout, while others come."""

    async def main() -> None:
        feed = Echo()
        async with feed.serving(), feed.connect(quick("echo", 0.5, 1.0)) as conn:
            await conn.connected(5)
            feed.echoes = False
            for _ in range(40):
                await feed.last.say({"ModeCode": "heart_beat", "msg": 1})
                await asyncio.sleep(0.05)
            assert len(feed.links) == 1

    run(main())


def test_echo_connect_while_a_reconnect_waits_connects_once(run: Run) -> None:
    async def main() -> None:
        feed = Echo()
        policy = ClientPolicy(back_off=BackOff(base=60.0, cap=60.0, least=1.0))
        async with feed.serving(), feed.connect(quick("echo"), policy=policy) as conn:
            await conn.connected(5)
            feed.last.drop()
            await until_state(conn, State.WAITING)
            for _ in range(5):
                conn.retry_now()
            await conn.connected(5)
            await asyncio.sleep(0.1)
            assert len(feed.links) == 2

    run(main())


# Trades: positions, while somebody holds them


def trades(**reconnect: Any) -> Any:
    return quick("trades", **reconnect)


def test_trades_data_arrives_after_an_automatic_reconnect(run: Run) -> None:
    async def main() -> None:
        feed, heard = Trades(), asyncio.Queue[Any]()
        async with feed.serving(), feed.connect(trades(), on={"getPositonsOrder": heard.put_nowait}) as conn:
            conn.subscribe("positions", args={"type": "sub"}, callback=lambda item: None)
            for count in (1, 2, 3):
                await feed.until_links(count)
                assert await asyncio.wait_for(heard.get(), 5) == Trades.positions
                feed.last.drop()

    run(main())


def test_trades_one_push_is_delivered_once(run: Run) -> None:
    async def main() -> None:
        feed, heard = Trades(), []
        async with feed.serving(), feed.connect(trades(), on={"getPositonsOrder": heard.append}) as conn:
            positions = conn.subscribe("positions", args={"type": "sub"})
            assert isinstance(await anext(positions), Entry)
            for _ in range(2):
                feed.last.drop()
                await anext(positions)  # the gap
                await anext(positions)
            await feed.last.say({"Code": 200, "data": [{"id": "last"}]})
            entry = await anext(positions)
            assert isinstance(entry, Entry)
            assert entry.data["data"] == [{"id": "last"}]
            await until(lambda: len(heard) == 4)
            await feed.last.say({"Code": 200, "data": None})
            await feed.last.say({"Code": 200})
            await feed.last.say({"Code": 200, "data": [9]})
            await until(lambda: heard[-1] == {"Code": 200, "data": [9]})
            assert len(heard) == 5

    run(main())


@pytest.mark.parametrize("when", ["dialling", "waiting"])
def test_trades_a_close_while_connecting_or_waiting_counts(run: Run, when: str) -> None:
    async def main() -> None:
        feed = Trades()
        async with feed.through_faults() as proxy:
            proxy.hang_dials() if when == "dialling" else proxy.refuse()
            conn = feed.connect(trades(delay=5.0, cap=5.0))
            await conn.start()
            await until_state(conn, State.DIALLING if when == "dialling" else State.WAITING)
            await proxy.until(lambda stats: stats.dials == 1)
            await conn.close()
            proxy.hang_dials(False)
            proxy.refuse(False)
            await asyncio.sleep(0.2)
            assert (conn.state, len(feed.links), proxy.stats.dials) == (State.CLOSED, 0, 1)

    run(main())


def test_trades_hanging_attempts_do_not_stack_up(run: Run) -> None:
    async def main() -> None:
        feed = Trades()
        policy = ClientPolicy(connect_timeout=0.1, back_off=BackOff(0.01, 0.05))
        async with feed.through_faults() as proxy:
            proxy.hang_dials()
            async with feed.connect(trades(), policy=policy) as conn:
                await proxy.until(lambda stats: stats.dials >= 4)
                assert len(conn._shell.links) <= 1
                proxy.hang_dials(False)
                await conn.connected(5)
                await asyncio.sleep(0.1)
                assert len([peer for peer in feed.links if peer.ws.close_code is None]) == 1

    run(main())


def test_trades_starting_twice_leaves_no_orphan(run: Run) -> None:
    async def main() -> None:
        feed = Trades()
        async with feed.serving(), feed.connect(trades()) as conn:
            await asyncio.gather(conn.start(), conn.start())
            await conn.connected(5)
            conn.retry_now()
            await asyncio.sleep(0.1)
            assert len(feed.links) == 1

    run(main())


def test_trades_accept_then_drop_backs_off_and_ends(run: Run) -> None:
    """Five attempts with a notice for each, ever further apart; then it gives up, and a person can start it again."""

    async def main() -> None:
        feed = Trades()
        feed.greet = accept_and_drop
        waits: list[float] = []
        notices: list[str] = []

        def note(change: StateChange) -> None:
            if change.new in {State.WAITING, State.GAVE_UP}:
                notices.append(change.reason)
            if change.retry_in is not None:
                waits.append(change.retry_in)

        async with feed.serving(), feed.connect(trades(delay=0.02, cap=10.0, attempts=5)) as conn:
            conn.on_state(note)
            conn.send_nowait("x", {"any": 1})
            conn.subscribe("positions", args={"type": "sub"}, callback=print)
            await until_state(conn, State.GAVE_UP)
            assert (len(feed.links), len(notices)) == (5, 5)
            assert all(0.01 * 2**n <= wait <= 0.02 * 2**n for n, wait in enumerate(waits))
            feed.greet = None
            conn.retry_now()
            await conn.connected(5)

    run(main())


def test_trades_says_stop_before_it_closes(run: Run) -> None:
    async def main() -> None:
        feed, stop = Trades(), {"type": "stop", "traderid": 7}
        async with feed.serving():
            async with feed.connect(trades(), params={"stop": stop, "traderid": 7}) as conn:
                await conn.connected(5)
                await until(lambda: {"traderid": 7, "type": "Ping"} in feed.everything)
            await until(lambda: feed.closed)
            assert feed.last.heard[-1] == stop
            assert feed.closed == [(0, 1000)]

    run(main())


# Community: login, posts, comments, likes


def community(**options: Any) -> dict[str, Any]:
    return {"dialect": quick("community"), "login": {"userCode": "c", "userInfo": {}}, **options}


def test_community_the_buffer_is_sent_in_order_after_the_login_and_once(run: Run) -> None:
    async def main() -> None:
        feed = Community()
        async with feed.through_faults() as proxy:
            proxy.refuse()
            async with feed.connect(**community()) as conn:
                receipts = [conn.send_nowait("CreateInvitation", {"Text": n}) for n in range(30)]
                await proxy.until(lambda stats: stats.dials >= 2)
                proxy.refuse(False)
                for receipt in receipts:
                    await receipt
                await until(lambda: len(feed.last.without(Community.BEAT)) == 31)
                said = feed.last.without(Community.BEAT)
                assert said[0]["Operator"] == "userLogin"
                assert [message["Text"] for message in said[1:]] == list(range(30))
                assert len(feed.links) == 1  # several sends while offline opened one socket

    run(main())


def test_community_comes_back_without_being_asked(run: Run) -> None:
    """After a drop, and after a return from the background on a dead link."""

    async def main() -> None:
        feed = Community()
        async with (
            feed.through_faults() as proxy,
            feed.connect(**community(dialect=quick("community", 60, 0.2))) as conn,
        ):
            await conn.connected(5)
            feed.last.drop()
            await until(lambda: feed.logged_in == {0, 1})
            await conn.connected(5)
            proxy.freeze(link=proxy.links[-1])
            conn.resumed_from_background()
            await until(lambda: feed.logged_in == {0, 1, 2})

    run(main())


def test_community_an_old_link_breaks_nothing_new(run: Run) -> None:
    """The close of a frozen link comes when the next is long in use."""

    async def main() -> None:
        feed = Community()
        async with (
            feed.through_faults() as proxy,
            feed.connect(**community(dialect=quick("community", 0.2, 0.2))) as conn,
        ):
            await conn.connected(5)
            old = proxy.links[0]
            proxy.freeze(link=old)
            await until(lambda: len(feed.logged_in) == 2)
            await conn.connected(5)
            proxy.thaw(link=old)
            assert (await conn.request("GetInvitation", {"id": 1}))["data"] == 1
            await asyncio.sleep(0.2)
            assert (conn.state, len(feed.links)) == (State.OPEN, 2)

    run(main())


def test_community_one_beat_for_the_one_link(run: Run) -> None:
    async def main() -> None:
        feed = Community()
        async with feed.serving(), feed.connect(**community()) as conn:
            for count in range(1, 5):
                await until(lambda count=count: len(feed.logged_in) == count)
                if count < 4:
                    feed.last.drop()
            began = now()
            await asyncio.sleep(0.55)
            assert feed.last.heard.count(Community.BEAT) <= (now() - began) / 0.1 + 1
            assert conn.state is State.OPEN

    run(main())


def test_community_answers_find_their_own_requests(run: Run) -> None:
    async def main() -> None:
        feed = Community()
        async with feed.serving(), feed.connect(**community()) as conn:
            calls = [conn.request(name, {"id": n}) for n in range(20) for name in ("GetInvitation", "LoveInvitation")]
            assert [reply["data"] for reply in await asyncio.gather(*calls)] == [n for n in range(20) for _ in range(2)]

    run(main())


def test_community_a_ban_is_told_after_a_reconnect_too(run: Run) -> None:
    async def main() -> None:
        feed = Community()
        async with feed.serving(), feed.connect(**community()) as conn:
            await conn.connected(5)
            feed.verdict = "BanLogin"
            feed.last.drop()
            await until_state(conn, State.REFUSED)
            with pytest.raises(heartline.LoginRefused, match="banned"):
                await conn.send("CreateInvitation", {"Text": "x"})
            links = len(feed.links)
            await asyncio.sleep(0.2)
            assert len(feed.links) == links  # no retry

    run(main())


def test_community_a_login_error_is_told(run: Run) -> None:
    async def main() -> None:
        feed = Community()
        feed.verdict = "LoginError"
        async with feed.serving(), feed.connect(**community()) as conn:
            with pytest.raises(heartline.LoginRefused):
                await conn.connected(5)

    run(main())


@pytest.mark.parametrize("name", ["constructor", "__init__", "toString", "keys", "get"])
def test_community_an_operator_named_like_a_built_in_method_is_a_name(run: Run, name: str) -> None:
    async def main() -> None:
        feed, heard = Community(), asyncio.Queue[Any]()
        async with feed.serving(), feed.connect(**community(on={name: heard.put_nowait})) as conn:
            await conn.connected(5)
            await feed.last.say({"Operator": name, "x": 1})
            assert await asyncio.wait_for(heard.get(), 5) == {"Operator": name, "x": 1}
            assert (await conn.request(name, {"id": 3}))["data"] == 3

    run(main())


def test_community_requests_in_flight_when_a_link_dies_are_not_lost_silently(run: Run) -> None:
    async def main() -> None:
        feed = Community()
        async with feed.serving(), feed.connect(**community()) as conn:
            await conn.connected(5)
            feed.silent = True
            like = asyncio.create_task(conn.request("LoveInvitation", {"id": 1}))
            read = asyncio.create_task(conn.request("GetInvitation", {"id": 2}, delivery="at_least_once"))
            await until(lambda: len(feed.last.without(Community.BEAT)) == 3)
            feed.silent = False
            feed.last.drop()
            with pytest.raises(heartline.OutcomeUnknown):
                await like
            assert (await read)["data"] == 2
            assert json.dumps(feed.everything).count("LoveInvitation") == 1

    run(main())


def test_the_presets_say_when_to_dial_again() -> None:
    """The delays and limits that the five systems name."""
    assert {name: quick_of(name) for name in ("heart", "card", "echo", "trades")} == {
        "heart": (5, 12),
        "card": (5, None),
        "echo": (3, None),
        "trades": (5, 5),
    }


def quick_of(name: str) -> tuple[float, int | None]:
    from heartline.dialects import presets

    reconnect: Reconnect = presets.load(name).reconnect
    return reconnect.delay, reconnect.attempts
