"""The native example: its board and its counter, through cuts."""

import asyncio
from pathlib import Path

import pytest

import heartline
from examples.native.server import build
from heartline.faults import FaultProxy, FaultRules
from tests.examples.kit import on_loop, serving


@on_loop
async def test_the_board_has_each_line_once() -> None:
    async with serving(build(Path("nowhere")), "/native") as url:
        address = url.removeprefix("ws://").split("/")[0].split(":")
        rules = FaultRules(cut_every=0.15)
        async with (
            FaultProxy((address[0], int(address[1])), rules=rules) as proxy,
            heartline.connect(proxy.url("ws", "/native")) as ann,
            heartline.connect(proxy.url("ws", "/native")) as bob,
        ):
            board = bob.subscribe("board", since="beginning")
            for n in range(60):
                await ann.send("write", {"text": f"line {n}"})
                await asyncio.sleep(0.01)
            seen = []
            async with asyncio.timeout(30):
                async for item in board:
                    assert isinstance(item, heartline.Entry)
                    seen.append(item.data["text"])
                    if len(seen) == 60:
                        break
            assert seen == [f"line {n}" for n in range(60)]
            assert proxy.stats.cut > 0


@on_loop
async def test_every_number_is_counted_once() -> None:
    async with serving(build(Path("nowhere")), "/native") as url:
        address = url.removeprefix("ws://").split("/")[0].split(":")
        async with (
            FaultProxy((address[0], int(address[1])), rules=FaultRules(cut_every=0.1)) as proxy,
            heartline.connect(proxy.url("ws", "/native")) as conn,
        ):
            asked = []
            for n in range(1, 201):
                asked.append(asyncio.create_task(conn.request("count", n)))
                await asyncio.sleep(0.005)
            answers = await asyncio.gather(*asked)
            assert answers == [[n, 0] for n in range(1, 201)]
            assert proxy.stats.cut > 0


@on_loop
async def test_a_line_has_to_be_one() -> None:
    async with serving(build(Path("nowhere")), "/native") as url, heartline.connect(url) as conn:
        for nonsense in ({"text": ""}, {"text": "x" * 281}, {"text": 7}, {}, None):
            with pytest.raises(heartline.Rejected) as refusal:
                await conn.request("write", nonsense)
            assert refusal.value.code == "invalid"
