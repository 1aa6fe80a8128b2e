"""Foreign servers over real sockets: what a dialect's connection is to its application."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

import heartline
from heartline import ClientPolicy, Entry, Gap, Heartbeat, Outcome, State
from heartline.dialects import Beat, Dialect, Event, Request, Send, Subscribe, presets

from .conftest import Run
from .feeds import Community, Echo, Feed, Heart, Okx, Phoenix, quick
from .world import until, until_state

BTC = {"channel": "tickers", "instId": "BTC-USDT"}


# OKX: the 30 second rule, login and subscribe operations


def test_okx_is_kept_alive_when_quiet(run: Run) -> None:
    """The feed closes after 30 s without a message (here 1 s): the ping comes in time, and only when quiet."""

    async def main() -> None:
        feed = Okx()
        async with feed.serving(), feed.connect(quick("okx", interval=0.3)) as conn:
            await conn.connected(5)
            await until(lambda: feed.everything.count("ping") >= 5)
            assert len(feed.links) == 1
            assert feed.last.without("ping") == []

    run(main())


def test_okx_puts_a_silent_client_out_and_it_comes_back(run: Run) -> None:
    async def main() -> None:
        feed = Okx()
        feed.patience = 0.1
        async with feed.serving(), feed.connect(quick("okx", interval=5.0)) as conn:
            codes = []
            conn.on_state(lambda change: codes.append(change.code))
            await feed.until_links(3)
            assert codes.count(4004) >= 2
            assert conn.state is not State.REFUSED

    run(main())


def test_okx_login_subscribe_and_resubscribe(run: Run) -> None:
    async def main() -> None:
        feed = Okx()
        async with feed.serving(), feed.connect(quick("okx"), login={"apiKey": "k"}) as conn:
            prices = conn.subscribe("btc", args=BTC)
            await prices.ready()
            await feed.push(BTC, [{"last": "1"}])
            entry = await anext(prices)
            assert isinstance(entry, Entry)
            assert (entry.offset, entry.data) == (1, [{"last": "1"}])

            feed.last.drop()
            await until(lambda: BTC in feed.subscribed.get(1, []))
            await feed.push(BTC, [{"last": "2"}])
            gap, entry = await anext(prices), await anext(prices)
            assert isinstance(gap, Gap)
            assert gap.reason == "none"
            assert isinstance(entry, Entry)
            assert (entry.offset, entry.data) == (3, [{"last": "2"}])
            assert feed.logins == 2

            await prices.close()
            await until(lambda: feed.subscribed[1] == [])

    run(main())


def test_okx_refusals(run: Run) -> None:
    async def main() -> None:
        feed = Okx()
        async with feed.serving():
            async with feed.connect(quick("okx")) as conn:
                with pytest.raises(heartline.SubscriptionRefused, match="60018"):
                    await conn.subscribe("x", args={"channel": "nonsense"}).ready()
                with pytest.raises(heartline.Rejected) as rejected:
                    await conn.request("nonsense", [{}])
                assert (rejected.value.code, rejected.value.message) == ("60012", "Illegal request")
            async with feed.connect(quick("okx"), login={"apiKey": "wrong"}) as conn:
                with pytest.raises(heartline.LoginRefused, match=r"Login failed\. \(60009\)"):
                    await conn.connected(5)

    run(main())


def test_okx_requests_find_their_replies(run: Run) -> None:
    async def main() -> None:
        feed = Okx()
        async with feed.serving(), feed.connect(quick("okx")) as conn:
            replies = await asyncio.gather(*(conn.request("order", [{"sz": n}]) for n in range(20)))
            assert [reply[0]["ordId"] for reply in replies] == list(range(20))

    run(main())


# Phoenix channels


def test_phoenix_channels(run: Run) -> None:
    async def main() -> None:
        feed = Phoenix()
        async with feed.serving(), feed.connect(quick("phoenix", interval=0.3), "socket/websocket?vsn=2.0.0") as conn:
            room = conn.subscribe("room:1", args={"token": "t"})
            await room.ready()
            assert room.state == {"users": 1}
            assert feed.last.ws.request is not None
            assert feed.last.ws.request.path == "/socket/websocket?vsn=2.0.0"
            assert await conn.request("info", {"a": 1}, channel="room:1") == {"you": {"a": 1}}
            await (await conn.publish("room:1", {"t": "hi"}, "shout"))
            entry = await anext(room)
            assert isinstance(entry, Entry)
            assert (entry.event, entry.data) == ("shouted", {"t": "hi"})
            with pytest.raises(heartline.Rejected) as rejected:
                await conn.request("info", {}, channel="room:2")
            assert rejected.value.details == {"error": {"reason": "unmatched topic"}}
            with pytest.raises(heartline.SubscriptionRefused, match="unauthorized"):
                await conn.subscribe("room:secret").ready()
            await until(lambda: sum(message[3] == "heartbeat" for message in feed.everything) >= 5)
            assert len(feed.links) == 1
            await room.close()
            await until(lambda: feed.joined[0] == {})

    run(main())


def test_phoenix_rejoins_what_crashed_and_what_was_cut(run: Run) -> None:
    async def main() -> None:
        feed = Phoenix()
        async with feed.serving(), feed.connect(quick("phoenix")) as conn:
            room = conn.subscribe("room:1")
            await room.ready()
            ref = feed.joined[0].pop("room:1")
            await feed.last.say([ref, ref, "room:1", "phx_error", {}])
            await until(lambda: "room:1" in feed.joined[0])
            await feed.push("room:1", "news", {"n": 1})
            gap, entry = await anext(room), await anext(room)
            assert isinstance(gap, Gap)
            assert isinstance(entry, Entry)
            feed.last.drop()
            await until(lambda: "room:1" in feed.joined.get(1, {}))
            await feed.push("room:1", "news", {"n": 2})
            gap, entry = await anext(room), await anext(room)
            assert isinstance(gap, Gap)
            assert isinstance(entry, Entry)
            assert entry.data == {"n": 2}

    run(main())


# what holds for every dialect


def test_a_dialect_of_ones_own(run: Run) -> None:
    class Ticker(Feed):
        async def take(self, peer: Any, message: Any) -> None:
            if message.get("op") == "ping":
                await peer.say({"op": "pong"})
            elif message.get("op") == "get":
                await peer.say({"re": message["id"], "v": message["d"]})
            else:
                await peer.say(message)

    ticker = Dialect(
        name="ticker",
        subprotocol="ticker.2",
        beat=Beat(say={"op": "ping"}, answer={"op": "pong"}, interval=0.05, timeout=5),
        send=Send(say={"op": "$event", "d": "$data", "who": "$param.who"}),
        request=Request(say={"op": "$event", "d": "$data", "id": "$id"}, ok={"re": "$id", "v": "$reply"}),
        events=(Event({"op": "$event", "d": "$data"}),),
    )

    async def main() -> None:
        feed, heard = Ticker(), asyncio.Queue[Any]()
        async with (
            feed.serving(subprotocols=["ticker.2"]),
            feed.connect(ticker, params={"who": "me"}, on={"tick": heard.put_nowait}) as conn,
        ):
            assert await conn.request("get", [1]) == [1]
            receipt = await conn.send("tick", 7)
            await receipt
            assert await asyncio.wait_for(heard.get(), 5) == 7
            assert {"op": "tick", "d": 7, "who": "me"} in feed.last.heard
            assert feed.last.ws.subprotocol == "ticker.2"
            await until(lambda: feed.everything.count({"op": "ping"}) >= 2)

    run(main())


def test_no_subprotocol_unless_the_dialect_has_one(run: Run) -> None:
    async def main() -> None:
        feed = Heart()
        async with feed.serving(), feed.connect(quick("heart"), "websocket?17&4") as conn:
            await conn.connected(5)
            assert feed.last.ws.request is not None
            assert "Sec-WebSocket-Protocol" not in feed.last.ws.request.headers
            assert feed.last.ws.request.path == "/websocket?17&4"

    run(main())


def test_what_a_dialect_cannot_spell_is_refused_early(run: Run) -> None:
    async def main() -> None:
        feed = Heart()
        async with feed.serving():
            async with feed.connect("heart") as conn:
                with pytest.raises(ValueError, match="'heart' has no requests"):
                    await conn.request("x")
                with pytest.raises(ValueError, match="'heart' has no subscriptions"):
                    conn.subscribe("x")
                with pytest.raises(ValueError, match="expected text, got dict"):
                    await conn.send("message", {})
                with pytest.raises(ValueError, match="nothing to say without it"):
                    conn.send_nowait("message")
                with pytest.raises(ValueError, match="has none in its publications"):
                    await conn.publish("c", "x")
                with pytest.raises(ValueError, match="delivery: expected 'at_most_once'"):
                    await conn.send("message", "x", delivery="twice")  # type: ignore[arg-type]
                assert conn.pending == 0
            async with feed.connect("phoenix") as conn:
                with pytest.raises(ValueError, match="'phoenix' needs one"):
                    await conn.send("shout", {})
                with pytest.raises(ValueError, match="since: a foreign server keeps nothing"):
                    conn.subscribe("x", since="beginning")
            async with feed.connect("trades") as conn:
                with pytest.raises(ValueError, match=r"args: .* nothing to say without them"):
                    conn.subscribe("positions")
                with pytest.raises(TypeError, match="args: cannot be written as JSON"):
                    conn.subscribe("positions", args=object())
            async with feed.connect("community") as conn:
                with pytest.raises(ValueError, match="'Operator' belongs to the message itself"):
                    await conn.request("x", {"Operator": "userLogin"})

    run(main())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dialect": "eco"}, ValueError, "no preset 'eco'"),
        ({"dialect": 3}, TypeError, "dialect: expected a Dialect, a preset's name or None, got int"),
        ({"params": {"a": 1}}, ValueError, "params: only a dialect has them"),
        ({"dialect": "echo", "params": [1]}, TypeError, "params: expected a mapping"),
        ({"dialect": "echo", "keep": {"a": object()}}, TypeError, "keep: cannot be written as JSON"),
    ],
)
def test_connect_refuses_nonsense_about_dialects(options: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        heartline.connect("ws://127.0.0.1:1/", **options)


def test_only_dialects_have_channels_in_requests_and_args(run: Run) -> None:
    async def main() -> None:
        async with heartline.connect("ws://127.0.0.1:1/", linger=0) as conn:
            with pytest.raises(ValueError, match=r"channel: heartline\.1 has none"):
                await conn.request("x", channel="c")
            with pytest.raises(ValueError, match=r"args: heartline\.1 has none"):
                conn.subscribe("c", args={})
            assert conn.kept == {}

    run(main())


def test_the_dialect_says_when_to_dial_again_unless_the_policy_does() -> None:
    policy = heartline.connect("ws://127.0.0.1:1/", dialect="heart")._shell.options.policy
    assert (policy.back_off.base, policy.back_off.least, policy.back_off.cap) == (5, 0.5, 30)
    assert policy.max_attempts == 12
    mine = ClientPolicy(max_attempts=2, heartbeat=Heartbeat(3, 1))
    options = heartline.connect("ws://127.0.0.1:1/", dialect="heart", policy=mine)._shell.options
    assert options.policy is mine
    assert options.dialect is not None
    assert options.dialect.beat == Beat(
        say={"$text": "ping"}, answer={"$text": "pong"}, interval=3, timeout=1, after_answer=True
    )


def test_a_close_code_of_a_stranger_means_try_again(run: Run) -> None:
    """4200 and 4203 are heartline's own words for good; another server may mean anything by them."""

    async def main() -> None:
        feed = Echo()
        async with feed.serving(), feed.connect(quick("echo")) as conn:
            for count, code in enumerate((4200, 4203, 4100), 1):
                await feed.until_links(count)
                await conn.connected(5)
                await feed.last.ws.close(code, "whatever")
            await feed.until_links(4)
            await conn.connected(5)

    run(main())


