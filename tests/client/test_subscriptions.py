"""Channels: order over cuts, gaps, cursors, slow readers, callbacks, refusals, and what is left behind."""

import asyncio
import gc
from typing import Any

import msgspec
import pytest

import heartline
from heartline import (
    ConnectionClosed,
    Cursor,
    Entry,
    Gap,
    Refuse,
    ServerLimits,
    State,
    Subscription,
    SubscriptionRefused,
    UnexpectedData,
)

from .conftest import Run
from .world import World, until, world


async def take(subscription: Subscription[Any], count: int) -> list[Any]:
    """The data of the next entries; a gap is given as its reason."""
    found: list[Any] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            item = await anext(subscription)
            found.append(item.data if isinstance(item, Entry) else item.reason)
    return found


async def publish(w: World, channel: str, *values: Any) -> None:
    for value in values:
        await w.app.publish(channel, "e", value)


def test_entries_carry_place_event_and_data(run: Run) -> None:
    class Trade(msgspec.Struct):
        price: int

    async def main() -> None:
        async with world() as w, w.connect() as conn:
            subscription = conn.subscribe("c/1", type=Trade)
            await subscription.ready()
            await publish(w, "c/1", {"price": 7})
            entry = await anext(subscription)
            assert isinstance(entry, Entry)
            assert (entry.channel, entry.offset, entry.event, entry.data) == ("c/1", 1, "e", Trade(7))
            assert bytes(entry.raw) == b'{"price":7}'
            assert entry.cursor == Cursor(entry.epoch, 1)

    run(main())


