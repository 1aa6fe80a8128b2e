"""The application the page talks to. `app` is for a process of its own, which a test kills and starts again."""

import asyncio
import os

import heartline


def make(broker: str, origin: str) -> tuple[heartline.Server, list[object]]:
    """The application, and where it writes down what `note` was given."""
    app = heartline.Server(broker, heartbeat=heartline.Heartbeat(0.3, 0.3), origins=[origin])
    noted: list[object] = []
    app.channel("log/{name}", publish=True)

    @app.on("echo")
    def echo(data: object) -> object:
        return data

    @app.on("note")
    def note(data: object) -> None:
        noted.append(data)

    @app.on("slow")
    async def slow(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    return app, noted


if "HEARTLINE_TEST_BROKER" in os.environ:
    app, _ = make(os.environ["HEARTLINE_TEST_BROKER"], os.environ["HEARTLINE_TEST_ORIGIN"])
