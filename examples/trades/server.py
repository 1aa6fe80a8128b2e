"""Live positions, pushed to whoever asks: `python -m examples.trades.server`, then ws://127.0.0.1:8002/trades.

    {"type": "Subscribe", "traderid": 10260}    his positions, please
    {"traderid": 10260, "type": "Ping"}         every 15 seconds; nothing answers it
    {"type": "Stop", "traderid": 10260}         no more of him
    GET /trades/closed?traderid=10260           what he closed, newest first

Every push carries all that the trader has open, `{"Code": 200, "data": [row, …]}`: one at once, then one for each second
in which something changed, and at least one in ten. So whoever missed some is right again with the next, and a client
that hears nothing for longer knows that its link is dead, although nothing answers its beats.

Invariants:
- rubbish is answered with a code or with silence, and harms nobody (test_rubbish_harms_nobody);
- a trader nobody knows is told so, in a message that existing clients ignore (test_an_unknown_trader);
- after "Stop" nothing comes any more, whether the client closes or not (test_stop).
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs

import msgspec

import heartline
from heartline import Refuse, Request, Respond, Session

from .book import Book, Position

EVENT = "getPositonsOrder"
"""What existing clients call a push: spelt so."""
OK, UNKNOWN = 200, 404
AT_LEAST = 10  # seconds of the book: so often everybody gets a push

Push = dict[str, Any]


def build(folder: Path, *, seed: int = 1, second: float = 1.0) -> heartline.Server:
    """The application; nothing is kept in `folder`. `second`: how long a second of the book lasts, in seconds."""
    app = heartline.Server(path="/trades/native")  # the same channels, spoken natively
    app.speak("/trades", "trades", channel=channel_of)
    book = Book(seed)
    positions = app.channel("positions/{trader}", history=1)
    tasks: list[asyncio.Task[None]] = []

    @positions
    async def may_follow(session: Session, trader: str) -> None:
        if _number(trader) not in book.traders:
            await session.send(EVENT, {"Code": UNKNOWN, "data": None, "msg": "no such trader"})
            raise Refuse("no_such_trader", "no such trader")
        await session.send(EVENT, _push(book.rows(int(trader))))

    @app.on("message")
    def stop(session: Session, said: Any) -> None:
        trader = _stopped(said)
        if trader is not None:
            session.revoke(f"positions/{trader}", "stopped")

    @app.page("/trades/closed")
    def closed(request: Request) -> Respond:
        asked = parse_qs(request.query).get("traderid", [""])[0]
        trader = _number(asked)
        if trader not in book.traders:
            return _json(404, {"Code": UNKNOWN, "data": None, "msg": "no such trader"})
        return _json(200, _push(book.closed(trader)))

    @app.startup
    def begin() -> None:
        tasks.append(asyncio.create_task(live()))

    @app.shutdown
    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tasks.clear()

    async def live() -> None:
        while True:
            await asyncio.sleep(second)
            changed = book.step()
            for trader in book.traders if book.now % AT_LEAST == 0 else sorted(changed):
                await app.publish(f"positions/{trader}", EVENT, _push(book.rows(trader)))

    return app


def channel_of(args: Any) -> str | None:
    """Which channel a message asks for: whatever names a trader does, unless it is a beat or a stop."""
    if not isinstance(args, dict) or args.get("type") == "Ping" or _stopped(args) is not None:
        return None
    trader = _number(args.get("traderid"))
    return None if trader is None else f"positions/{trader}"


def _stopped(said: Any) -> int | None:
    """Whom a stop message is about."""
    stop = isinstance(said, dict) and str(said.get("type", "")).lower() in {"stop", "unsubscribe"}
    return _number(said.get("traderid")) if stop else None


def _number(value: object) -> int | None:
    """A trader's number; clients write it as a number or as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 16:
        return int(value)
    return value if type(value) is int and 0 <= value < 10**15 else None


def _push(rows: list[Position]) -> Push:
    return {"Code": OK, "data": rows}


def _json(status: int, body: Push) -> Respond:
    return Respond(status, msgspec.json.encode(body), "application/json")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        build(Path(folder)).run(port=8002)
