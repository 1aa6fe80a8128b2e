"""The control link: who may use it, and what it takes."""

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import heartline
from heartline.demo.control import is_our_name
from tests.demo.room import PATIENCE, Page, gallery, on_loop, page_id, ws


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
def test_foreign_pages_get_nowhere(origin: str) -> None:
    @on_loop
    async def test() -> None:
        async with gallery() as running:
            for path in ("/control", "/echo", "/native"):
                with pytest.raises(InvalidStatus) as refusal:
                    await connect(ws(running, path), origin=origin).__aenter__()  # type: ignore[arg-type]
                assert refusal.value.response.status_code == 403

    test()


@on_loop
async def test_names_that_others_point_here_get_nowhere() -> None:
    """DNS rebinding: the page's own host, as its browser believes, is this machine."""
    async with gallery() as running:
        port = running.address[1]
        conn = heartline.connect(
            ws(running, "/control"), headers={"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
        )
        async with conn:
            with pytest.raises(heartline.LoginRefused, match="host"):
                async with asyncio.timeout(PATIENCE):
                    await conn.request("network.wish", {"page": page_id()})


def test_our_names() -> None:
    names = frozenset({"box"})
    for good in ("127.0.0.1", "127.0.0.1:8002", "localhost:8002", "LOCALHOST", "a.localhost", "[::1]:8002", "[::1]",
                 "192.168.1.7:8002", "box", "box:1", "BOX"):  # fmt: skip
        assert is_our_name(good, names), good
    for bad in ("", "evil.example", "evil.example:8002", "127.0.0.1.evil.example", "localhost.evil.example", "1.2.3",
                "box.evil", ":8002"):  # fmt: skip
        assert not is_our_name(bad, names), bad


GOOD = page_id()
NONSENSE: list[tuple[str, Any]] = [
    ("network.wish", None),
    ("network.wish", {}),
    ("network.wish", {"page": "short"}),
    ("network.wish", {"page": "x" * 23}),
    ("network.wish", {"page": "../../../../etc/passwd"}),
    ("network.wish", {"page": GOOD, "freeze": "sideways"}),
    ("network.wish", {"page": GOOD, "dials": True}),
    ("network.wish", {"page": GOOD, "latency": -1}),
    ("network.wish", {"page": GOOD, "latency": 1e9}),
    ("network.wish", {"page": GOOD, "cut_every": 0}),
    ("network.wish", {"page": GOOD, "unknown": 1}),
    ("network.cut", {"page": GOOD, "lose": "yes"}),
    ("network.cut", [GOOD]),
]


@on_loop
async def test_nonsense_is_refused() -> None:
    async with gallery() as running, Page(running) as page:
        for event, data in NONSENSE:
            with pytest.raises(heartline.Rejected) as refusal:
                await page.control.request(event, data)
            assert refusal.value.code == "invalid", data
        with pytest.raises(heartline.Rejected):
            await (await page.control.publish("prove", {"ok": True}))
        assert (await page.wish())["open"] == 0
