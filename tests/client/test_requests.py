"""Requests and receipts: outcomes, types, time-outs, and what happens to messages while there is no link."""

import asyncio
import gc
from typing import Any

import msgspec
import pytest

import heartline
from heartline import (
    ConnectionClosed,
    Expired,
    Outcome,
    OutcomeUnknown,
    Rejected,
    RequestTimeout,
    State,
    UnexpectedData,
)

from .conftest import Run
from .world import until, world


class Point(msgspec.Struct):
    x: int
    y: int = 0


def test_replies_have_the_type_asked_for(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            assert await conn.request("echo", {"x": 1, "y": 2}) == {"x": 1, "y": 2}
            assert await conn.request("echo", Point(1, 2), type=Point) == Point(1, 2)
            assert await conn.request("echo", [Point(3)], type=list[Point]) == [Point(3)]
            assert await conn.request("echo", None, type=int | None) is None
            assert await conn.request("echo") is None

    run(main())


def test_a_reply_that_does_not_fit_is_told_without_its_data(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            with pytest.raises(UnexpectedData, match=r"the reply to 'echo' .* at `\$\.x`") as caught:
                await conn.request("echo", {"x": "secret"}, type=Point)
            assert "secret" not in str(caught.value)
            assert conn.state is State.OPEN

    run(main())


def test_rejections_carry_code_message_and_details(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            with pytest.raises(Rejected) as caught:
                await conn.request("fail", "today")
            assert (caught.value.code, caught.value.message) == ("no_luck", "today")
            with pytest.raises(Rejected) as caught:
                await conn.request("nobody")
            assert caught.value.code == "unknown_event"

    run(main())


def test_invalid_payload_names_the_path(run: Run) -> None:
    def declare(app: heartline.Server) -> None:
        @app.on("point")
        def point(point: Point) -> int:
            return point.x

    async def main() -> None:
        async with world(declare=declare) as w, w.connect() as conn:
            assert await conn.request("point", Point(7), type=int) == 7
            with pytest.raises(Rejected) as caught:
                await conn.request("point", {"x": "seven"})
            assert caught.value.code == "invalid"
            assert caught.value.details["path"] == "$.x"

    run(main())


def test_one_outcome_for_each(run: Run) -> None:
    """Handled, rejected, and both kinds of a close: never written and written."""

    async def main() -> None:
        async with world() as w:
            async with w.connect() as conn:
                good, bad = await conn.send("note", 1), await conn.send("fail", "x")
                assert good.outcome is None
                await good
                with pytest.raises(Rejected):
                    await bad
                assert (good.outcome, bad.outcome) == (Outcome.HANDLED, Outcome.REJECTED)
                await conn.settled(5)
                assert conn.pending == 0
                hanging = asyncio.create_task(conn.request("slow", 2))
                held = await conn.send("slow", 3)
                await until(lambda: 3 in w.handled)
                await conn.close()
                with pytest.raises(OutcomeUnknown):
                    await hanging
                with pytest.raises(OutcomeUnknown):
                    await held
                with pytest.raises(ConnectionClosed):
                    await conn.send("note", 4)
                with pytest.raises(ConnectionClosed):
                    await conn.request("echo", 4)
            w.hold.set()
            w.proxy.refuse()
            async with w.connect() as conn:
                never = await conn.send("note", 5)
                waiting = asyncio.create_task(conn.request("echo", 5))
                await asyncio.sleep(0)
                await conn.close()
                with pytest.raises(Expired):
                    await never
                with pytest.raises(Expired):
                    await waiting
            assert sorted(w.handled) == [1, 2, 3]  # the task of 2 began after 3 was sent

    run(main())


def test_a_receipt_can_be_awaited_twice(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            receipt = await conn.send("fail", "x")

            async def wait() -> str:
                try:
                    await receipt
                except Rejected as error:
                    return error.code
                return "handled"

            first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
            third = asyncio.create_task(wait())
            await asyncio.sleep(0)
            third.cancel()
            assert await asyncio.gather(first, second) == ["no_luck", "no_luck"]
            assert await wait() == "no_luck"
            assert "rejected" in repr(receipt)

    run(main())


def test_an_abandoned_receipt_is_silent(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            await conn.send("fail", "nobody cares")
            conn.send_nowait("fail", "nobody cares")
            await conn.settled(5)
            gc.collect()

    run(main())
    assert not [record for record in caplog.records if record.name.startswith(("asyncio", "heartline.client"))]


def test_order_is_kept_while_offline_and_over_cuts(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect() as conn:
                for i in range(50):
                    await conn.send("note", i)
                w.proxy.refuse(False)
                for i in range(50, 300):
                    await conn.send("note", i)
                    if i % 50 == 0:
                        w.proxy.cut_all()
                    await asyncio.sleep(0.001)
                await conn.settled(10)
            assert w.handled == list(range(300))

    run(main())


def test_requests_through_cuts(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            await conn.connected(5)

            async def ask(i: int) -> Any:
                await asyncio.sleep(i * 0.002)
                if i % 40 == 20:
                    w.proxy.cut_all()
                return await conn.request("echo", i)

            assert await asyncio.gather(*(ask(i) for i in range(200))) == list(range(200))
            assert w.proxy.stats.dials > 1

    run(main())


def test_a_request_never_written_expires_at_its_time_out(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect() as conn:
                with pytest.raises(Expired, match="not sent in time"):
                    await conn.request("note", "never", timeout=0.05)
                assert conn.pending == 0
                w.proxy.refuse(False)
                await conn.request("note", "later")
            assert w.handled == ["later"]

    run(main())


def test_a_late_reply_is_dropped(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            await conn.connected(5)
            with pytest.raises(RequestTimeout, match="may still be handled") as caught:
                await conn.request("slow", 1, timeout=0.05)
            assert isinstance(caught.value, TimeoutError)
            assert caught.value.n == 1
            assert conn.pending == 1
            w.hold.set()
            await conn.settled(5)
            assert await conn.request("echo", "still fine") == "still fine"

    run(main())


def test_cancelled_request_is_withdrawn(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect() as conn:
                task = asyncio.create_task(conn.request("note", "never"))
                await until(lambda: conn.pending == 1)
                task.cancel()
                await asyncio.wait([task])
                assert conn.pending == 0
                w.proxy.refuse(False)
                task = asyncio.create_task(conn.request("slow", "sent"))
                await until(lambda: w.handled)
                task.cancel()
                await asyncio.wait([task])
                assert conn.pending == 1  # written: it goes on, and its reply is dropped
                w.hold.set()
                await conn.settled(5)
            assert w.handled == ["sent"]

    run(main())


def test_sends_expire(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect() as conn:
                receipt = await conn.send("note", "stale", expires=0.05)
                kept = await conn.send("note", "kept")
                with pytest.raises(Expired, match="'note' was never sent"):
                    await receipt
                w.proxy.refuse(False)
                await kept
            assert w.handled == ["kept"]

    run(main())


def test_at_least_once_survives_a_lost_session(run: Run) -> None:
    """The server restarts without memory: what was written is unknown, or sent again where that does no harm."""

    async def main() -> None:
        async with world() as first, first.connect() as conn:
            once = await conn.send("slow", "once")
            again = await conn.send("slow", "again", delivery="at_least_once")
            call = asyncio.create_task(conn.request("slow", "call", delivery="at_least_once"))
            await until(lambda: len(first.handled) == 3)
            before = conn.session_id
            async with world() as second:
                second.hold.set()
                first.proxy.target = second.proxy.address
                first.proxy.cut_all()
                with pytest.raises(OutcomeUnknown, match="nobody knows"):
                    await once
                await again
                assert await call == "call"
                assert second.handled == ["again", "call"]
                assert conn.session_id != before
                first.hold.set()
                await conn.close()

    run(main())


def test_too_big_for_the_server_is_refused_here(run: Run) -> None:
    async def main() -> None:
        async with world(limits=heartline.ServerLimits(message=2000)) as w, w.connect() as conn:
            with pytest.raises(Rejected) as caught:
                await conn.request("echo", "x" * 5000)
            assert caught.value.code == "too_big"
            assert await conn.request("echo", "fits") == "fits"
            assert w.proxy.stats.dials == 1

    run(main())


def test_wrong_arguments_raise_early(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            with pytest.raises(TypeError, match="data: cannot be written as JSON"):
                await conn.send("note", object())
            with pytest.raises(TypeError, match="event must be a string"):
                await conn.send(7)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="event must have"):
                await conn.request("")
            with pytest.raises(ValueError, match="channel must have"):
                await conn.publish("@", 1)
            with pytest.raises(ValueError, match="timeout: expected seconds"):
                await conn.request("echo", timeout=0)
            with pytest.raises(ValueError, match="expires: expected seconds"):
                await conn.send("echo", expires=-1)
            with pytest.raises(TypeError, match="type: "):
                await conn.request("echo", type=object())
            assert conn.pending == 0

    run(main())


def test_nothing_is_sent_before_start() -> None:
    async def main() -> None:
        conn = heartline.connect("ws://127.0.0.1:1/")
        for attempt in (conn.request("echo"), conn.send("note"), conn.publish("c", 1)):
            with pytest.raises(RuntimeError, match="not started"):
                await attempt
        with pytest.raises(RuntimeError, match="not started"):
            conn.send_nowait("note")

    asyncio.run(main())


def test_leaving_waits_for_what_is_not_settled(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            async with w.connect(linger=5.0) as conn:
                for i in range(20):
                    await conn.send("note", i)
            assert w.handled == list(range(20))

    run(main())


def test_leaving_with_an_exception_waits_for_nothing(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            began = asyncio.get_running_loop().time()

            async def fail() -> None:
                async with w.connect(linger=5.0) as conn:
                    await conn.send("note", 1)
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await fail()
            assert asyncio.get_running_loop().time() - began < 2

    run(main())


def test_lingering_in_vain_is_told(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect(linger=0.05) as conn:
                receipt = await conn.send("note", 1)
            assert receipt.outcome is Outcome.EXPIRED

    run(main())
    assert "closed with 1 messages not settled" in caplog.text


def test_time_outs_of_many_requests_are_not_kept() -> None:
    async def main() -> None:
        async with world() as w, w.connect() as conn:
            stuck = asyncio.create_task(conn.request("slow", 0, timeout=3.0))
            for i in range(200):  # as many as go beside one that is stuck
                await conn.request("echo", i)
            assert len(conn._shell.outcomes._due) < 100
            w.hold.set()
            await stuck

    asyncio.run(main())
