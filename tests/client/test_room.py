"""A full outbox: refusing, dropping the oldest, and waiting for room."""

import asyncio

import pytest

from heartline import Expired, Full, OutboxFull, OutboxLimits, Outcome

from .conftest import Run
from .world import until, world


def test_full_outbox_refuses(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect(outbox=OutboxLimits(messages=2)) as conn:
                await conn.send("note", 1)
                await conn.send("note", 2)
                with pytest.raises(OutboxFull):
                    await conn.send("note", 3)
                with pytest.raises(OutboxFull):
                    conn.send_nowait("note", 3)
                with pytest.raises(OutboxFull):
                    await conn.request("note", 3)
                w.proxy.refuse(False)
                await conn.settled(5)
            assert w.handled == [1, 2]

    run(main())


def test_full_outbox_drops_the_oldest(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect(outbox=OutboxLimits(messages=2, full=Full.DROP_OLDEST)) as conn:
                receipts = [await conn.send("note", i) for i in range(4)]
                assert [r.outcome for r in receipts] == [Outcome.EXPIRED, Outcome.EXPIRED, None, None]
                with pytest.raises(Expired, match="full outbox"):
                    await receipts[0]
                w.proxy.refuse(False)
                await conn.settled(5)
            assert w.handled == [2, 3]

    run(main())


WAIT = OutboxLimits(messages=2, full=Full.WAIT)


def test_room_in_the_order_of_asking(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect(outbox=WAIT) as conn:
                senders = []
                for i in range(30):
                    send = conn.request("note", i) if i % 5 == 4 else conn.send("note", i)
                    senders.append(asyncio.ensure_future(send))
                    await asyncio.sleep(0)
                with pytest.raises(OutboxFull):
                    conn.send_nowait("note", "pushy")
                assert conn.pending == 2
                w.proxy.refuse(False)
                await asyncio.gather(*senders)
                await conn.settled(5)
            assert w.handled == list(range(30))

    run(main())


def test_cancelled_while_waiting_for_room(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect(outbox=WAIT) as conn:
                senders = [asyncio.create_task(conn.send("note", i)) for i in range(6)]
                await until(lambda: conn.pending == 2)
                await asyncio.sleep(0)
                senders[2].cancel()
                senders[4].cancel()
                with pytest.raises(Expired, match="no room"):
                    await conn.request("note", "late", timeout=0.05)
                w.proxy.refuse(False)
                await asyncio.gather(*senders, return_exceptions=True)
                await conn.settled(5)
            assert w.handled == [0, 1, 3, 5]

    run(main())


def test_nobody_waits_for_room_there_can_never_be(run: Run) -> None:
    async def main() -> None:
        async with world() as w, w.connect(outbox=OutboxLimits(bytes=1000, full=Full.WAIT)) as conn:
            with pytest.raises(OutboxFull):
                await conn.send("note", "x" * 2000)
            await (await conn.send("note", "x" * 500))

    run(main())


def test_waiting_for_room_ends_with_the_connection(run: Run) -> None:
    async def main() -> None:
        async with world() as w:
            w.proxy.refuse()
            async with w.connect(outbox=WAIT) as conn:
                senders = [asyncio.create_task(conn.send("note", i)) for i in range(4)]
                await until(lambda: conn.pending == 2)
                await asyncio.sleep(0)
                await conn.close()
                done = await asyncio.gather(*senders, return_exceptions=True)
                assert [type(result).__name__ for result in done] == [
                    "Receipt",
                    "Receipt",
                    "ConnectionClosed",
                    "ConnectionClosed",
                ]

    run(main())
