"""A board everybody writes on, and a counter, in heartline's own protocol.

- what is written on the board is there once, in the order everybody sees (test_the_board_has_each_line_once);
- the counter counts every number once, whatever the links do (test_every_number_is_counted_once).
"""

from pathlib import Path
from typing import Annotated

import msgspec

import heartline
from heartline import Session

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=280)]


class Note(msgspec.Struct):
    text: Line
    name: Annotated[str, msgspec.Meta(max_length=40)] = ""


def build(folder: Path) -> heartline.Server:
    """`folder` is not used: the board lives in memory."""
    app = heartline.Server(path="/native")
    app.channel("board", history=100)

    @app.on("write")
    async def write(note: Note) -> int:
        return await app.publish("board", "note", note)

    @app.on("count")
    def count(session: Session, number: int) -> list[int]:
        """How many numbers there were, and how many came twice or out of order."""
        last, counted, wrong = session.state.get("count", (0, 0, 0))
        session.state["count"] = (number, counted + 1, wrong + (number != last + 1))
        return list(session.state["count"][1:])

    return app


if __name__ == "__main__":
    build(Path()).run(port=8002, ready=lambda address: print(f"ws://{address.host}:{address.port}/native", flush=True))
