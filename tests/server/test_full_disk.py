"""A server whose SQLite file cannot be written for a while: nothing is said that is not kept, and all goes on after."""

import asyncio
import http.client
import json
from pathlib import Path
from typing import Any

import pytest

import heartline
from heartline import Rejected, Server
from heartline.brokers.sqlite import SqliteBroker
from tests.brokers.sqlite_kit import rows
from tests.server.raw import until


def health(port: int) -> tuple[int, Any]:
    """What /health answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/health")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


def test_a_full_disk_holds_answers_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(asyncio.wait_for(_full_disk(tmp_path), 30))
    assert "the disk is full" in caplog.text


async def _full_disk(folder: Path) -> None:
    broker = SqliteBroker(folder / "a.db", sweep_every=1000.0)
    app = Server(broker)
    app.channel("news", publish=True)
    ran: list[int] = []

    @app.on("count")
    def count(number: int) -> str:
        ran.append(number)
        return "y" * 50_000 * (number - 1)

    async with app.serving() as address, heartline.connect(address.url) as conn:
        assert await conn.request("count", 1) == ""
        await rows(broker, "PRAGMA max_page_count = 1")  # as small as the file is
        big = "x" * 100_000
        with pytest.raises(Rejected, match="busy"):
            await (await conn.publish("news", big))
        held = asyncio.ensure_future(conn.request("count", 2))
        await until(lambda: ran == [1, 2])
        await until(lambda: broker.trouble)
        status, state = await asyncio.to_thread(health, address.port)
        assert (status, state["status"], state["reason"]) == (503, "failing", "the broker cannot write")
        assert str(folder) not in str(state)
        await rows(broker, "PRAGMA max_page_count = 1000000")
        assert await held == "y" * 50_000
        assert ran == [1, 2], "started twice"
        await (await conn.publish("news", big))
        assert (await asyncio.to_thread(health, address.port))[0] == 200