def test_entries_once_in_order_over_cuts(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            subscription = conn.subscribe("c/1")
            await subscription.ready()

            async def feed() -> None:
                for i in range(400):
                    await publish(w, "c/1", i)
                    if i % 100 == 50:
                        w.proxy.cut_all()
                    if i % 10 == 0:
                        await asyncio.sleep(0.002)

            feeding = asyncio.create_task(feed())
            assert await take(subscription, 400) == list(range(400))
            await feeding
            assert w.proxy.stats.dials > 2

    run(main())


def test_where_to_begin(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            await publish(w, "c/1", 1, 2, 3)
            async with conn.subscribe("c/1", since="beginning") as s:
                assert await take(s, 2) == [1, 2]
                entry_cursor = s.cursor
            assert entry_cursor is not None
            assert entry_cursor.offset == 1  # the second was not handled: nobody asked for the next
            async with conn.subscribe("c/1", since=entry_cursor) as s:
                assert await take(s, 2) == [2, 3]
            async with conn.subscribe("c/1", since=2) as s:
                assert await take(s, 1) == [3]
            for since in (None, "now"):
                async with conn.subscribe("c/1", since=since) as s:  # type: ignore[arg-type]
                    await s.ready()
                    assert s.cursor == Cursor(entry_cursor.epoch, 3) if since is None else True
                    await publish(w, "c/1", since)
                    assert await take(s, 1) == [since]
            async with conn.subscribe("c/1", since=Cursor("another log", 1)) as s:
                assert (await take(s, 2))[:2] == ["epoch", 1]

    run(main())


@pytest.mark.parametrize("since", ["yesterday", -1, 2**53, True, 1.5, ("e", 1)])
def test_nonsense_to_begin_with_is_refused(since: Any) -> None:
    conn = heartline.connect("ws://127.0.0.1:1/")
    with pytest.raises(ValueError, match="since: expected"):
        conn.subscribe("c/1", since=since)
    conn.subscribe("c/1")  # nothing was left of the failed one


def test_gaps_are_items(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            short, none = conn.subscribe("short/1"), conn.subscribe("none/1")
            await short.ready()
            await none.ready()
            w.proxy.refuse()
            w.proxy.cut_all()
            await until(lambda: conn.state is not State.OPEN)
            for i in range(10):
                await publish(w, "short/1", i)
                await publish(w, "none/1", i)
            w.proxy.refuse(False)
            gap = await anext(short)
            assert isinstance(gap, Gap)
            assert (gap.channel, gap.after, gap.to, gap.reason) == ("short/1", 0, 5, "history")
            assert await take(short, 5) == [5, 6, 7, 8, 9]
            missed = await anext(none)
            assert isinstance(missed, Gap)
            assert missed.to == 10
            assert missed.cursor == Cursor(missed.epoch, 10)

    run(main())


def test_handled_is_asking_for_the_next(run: Run) -> None:
    """What was handed over and not handled comes again to who goes on from the cursor."""

    async def main() -> None:
        async with world() as w, w.connect() as conn:
            await publish(w, "c/1", 1, 2, 3)
            subscription = conn.subscribe("c/1", since="beginning")
            await anext(subscription)
            assert subscription.cursor is None or subscription.cursor.offset == 0
            await anext(subscription)
            assert subscription.cursor is not None
            assert subscription.cursor.offset == 1
            await subscription.close()
            await subscription.close()
            assert subscription.closed
            with pytest.raises(StopAsyncIteration):
                await anext(subscription)

    run(main())


def test_a_slow_reader_bounds_what_is_under_way(run: Run) -> None:
    async def main() -> None:
        limits = ServerLimits(credit=16)
        async with world(limits=limits) as w, w.connect() as conn:
            slow, quick = conn.subscribe("c/slow"), conn.subscribe("c/quick")
            await slow.ready()
            await quick.ready()
            for i in range(300):
                await publish(w, "c/slow", i)
                await publish(w, "c/quick", i)
            assert await take(quick, 300) == list(range(300))
            assert len(conn._shell.feeds["c/slow"].queue) <= 16
            assert await take(slow, 300) == list(range(300))

    run(main())


def test_an_entry_that_does_not_fit_can_be_skipped(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            subscription = conn.subscribe("c/1", type=int)
            await subscription.ready()
            await publish(w, "c/1", 1, "secret", 3)
            assert await take(subscription, 1) == [1]
            with pytest.raises(UnexpectedData, match=r"entry 2 of 'c/1' \('e'\) does not fit") as caught:
                await anext(subscription)
            assert "secret" not in str(caught.value)
            assert await take(subscription, 1) == [3]
            assert w.proxy.stats.dials == 1

    run(main())


def test_unexpected_data_names_the_place(run: Run) -> None:
    class Side(msgspec.Struct):
        kind: str
        at: list[int]

    async def main() -> None:
        async with world() as w, w.connect() as conn:
            subscription = conn.subscribe("c/1", type=Side)
            await subscription.ready()
            await publish(w, "c/1", {"kind": "a", "at": [1, "hush"]})
            with pytest.raises(UnexpectedData, match=r"Expected `int`, got `str` - at `\$.at\[.+\]`"):
                await anext(subscription)

    run(main())


def test_refusals(run: Run) -> None:
    def declare(app: heartline.Server) -> None:
        @app.channel("private/{name}")
        def private(name: str) -> None:
            raise Refuse("members_only", "ask an administrator")

    async def main() -> None:
        async with world(declare=declare) as w, w.connect() as conn:
            subscription = conn.subscribe("private/1")
            for attempt in (subscription.ready(), anext(subscription), anext(subscription)):
                with pytest.raises(SubscriptionRefused) as caught:
                    await attempt
                assert (caught.value.channel, caught.value.code) == ("private/1", "members_only")
                assert caught.value.message == "ask an administrator"
            assert subscription.closed
            again = conn.subscribe("private/1")  # the name is free again
            with pytest.raises(SubscriptionRefused):
                await again.ready()

    run(main())


def test_entries_before_a_refusal_come_first(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            subscription = conn.subscribe("c/1")
            await subscription.ready()
            await publish(w, "c/1", 1, 2)
            await until(lambda: len(conn._shell.feeds["c/1"].queue) == 2)
            w.app.sessions()[0].revoke("c/1", "no longer a member")
            await until(lambda: subscription.closed)
            assert await take(subscription, 2) == [1, 2]
            with pytest.raises(SubscriptionRefused, match="no longer a member"):
                await anext(subscription)

    run(main())


def test_one_subscription_a_channel(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            subscription = conn.subscribe("c/1")
            with pytest.raises(ValueError, match="'c/1' is followed already on this connection"):
                conn.subscribe("c/1")
            await subscription.close()
            async with conn.subscribe("c/1") as again:
                await again.ready()

    run(main())


def test_two_tasks_on_one_iterator(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            subscription = conn.subscribe("c/1")
            first = asyncio.ensure_future(take(subscription, 1))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="two tasks iterate"):
                await anext(subscription)
            await subscription.ready()
            await publish(w, "c/1", 1)
            assert await first == [1]

    run(main())


def test_a_cancelled_wait_loses_nothing(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            subscription = conn.subscribe("c/1")
            await subscription.ready()
            found: list[Any] = []
            for i in range(60):
                waiting = asyncio.ensure_future(take(subscription, 1))
                publishing = asyncio.ensure_future(conn.publish("c/1", i))
                for _ in range(i % 12):
                    await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting, publishing])
                if not waiting.cancelled():
                    found += waiting.result()
            await conn.settled(5)
            held = subscription._feed.held
            assert found + await take(subscription, 60 - len(found)) == list(range(60)), held

    run(main())


@pytest.mark.parametrize("pause", [0, 1])
def test_callbacks_get_everything_in_order(run: Run, pause: int) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            seen: list[Any] = []

            def quick(entry: Entry[int] | Gap) -> None:
                assert isinstance(entry, Entry)
                seen.append(entry.data)

            async def slow(entry: Entry[int] | Gap) -> None:
                assert isinstance(entry, Entry)
                await asyncio.sleep(0.001 if entry.data % 7 == 0 else 0)
                seen.append(entry.data)

            subscription = conn.subscribe("c/1", type=int, callback=slow if pause else quick)
            await subscription.ready()
            for i in range(100):
                await publish(w, "c/1", i)
                if i == 50:
                    w.proxy.cut_all()
            await until(lambda: len(seen) == 100)
            assert seen == list(range(100))
            await until(lambda: subscription.cursor is not None and subscription.cursor.offset == 100)
            with pytest.raises(RuntimeError, match="has a callback"):
                await anext(subscription)
            await subscription.close()
            await publish(w, "c/1", 100)
            assert await conn.request("echo", 1) == 1
            assert len(seen) == 100

    run(main())


def test_a_callback_that_fails_is_logged_and_goes_on(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            seen: list[Any] = []

            async def fragile(entry: Entry[int] | Gap) -> None:
                assert isinstance(entry, Entry)
                if entry.data == 1:
                    raise ZeroDivisionError
                if entry.data == 2:
                    raise asyncio.CancelledError
                seen.append(entry.data)

            subscription = conn.subscribe("c/1", type=int, callback=fragile)
            await subscription.ready()
            await publish(w, "c/1", 0, 1, 2, "not a number", 4)
            await until(lambda: seen == [0, 4])
            await until(lambda: subscription.cursor is not None and subscription.cursor.offset == 5)

    run(main())
    assert caplog.text.count("the callback of 'c/1' raised") == 2
    assert "the callback of 'c/1' was cancelled by something it awaited" in caplog.text


def test_a_callback_may_close_its_subscription(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            seen: list[Any] = []

            async def enough(entry: Any) -> None:
                seen.append(entry.data)
                await subscription.close()

            subscription = conn.subscribe("c/1", callback=enough)
            await subscription.ready()
            await publish(w, "c/1", 1, 2, 3)
            assert await conn.request("echo", 1) == 1
            await until(lambda: not conn._shell.tasks)
            assert seen == [1]

    run(main())


def test_a_dropped_subscription_is_unsubscribed(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            await conn.subscribe("c/1").ready()
            async with asyncio.timeout(5):
                subscription = conn.subscribe("c/2")
                await subscription.ready()
                await publish(w, "c/2", 1)
                async for _ in subscription:
                    break
            del subscription
            gc.collect()
            await until(lambda: not conn._shell.feeds)
            await until(lambda: w.app.stats().channels_followed <= 1)  # the inbox
            kept = conn.subscribe("c/3", callback=print)
            del kept
            gc.collect()
            await asyncio.sleep(0.01)
            assert "c/3" in conn._shell.feeds  # a callback needs nobody to hold it

    run(main())


def test_a_subscription_keeps_its_connection(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            conn = w.connect()
            await conn.start()
            subscription = conn.subscribe("c/1")
            del conn
            gc.collect()
            await subscription.ready()
            await publish(w, "c/1", 1)
            assert await take(subscription, 1) == [1]
            connection = subscription._connection
            assert isinstance(connection, heartline.Connection)
            await connection.close()

    run(main())


def test_closing_the_connection_ends_iteration(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            async with w.connect() as conn:
                subscription = conn.subscribe("c/1")
                await subscription.ready()
                waiting = asyncio.ensure_future(take(subscription, 1))
                await asyncio.sleep(0)
            with pytest.raises(ConnectionClosed):
                await waiting
            with pytest.raises(ConnectionClosed):
                await anext(subscription)
            with pytest.raises(ConnectionClosed):
                conn.subscribe("c/2")

    run(main())


def test_presence_is_the_state_of_a_channel(run: Run) -> None:
    def declare(app: heartline.Server) -> None:
        app.channel("room/{name}", presence=True)

        @app.login
        def login(name: Any) -> str:
            return str(name)

    async def main() -> None:
        async with world(declare=declare) as w, w.connect(login="ann") as ann, w.connect(login="bob") as bob:
            there = ann.subscribe("room/1")
            await there.ready()
            watching = bob.subscribe("@who/room/1")
            await watching.ready()
            assert watching.state == ["ann"]
            too = bob.subscribe("room/1")
            await too.ready()
            assert await take(watching, 1) == [{"who": "bob"}]
            await there.close()
            assert await take(watching, 1) == [{"who": "ann"}]
            assert ann.subscribe("c/1").state is None

    run(main())


def test_subscribing_before_start_and_offline(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            conn = w.connect()
            early = conn.subscribe("c/1")
            w.proxy.refuse()
            async with conn:
                offline = conn.subscribe("c/2", since="beginning")
                gone = conn.subscribe("c/3")
                await gone.close()
                await publish(w, "c/2", 1)
                w.proxy.refuse(False)
                await early.ready()
                await publish(w, "c/1", 2)
                assert await take(offline, 1) == [1]
                assert await take(early, 1) == [2]
                assert set(conn._shell.feeds) == {"c/1", "c/2"}

    run(main())
