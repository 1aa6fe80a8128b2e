"""What type checkers make of the interface."""

from pathlib import Path

from mypy import api

SNIPPET = """
from collections.abc import Callable
from typing import Any, assert_type

import msgspec

import heartline
from heartline import Connection, Entry, Gap, Receipt, StateChange, Subscription


class Post(msgspec.Struct):
    id: int


async def use(conn: Connection) -> None:
    assert_type(await conn.request("e", type=Post), Post)
    assert_type(await conn.request("e", type=list[Post]), list[Post])
    assert_type(await conn.request("e"), Any)
    either: int | None = await conn.request("e", type=int | None)
    assert_type(await conn.send("e"), Receipt)
    assert_type(await conn.publish("c", 1), Receipt)
    await (await conn.send("e"))
    async with conn.subscribe("c", type=Post) as posts:
        assert_type(posts, Subscription[Post])
        async for item in posts:
            assert_type(item, Entry[Post] | Gap)
            if isinstance(item, Entry):
                assert_type(item.data, Post)
    async for change in conn.watch():
        assert_type(change, StateChange)

    @conn.on("e")
    async def handler(post: Post) -> None: ...

    await handler(Post(1))


def make() -> Connection:
    return heartline.connect("ws://host/", login=lambda: "token", headers={"A": "b"})


async def login() -> dict[str, str]:
    return {}


heartline.connect("ws://host/", login=login, headers=login)
heartline.connect("ws://host/", outbox=7)  # type: ignore[arg-type]
"""


def test_types_are_inferred(tmp_path: Path) -> None:
    program = tmp_path / "snippet.py"
    program.write_text(SNIPPET)
    out, err, status = api.run(
        ["--strict", "--warn-unused-ignores", "--config-file=", f"--cache-dir={tmp_path}", str(program)]
    )
    assert status == 0, out + err
