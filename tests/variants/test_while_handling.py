"""Whatever is awaited while an exception is being handled does not raise that exception again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import heartline
from heartline.server.questions import settled


async def while_handling(act: Callable[[], Awaitable[object]]) -> object:
    """Wait for something in an `except`, and for the same in a `finally` that an exception passes through."""
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        await act()
    answers: list[object] = []

    async def passing() -> None:
        try:
            raise ZeroDivisionError
        finally:
            answers.append(await act())

    with pytest.raises(ZeroDivisionError):
        await passing()
    return answers[0]


class Recorder:
    """An awaitable that waits, and keeps what is thrown into it."""

    def __init__(self) -> None:
        self.thrown: tuple[object, ...] = ()

    def __await__(self) -> "Recorder":
        return self

    def __iter__(self) -> "Recorder":
        return self

    def __next__(self) -> None:
        return None

    def throw(self, *error: object) -> None:
        self.thrown = error
        raise StopIteration(5)


def test_what_is_thrown_is_handed_on_without_a_warning() -> None:
    """One argument: since Python 3.12 there is a warning for three."""
    recorder, error = Recorder(), ZeroDivisionError()
    waiting = settled(recorder)
    waiting.send(None)
    with pytest.raises(StopIteration) as ended:
        waiting.throw(error)
    assert ended.value.value == 5
    assert recorder.thrown == (error,)


@pytest.mark.parametrize("kept", [False, True])
def test_public_coroutines_while_an_exception_is_handled(tmp_path: Path, kept: bool) -> None:
    app = heartline.Server(f"sqlite:///{tmp_path / 'app.db'}" if kept else "memory://")
    app.channel("news", publish=True)

    @app.on("echo")
    async def echo(session: heartline.Session, text: str) -> str:
        return text

    async def use(conn: heartline.Connection) -> None:
        await while_handling(conn.connected)
        assert await while_handling(lambda: conn.request("echo", "hi", type=str)) == "hi"
        receipt = await while_handling(lambda: conn.send("echo", "hi"))
        assert isinstance(receipt, heartline.Receipt)
        await while_handling(lambda: receipt)
        await while_handling(lambda: conn.publish("news", 1))
        await while_handling(conn.settled)
        session = app.sessions()[0]
        await while_handling(lambda: session.send("line", 1))
        await while_handling(lambda: app.publish("news", "line", 2))
        news = conn.subscribe("news", since="beginning")
        await while_handling(news.ready)
        entry = await while_handling(lambda: anext(news))
        assert isinstance(entry, heartline.Entry)
        await while_handling(news.close)

    async def serve_and_use(conn: heartline.Connection) -> None:
        await while_handling(conn.start)
        await use(conn)
        await while_handling(conn.end)
        await while_handling(conn.close)

    async def fail_while_serving() -> None:
        outbox = str(tmp_path / "out.db") if kept else None
        async with app.serving(port=0, drain=0.1) as address, heartline.connect(address.url, outbox=outbox) as conn:
            await use(conn)
            raise ZeroDivisionError

    async def serve() -> None:
        async with app.serving(port=0) as address:
            await serve_and_use(heartline.connect(address.url))

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await fail_while_serving()
        await while_handling(serve)

    asyncio.run(main())
