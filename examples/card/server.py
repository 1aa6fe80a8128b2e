"""An identity, then a card: `python -m examples.card.server`, then dial ws://127.0.0.1:8002/card.

    {"memberId": "m-7", "token": "anything"}
    {"type": "bindCard", "cardId": "c-1", "BusinessID": "b-1", "phone": "555", "memberId": "m-7",
     "BusinessName": "Tea", "baseId": "1"}

The identity is this application's own: an object, in which `memberId` says who it is. A token
would be checked in `login`. It is answered with

    {"code": "200", "success": true, "msgType": "auth_ack"}

or, refused, with another code and `msg`, and the link is closed. A binding is answered with `msgType` "bind_ack": code
"200" and the card as `data`, "400" for what is no binding, "403" for another member's, "409" for a card that is somebody
else's. `{"type": "myCards"}` is answered with "cards".

Both are said again after every reconnect, so both may be said any number of times. Nothing answers the beat
`{"type": "heartBeat", "msg": "this is heatbeat"}`: to this end what comes in is life.

Invariants:
- a refused identity is told, and then the link is closed (test_a_refused_identity_is_told);
- who is not identified binds nothing (test_before_the_identity_nothing_is_bound);
- binding twice does not bind twice (test_binding_twice_does_not_bind_twice).
"""

import argparse
import asyncio
import hashlib
import json
import os
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, field

import heartline
from heartline import Identity, Refuse, Session

from ..database import in_sql  # noqa: TID252 - the examples are installed under another name
from .store import Row, Store

Name = Annotated[str, Meta(max_length=200)] | Annotated[int, Meta(ge=0, le=2**53)] | None


class Binding(Struct):
    """`bindCard`, in the order in which clients spell it."""

    card: Name = field(name="cardId", default=None)
    business: Name = field(name="BusinessID", default=None)
    phone: Name = None
    member: Name = field(name="memberId", default=None)
    business_name: Name = field(name="BusinessName", default=None)
    base: Name = field(name="baseId", default=None)


def build(folder: Path, *, database: str | None = None, refused: Collection[str] = ("m-refused",)) -> heartline.Server:
    """The application. `refused`: members whose identity is not accepted."""
    app = heartline.Server(path="/card/native")
    app.speak("/card", "card")
    running = ExitStack()
    store: Store

    @app.startup
    async def begin() -> None:
        nonlocal store
        store = await asyncio.to_thread(Store, database or f"sqlite:///{folder / 'card.db'}")
        running.callback(store.close)

    app.shutdown(running.close)

    @app.login
    def login(said: dict[str, Any]) -> Identity:
        if said.get("type") == "bindCard":
            raise Refuse("401", "say who you are first")
        member = text_of(said.get("memberId"))
        if member in refused:
            raise Refuse("403", "this member may not come in")
        # An identity that names no member is its own name.
        name = member or hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]
        return Identity(name, user={"member": member})

    @app.on("bindCard")
    async def bind(session: Session, said: dict[str, Any]) -> None:
        try:
            binding = checked(session, said)
            card = await in_sql(store.bind, session.identity, **binding)
            if card is None:
                raise Refuse("409", "this card is bound to somebody else")
        except Refuse as refusal:
            code = refusal.code if refusal.code.isdecimal() else "503"
            answer: Row = {"code": code, "success": False, "msg": refusal.message}
        else:
            answer = {"code": "200", "success": True, "data": card}
        await tell(session, "bind_ack", answer)

    @app.on("myCards")
    async def mine(session: Session) -> None:
        await session.send(
            "cards", {"code": "200", "success": True, "data": await in_sql(store.cards, session.identity)}
        )

    return app


async def tell(session: Session, event: str, answer: Row) -> None:
    """Answer, unless the client is gone: then it will ask again."""
    if not session.ended:
        await session.send(event, answer)


def checked(session: Session, said: dict[str, Any]) -> dict[str, str]:
    """A binding as it may be stored. Raises `Refuse`."""
    try:
        binding = msgspec.convert(said, Binding)
    except msgspec.ValidationError as error:
        raise Refuse("400", str(error)) from None
    fields = {name: text_of(getattr(binding, name)) for name in Binding.__struct_fields__}
    if not fields["card"]:
        raise Refuse("400", "cardId is missing")
    if session.user["member"] and fields["member"] not in ("", session.user["member"]):
        raise Refuse("403", "this is another member")
    return fields


def text_of(value: object) -> str:
    """A name as text; clients write some as numbers. Empty for what is none."""
    return str(value).replace("\0", "")[:200] if isinstance(value, str | int) and not isinstance(value, bool) else ""


def main() -> None:
    """Serve cards alone."""
    parser = argparse.ArgumentParser(prog="python -m examples.card.server", description="Cards, bound in SQL.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8002)
    parser.add_argument("--database", default=os.environ.get("CARD_DATABASE", "sqlite:///card.db"))
    parser.add_argument("--refuse", metavar="MEMBER", action="append", default=["m-refused"])
    options = parser.parse_args()
    app = build(Path.cwd(), database=options.database, refused=options.refuse)
    app.run(options.host, options.port, ready=lambda at: print(f"ws://{at.host}:{at.port}/card", flush=True))


if __name__ == "__main__":
    main()
