"""What type checkers make of the interface: decorators keep a function's type."""

from pathlib import Path

from mypy import api

SNIPPET = """
from collections.abc import Callable
from typing import Any, assert_type

import msgspec

from heartline import (
    Address, Channel, Heartbeat, Identity, Message, Refuse, Request, Respond, Server, ServerLimits, Session, Stats,
)

app = Server(limits=ServerLimits(message=1 << 16), heartbeat=Heartbeat(5, 5), origins=["https://example.com"])


class Draft(msgspec.Struct):
    text: str


@app.on("create", concurrent=True, on_crash="unknown")
async def create(session: Session, draft: Draft, message: Message) -> int:
    assert_type(session.id, str)
    assert_type(session.user, Any)
    assert_type(message.id, str)
    assert_type(await session.send("note", draft), int)
    return await app.publish("c", "e", draft, key=message.id)


@app.login
def login(payload: str, request: Request) -> Identity:
    raise Refuse("no", "never", retry=5.0, days=["mon"])


rule = app.channel("room/{name}", history=10, ttl=5.0, presence=True)
assert_type(rule, Channel)


@rule
def may_follow(session: Session, name: str) -> bool:
    return True


@rule.on_publish
async def may_publish(session: Session, name: str) -> bool:
    return True


@app.page("/")
def home(request: Request) -> Respond:
    return Respond(200, request.path.encode())


@app.startup
async def begin() -> None: ...


@app.opened
def opened(session: Session, resumed: bool) -> None: ...


async def use(session: Session, draft: Draft, message: Message, request: Request) -> None:
    assert_type(await create(session, draft, message), int)
    assert_type(login("x", request), Identity)
    assert_type(may_follow(session, "x"), bool)
    assert_type(await may_publish(session, "x"), bool)
    assert_type(home(request), Respond)
    assert_type(app.stats(), Stats)
    assert_type(app.sessions(), list[Session])
    async with app.serving(drain=1.0) as address:
        assert_type(address, Address)
        assert_type(address.url, str)


app.on(5)  # type: ignore[arg-type]
app.run(ready=lambda address: print(address.url))
"""


def test_types_are_inferred(tmp_path: Path) -> None:
    program = tmp_path / "snippet.py"
    program.write_text(SNIPPET)
    out, err, status = api.run(
        ["--strict", "--warn-unused-ignores", "--config-file=", f"--cache-dir={tmp_path}", str(program)]
    )
    assert status == 0, out + err