def test_what_nobody_understood_is_traced(run: Run) -> None:
    async def main() -> None:
        traced: list[tuple[str, dict[str, object]]] = []
        feed = Echo()
        options = {"trace": lambda _at, what, details: traced.append((what, details))}
        async with feed.serving(), feed.connect(quick("echo"), **options) as conn:
            await conn.connected(5)
            for rubbish in ("null", "[", b"\xff\xfe\x00", "x" * 100_000, '{"ModeCode":7}', "[" * 50_000):
                await feed.last.say(rubbish)
            await (await conn.send("message", "alive"))
            sizes = [details["bytes"] for what, details in traced if what == "client.not_understood"]
            assert sizes == [4, 1, 3, 100_000, 14, 50_000]
            assert len(feed.links) == 1

    run(main())


def test_binary_is_text_by_another_name(run: Run) -> None:
    async def main() -> None:
        feed, heard = Echo(), asyncio.Queue[Any]()
        async with feed.serving(), feed.connect(quick("echo"), on={"message": heard.put_nowait}) as conn:
            await conn.connected(5)
            await feed.last.say(b'{"ModeCode":"message","msg":"in binary"}')
            assert await asyncio.wait_for(heard.get(), 5) == "in binary"

    run(main())


def test_outputs_are_done_in_order(run: Run) -> None:
    """Opening, subscriptions, messages: each link begins in this order, and what was queued follows in order."""
    dialect = Dialect(
        name="x",
        opening=({"op": "hi"},),
        send=Send(say={"n": "$data"}),
        subscribe=Subscribe(say={"sub": "$channel"}, ok={"ok": "$channel"}),
    )

    async def main() -> None:
        feed = Feed()
        async with feed.serving(), feed.connect(dialect) as conn:
            conn.subscribe("a", callback=print)
            receipts = [conn.send_nowait("x", n) for n in range(100)]
            for receipt in receipts:
                await receipt
            await until(lambda: len(feed.last.heard) == 102)
            assert feed.last.heard == [{"op": "hi"}, {"sub": "a"}, *({"n": n} for n in range(100))]

    run(main())


