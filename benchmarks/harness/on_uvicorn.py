"""Serving an ASGI application with uvicorn as it is fastest: what both peers of that kind share."""

import asyncio
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
    server = uvicorn.Server(config)

    async def run() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print(f'{{"port": {server.servers[0].sockets[0].getsockname()[1]}}}', flush=True)
        await serving

    import uvloop

    uvloop.run(run())
