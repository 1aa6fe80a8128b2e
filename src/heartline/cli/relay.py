"""The open relay: anyone publishes and follows any channel. What `heartline serve` runs without an application.

Invariant: it keeps what was published within its limits in entries and bytes, and takes lines as fast as they come
(test_a_hundred_thousand_lines_through_cuts).
"""

import html
from collections.abc import Sequence

from heartline import __version__
from heartline.core.policy import Heartbeat, ServerLimits
from heartline.server import Server
from heartline.transports.api import Request, Respond

from .values import named

HISTORY = 1_000_000
HISTORY_BYTES = 256 << 20
UNLIMITED = 1e9  # frames a second that no link reaches

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>heartline relay</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:44em;margin:3em auto;padding:0 1em}}
pre{{background:#8882;padding:1em;overflow:auto}}</style>
<h1>A heartline relay</h1>
<p>Anyone who reaches this address may publish on any channel and follow any channel. It keeps up to
{history:,} entries of each channel {kept}.</p>
<pre>heartline listen {url} news
seq 1 1000 | heartline send {url} --channel news</pre>
<p>It speaks <code>heartline.1</code> over WebSockets at this very address. Now: {links:,} links, {sessions:,} sessions,
{published:,} entries published since it started. <a href="/health">/health</a> says the same to programs.</p>
<p>heartline {version}</p></html>
"""


def make_relay(
    history: int = HISTORY,
    history_bytes: int = HISTORY_BYTES,
    origins: Sequence[str] = (),
    heartbeat: Heartbeat | None = None,
    *,
    secure: bool = False,
    broker: str = "memory://",
) -> Server:
    """A server without limits of rate, one rule for all channels, and a page that says so.

    `secure`: it will be served over TLS.
    """
    limits = ServerLimits(rate=None, frames=UNLIMITED)
    app = Server(broker, limits=limits, heartbeat=heartbeat, origins="*" if "*" in origins else origins)
    app.channel("{name:path}", history=history, history_bytes=history_bytes, publish=True)

    @app.page("/")
    def page(request: Request) -> Respond:
        stats = app.stats()
        host = request.headers.get("host", named("127.0.0.1", 8000))
        text = _PAGE.format(
            history=history,
            kept="in memory, and nothing once it stops" if broker.startswith("memory") else "in a file",
            url=html.escape(f"{'wss' if secure else 'ws'}://{host}/"),
            links=stats.links,
            sessions=stats.sessions,
            published=stats.entries_published,
            version=__version__,
        )
        return Respond(200, text.encode(), "text/html; charset=utf-8")

    return app