def test_a_slow_application_gets_a_gap(run: Run) -> None:
    async def main() -> None:
        feed = Okx()
        async with feed.serving(), feed.connect(quick("okx")) as conn:
            prices = conn.subscribe("btc", args=BTC)
            await prices.ready()
            for n in range(6000):
                await feed.push(BTC, n)
            await (await conn.send("done", [1], delivery="at_least_once"))
            got = [item.data async for item in _take(prices, 4096) if isinstance(item, Entry)]
            assert got == list(range(4096))
            await feed.push(BTC, "behind")
            gap = await asyncio.wait_for(anext(prices), 5)
            assert isinstance(gap, Gap)
            entry = None
            while not isinstance(entry, Entry):
                await feed.push(BTC, "new")
                entry = await asyncio.wait_for(anext(prices), 5)
            assert entry.data in ("new", "behind")

    run(main())


async def _take(items: Any, count: int) -> Any:
    for _ in range(count):
        yield await asyncio.wait_for(anext(items), 5)


# delivery


def test_at_most_once_is_unknown_when_its_link_is_lost(run: Run) -> None:
    async def main() -> None:
        feed = Echo()
        feed.echoes = False
        async with feed.serving(), feed.connect(quick("echo")) as conn:
            receipt = await conn.send("message", "once")
            await until(lambda: feed.links and _said(feed.last) == ["once"])
            feed.last.drop()
            feed.echoes = True
            with pytest.raises(heartline.OutcomeUnknown, match="its link ended before anything confirmed it"):
                await receipt
            assert receipt.outcome is Outcome.UNKNOWN
            await (await conn.send("message", "next"))
            said = [message["msg"] for message in feed.everything if message["ModeCode"] == "message"]
            assert said == ["once", "next"]

    run(main())


