"""A server over a file with many sessions: they stay there until their clients come."""

import asyncio
import tracemalloc
from pathlib import Path

import heartline
from heartline import Server
from heartline.brokers.sqlite import SqliteBroker
from tests.brokers.sqlite_kit import record, started

SESSIONS = 20_000


def test_records_load_on_demand(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(_load_on_demand(tmp_path / "a.db"), 60))


async def _load_on_demand(path: Path) -> None:
    def make_app() -> Server:
        app = Server(SqliteBroker(path))
        app.on("echo")(lambda data: data)
        return app

    app = make_app()
    async with app.serving() as address:
        conn = heartline.connect(address.url)
        await conn.start()
        await conn.request("echo", 1)
    session = conn.session_id

    broker = await started(SqliteBroker(path))
    results = {n: b'["reply",%d,"%b"]' % (n, b"x" * 200) for n in range(1, 4)}
    for begin in range(0, SESSIONS, 2000):
        ids = range(begin, begin + 2000)
        await asyncio.gather(*[broker.swap(record(f"s{i}", results=results), None) for i in ids])
    await broker.stop()

    app = make_app()
    tracemalloc.start()
    try:
        async with app.serving(port=address.port):
            assert len(app.sessions()) <= 1
            assert await conn.request("echo", 2) == 2
            assert conn.session_id == session, "its session goes on"
            assert app.stats().sessions == 1, "others were loaded that nobody asked for"
            grown, _ = tracemalloc.get_traced_memory()
            await conn.close()
    finally:
        tracemalloc.stop()
    assert grown < 4 << 20, f"{grown:,} bytes for {SESSIONS:,} sessions on disk"
