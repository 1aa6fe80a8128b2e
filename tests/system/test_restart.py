"""A thousand clients, and the server goes away and comes back: once without a memory, once with one."""

import asyncio
import collections
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import heartline
from heartline import BackOff, ClientPolicy, Heartbeat, OutcomeUnknown, Server, ServerLimits, State
from heartline.brokers.memory import MemoryBroker
from heartline.client import StateChange

CLIENTS = 1_000
BASE = 0.5
POLICY = ClientPolicy(
    heartbeat=Heartbeat(30.0, 30.0),
    back_off=BackOff(BASE, 4.0, 30.0),
    connect_timeout=10.0,
    hello_timeout=10.0,
)


@dataclass
class Client:
    conn: heartline.Connection
    number: int
    changes: list[tuple[float, StateChange]] = field(default_factory=list)
    session: str | None = None
    gaps: list[heartline.Gap] = field(default_factory=list)


def make_server(broker: Any, handled: "collections.Counter[Any]", gate: asyncio.Event) -> Server:
    app = Server(broker, heartbeat=Heartbeat(30.0, 30.0), limits=ServerLimits())
    app.channel("news")

    @app.on("count")
    def count(data: Any) -> Any:
        handled[str(data)] += 1
        return data

    @app.on("stuck", concurrent=True)
    async def stuck(data: Any) -> None:
        handled[f"stuck {data}"] += 1
        await gate.wait()

    return app


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def allow_files(count: int) -> None:
    """Two sockets for each link: more than many systems allow a process at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def check_dials(client: Client) -> None:
    """Never two dials at once: each attempt ends before the next begins, and none begins on an open link."""
    state = State.IDLE
    for _, change in client.changes:
        assert change.old is state
        state = change.new
        if change.new is State.DIALLING:
            assert change.old in {State.IDLE, State.WAITING}


@pytest.mark.parametrize("kept", ["nowhere", "in memory", "on disk"])
def test_all_come_back_after_a_restart(kept: str, tmp_path: Path) -> None:
    allow_files(2 * CLIENTS + 200)
    memory = MemoryBroker(durable=True)
    broker = {"nowhere": "memory://", "in memory": memory, "on disk": f"sqlite:///{tmp_path}/a.db"}[kept]
    asyncio.run(asyncio.wait_for(_restart(broker, durable=kept != "nowhere"), 60))


async def _restart(broker: Any, *, durable: bool) -> None:
    handled: collections.Counter[Any] = collections.Counter()
    gate = asyncio.Event()
    serving = make_server(broker, handled, gate).serving()
    address = await serving.__aenter__()
    clients = []
    for number in range(CLIENTS):
        conn = heartline.connect(address.url, policy=POLICY, linger=0.0)
        client = Client(conn, number)
        conn.on_gap(client.gaps.append)
        conn.on_state(lambda change, client=client: client.changes.append((time.monotonic(), change)))
        clients.append(client)
    try:
        await asyncio.gather(*(client.conn.start() for client in clients))
        await asyncio.gather(*(client.conn.connected(20) for client in clients))
        for client in clients:
            client.session = client.conn.session_id
        got: collections.Counter[int] = collections.Counter()
        for client in clients[::10]:
            client.conn.subscribe("news", callback=lambda entry, n=client.number: got.update([n]))
        await asyncio.gather(*(client.conn.request("count", client.number) for client in clients))
        lost = [await client.conn.send("stuck", client.number) for client in clients[:200]]
        again = [
            await client.conn.send("stuck", f"again {client.number}", delivery="at_least_once")
            for client in clients[:200]
        ]
        await until(lambda: sum(n for name, n in handled.items() if name.startswith("stuck")) == 400)

        down = time.monotonic()
        await serving.__aexit__(None, None, None)
        kept = [await client.conn.send("count", f"offline {client.number}") for client in clients]
        gate.set()
        app = make_server(broker, handled, gate)
        serving = app.serving(port=address.port)
        assert await serving.__aenter__() == address

        await asyncio.gather(*(client.conn.connected(20) for client in clients))
        await asyncio.gather(*kept, *again)
        outcomes = await asyncio.gather(*lost, return_exceptions=True)
        await app.publish("news", "e", 1)
        await until(lambda: len(got) == CLIENTS // 10)
        assert set(got.values()) == {1}

        resumed = sum(client.conn.session_id == client.session for client in clients)
        if durable:
            assert resumed == CLIENTS, "each session goes on"
            assert outcomes == [None] * 200, "what was interrupted is done by the next server"
        else:
            assert resumed == 0, "each is told that the memory was lost"
            assert {tuple(gap.reason for gap in client.gaps) for client in clients} == {("epoch",)}
            assert all(isinstance(outcome, OutcomeUnknown) for outcome in outcomes)
        for client in clients:
            assert handled[f"offline {client.number}"] == handled[str(client.number)] == 1
        for client in clients[:200]:
            assert handled[f"stuck {client.number}"] == (2 if durable else 1)
            assert handled[f"stuck again {client.number}"] == 2

        delays = []
        for client in clients:
            check_dials(client)
            after = [change for at, change in client.changes if at > down]
            assert after[0].code == 1001
            delays.append(after[0].retry_in)
            assert sum(change.new is State.DIALLING for change in after) <= 8
        check_spread(delays)
    finally:
        await asyncio.gather(*(client.conn.close() for client in clients))
        await serving.__aexit__(None, None, None)


def check_spread(delays: list[Any]) -> None:
    """Full jitter: the first delays fill the first step evenly (the Kolmogorov–Smirnov distance says how much so)."""
    delays.sort()
    distance = max(abs((n + 1) / len(delays) - delay / BASE) for n, delay in enumerate(delays))
    assert distance < 0.08, f"{distance} of {delays[0]} to {delays[-1]}"