def test_at_least_once_is_said_until_it_is_confirmed(run: Run) -> None:
    async def main() -> None:
        feed = Echo()
        feed.echoes = False
        async with feed.serving(), feed.connect(quick("echo")) as conn:
            receipts = [conn.send_nowait("message", n, delivery="at_least_once") for n in range(3)]
            for count in (1, 2):
                await until(lambda count=count: len(feed.links) == count and _said(feed.last) == [0, 1, 2])
                feed.last.drop()
            feed.echoes = True
            for receipt in receipts:
                await receipt
            assert _said(feed.last) == [0, 1, 2]

    run(main())


def _said(peer: Any) -> list[Any]:
    return [message["msg"] for message in peer.heard if message["ModeCode"] == "message"]


def test_at_least_once_is_confirmed_by_a_beat(run: Run) -> None:
    """A server that confirms nothing: the answer to a later beat shows that messages arrived, many at a time."""

    async def main() -> None:
        feed = Heart()
        async with feed.through_faults() as proxy, feed.connect(quick("heart", interval=60.0)) as conn:
            await conn.connected(5)
            proxy.freeze()
            receipts = [conn.send_nowait("message", f"m{n}", delivery="at_least_once") for n in range(100)]
            await asyncio.sleep(0)
            assert not any(receipt.outcome for receipt in receipts)
            proxy.cut_all()
            proxy.thaw()
            for receipt in receipts:
                await receipt
            assert feed.last.without("ping") == [f"m{n}" for n in range(100)]
            assert feed.last.heard.count("ping") < 30

    run(main())


