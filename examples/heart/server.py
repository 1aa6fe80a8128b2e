"""Text ping and pong: everybody who is on the same task reads what the others say.

The address says who it is with two bare values, `/heart/websocket?<task>&<user>`; a third one is ignored.

- ping is answered with pong, and nothing else is (test_a_text_client_of_heart);
- what is said reaches those on the same task, and nobody else (test_a_task_is_a_room).
"""

from pathlib import Path

import heartline
from heartline import Identity, Request, Session

LONGEST = 500  # characters of a message


def build(folder: Path) -> heartline.Server:
    """`folder` is not used: nothing is kept."""
    app = heartline.Server(path="/heart/native")
    app.speak("/heart/websocket", "heart")

    @app.login
    def login(request: Request) -> Identity:
        task, user = who(request)
        return Identity(f"{task}/{user}", user=(task, user))

    @app.on("message")
    async def message(session: Session, text: str) -> None:
        task, user = session.user
        for other in app.sessions():
            if other.user[0] == task:
                await other.send("message", f"{user}: {text[:LONGEST]}")

    return app


def who(request: Request) -> tuple[str, str]:
    """Task and user, by the address."""
    values = [part for part in request.query.split("&") if part and "=" not in part]
    task, user, *_ = [*values, "-", "-"]
    return task[:40], user[:40]


if __name__ == "__main__":
    build(Path()).run(
        port=8002, ready=lambda address: print(f"ws://{address.host}:{address.port}/heart/websocket?7&ann", flush=True)
    )
