"""Serving an ASGI application with uvicorn as it is fastest: what both peers of that kind share."""

from typing import Any


def serve(app: Any) -> None:
    """Serve until SIGTERM."""
    import uvicorn  # type: ignore[import-not-found]

    config = uvicorn.Config(
        app,
        port=0,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        access_log=False,
        log_level="error",
        backlog=4096,
    )

    class Telling(uvicorn.Server):  # type: ignore[misc]
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            print(f'{{"port": {self.servers[0].sockets[0].getsockname()[1]}}}', flush=True)

    Telling(config).run()