def test_a_message_that_a_server_passes_over_ends_as_unknown(run: Run) -> None:
    """An echo server is silent about other ModeCodes: the window does not stay shut for ever."""
    echo = presets.load("echo")
    assert echo.send is not None
    dialect = msgspec.structs.replace(quick("echo"), send=msgspec.structs.replace(echo.send, within=0.2))

    async def main() -> None:
        feed = Echo()
        async with feed.serving(), feed.connect(dialect) as conn:
            silent = [conn.send_nowait("other", n) for n in range(20)]
            last = conn.send_nowait("message", "last")
            await asyncio.wait_for(last, 5)
            for receipt in silent:
                with pytest.raises(heartline.OutcomeUnknown, match="nothing confirmed it in time"):
                    await receipt

    run(main())


def test_requests_that_nobody_waits_for_shut_nothing(run: Run) -> None:
    async def main() -> None:
        feed = Community()
        async with feed.serving(), feed.connect(quick("community"), login={"userCode": "c"}) as conn:
            await conn.connected(5)
            feed.silent = True
            for _ in range(2):
                calls = [conn.request("Nothing", {"id": n}, timeout=0.1) for n in range(20)]
                for error in await asyncio.gather(*calls, return_exceptions=True):
                    assert isinstance(error, heartline.RequestTimeout | heartline.Expired)
            feed.silent = False
            assert (await conn.request("Something", {"id": 5}))["data"] == 5

    run(main())


# a durable outbox


def test_a_durable_outbox_that_never_had_a_link(run: Run, tmp_path: Path) -> None:
    """Nothing in it can have been written: the next process sends it all, in order."""

    async def main() -> None:
        feed, file = Echo(), tmp_path / "outbox.db"
        async with heartline.connect("ws://127.0.0.1:1/", dialect="echo", outbox=file, linger=0) as conn:
            for n in range(3):
                await conn.send("message", n)
        async with feed.serving(), feed.connect(quick("echo"), outbox=file) as conn:
            for receipt in conn.restored:
                await asyncio.wait_for(receipt, 5)
            assert _said(feed.last) == [0, 1, 2]

    run(main())


def test_a_durable_outbox_with_a_dialect(run: Run, tmp_path: Path) -> None:
    """What may be repeated is sent by the next process; of the rest nobody can say whether it was written."""

    async def main() -> None:
        feed, file = Echo(), tmp_path / "outbox.db"
        async with feed.serving():
            async with feed.connect(quick("echo"), outbox=file) as conn:
                await (await conn.send("message", "first"))
                feed.echoes = False
                await conn.send("message", "again", delivery="at_least_once")
                await conn.send("message", "maybe")
            feed.echoes = True
            async with feed.connect(quick("echo"), outbox=file) as conn:
                again, maybe = conn.restored
                await asyncio.wait_for(again, 5)
                with pytest.raises(heartline.OutcomeUnknown):
                    await asyncio.wait_for(maybe, 5)
                await (await conn.send("message", "new"))
                assert _said(feed.last) == ["again", "new"]

    run(main())


def test_what_a_login_gave_is_kept(run: Run) -> None:
    async def main() -> None:
        feed = Community()
        async with feed.serving():
            async with feed.connect(quick("community"), login={"userCode": "c"}) as conn:
                await conn.connected(5)
                assert conn.kept == {"openId": "o1"}
                kept = conn.kept
            async with feed.connect(quick("community"), login={"userCode": "d"}, keep=kept) as conn:
                await conn.connected(5)
            assert [message.get("userOpenId") for message in feed.everything] == [None, "o1"]

    run(main())


def test_what_a_login_gave_is_in_the_outbox_file(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        feed, options = Community(), {"outbox": tmp_path / "outbox.db", "login": {"userCode": "c"}}
        async with feed.serving():
            for _ in range(2):
                async with feed.connect(quick("community"), **options) as conn:
                    await conn.connected(5)
                    await conn.mark({"mine": "1"})
                    assert (conn.kept, conn.marks) == ({"openId": "o1"}, {"mine": "1"})
            assert [message.get("userOpenId") for message in feed.everything] == [None, "o1"]

    run(main())


# links


@pytest.mark.parametrize("name", ["heart", "echo", "card", "okx", "phoenix", "plain"])
def test_half_open_links_are_found(run: Run, name: str) -> None:
    """By the dialect's own beat, or by RFC 6455 pings where nothing answers it."""

    async def main() -> None:
        feed = {"heart": Heart, "echo": Echo, "okx": Okx, "phoenix": Phoenix}.get(name, Feed)()
        feed.patience = None
        async with feed.through_faults() as proxy, feed.connect(quick(name, 0.2, 0.2)) as conn:
            await conn.connected(5)
            codes = []
            conn.on_state(lambda change: codes.append(change.code))
            proxy.freeze(link=proxy.links[0])
            await proxy.until(lambda stats: stats.opened >= 2, 5)
            await conn.connected(5)
            assert codes[0] == 4000

    run(main())


def test_a_link_that_only_stops_our_way_is_found_while_something_waits(run: Run) -> None:
    async def main() -> None:
        feed = Echo()

        async def chatter(peer: Any) -> None:
            async def talk() -> None:
                while True:
                    await peer.say({"ModeCode": "message", "msg": "chatter"})
                    await asyncio.sleep(0.02)

            peer.task = asyncio.get_running_loop().create_task(talk())
            peer.task.add_done_callback(lambda task: task.cancelled() or task.exception())

        feed.greet = chatter
        async with feed.through_faults() as proxy, feed.connect(quick("echo", 0.2, 0.2)) as conn:
            await conn.connected(5)
            proxy.freeze(heartline.faults.Direction.UP, link=proxy.links[0])
            receipt = await conn.send("message", "x", delivery="at_least_once")
            await asyncio.wait_for(receipt, 5)
            assert proxy.stats.opened >= 2
        for peer in feed.links:
            peer.task.cancel()

    run(main())


@pytest.mark.parametrize("name", ["heart", "card"])
def test_sending_keeps_no_dead_link_alive(run: Run, name: str) -> None:
    """What nobody can confirm is settled when it is written: that shows nothing about the other end."""

    async def main() -> None:
        feed = {"heart": Heart}.get(name, Feed)()
        async with feed.through_faults() as proxy, feed.connect(quick(name, 0.3, 0.3)) as conn:
            await conn.connected(5)
            proxy.freeze(link=proxy.links[0])
            async with asyncio.timeout(5):
                while proxy.stats.opened < 2:
                    conn.send_nowait("message", "still there?")
                    await asyncio.sleep(0.05)

    run(main())


def test_a_live_but_quiet_link_stays(run: Run) -> None:
    async def main() -> None:
        for name in ("heart", "echo", "card", "trades", "plain"):
            feed = {"heart": Heart, "echo": Echo}.get(name, Feed)()
            async with feed.through_faults() as proxy, feed.connect(quick(name, 0.1, 3.0)) as conn:
                await conn.connected(5)
                await asyncio.sleep(0.5)
                assert (conn.state, proxy.stats.opened) == (State.OPEN, 1)

    run(main())


def test_a_server_that_answers_nothing_at_all_is_refused_by_nobody(run: Run) -> None:
    """Without probes nothing can be proven: the link stays."""
    plain = presets.load("plain")
    assert plain.beat is not None
    blind = msgspec.structs.replace(plain, beat=msgspec.structs.replace(plain.beat, probe=False))

    async def main() -> None:
        feed = Feed()
        async with feed.through_faults() as proxy, feed.connect(quick(blind, 0.05, 0.05)) as conn:
            await conn.connected(5)
            proxy.freeze()
            await asyncio.sleep(0.5)
            assert (conn.state, proxy.stats.opened) == (State.OPEN, 1)

    run(main())


def test_a_login_that_nobody_judges_ends(run: Run) -> None:
    async def main() -> None:
        feed = Community()
        feed.verdict = "Whatever"
        policy = ClientPolicy(hello_timeout=0.1, back_off=heartline.BackOff(0.01, 0.05))
        async with feed.serving(), feed.connect(quick("community"), login={"userCode": "c"}, policy=policy) as conn:
            await feed.until_links(2)
            assert conn.state is not State.OPEN
            feed.verdict = "LoginOK"
            await conn.connected(5)
            await until_state(conn, State.OPEN)

    run(main())
