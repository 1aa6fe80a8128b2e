"""Counts of a server in Prometheus' text format (version 0.0.4).

Invariant: every count of `Stats` is there under its own name (test_every_count_is_told).
"""

from dataclasses import fields
from typing import Final

from heartline.server import Server, Stats
from heartline.transports.api import Respond

_COUNTERS: Final = frozenset({"messages_started", "entries_published"})


def metrics_page(app: Server) -> Respond:
    """Answer a scrape: `app.page("/metrics")(lambda request: metrics_page(app))`."""
    stats = app.stats()
    lines: list[str] = []
    for field in fields(Stats):
        counter = field.name in _COUNTERS
        name = f"heartline_{field.name}{'_total' if counter else ''}"
        lines += [f"# TYPE {name} {'counter' if counter else 'gauge'}", f"{name} {getattr(stats, field.name)}"]
    return Respond(200, ("\n".join(lines) + "\n").encode(), "text/plain; version=0.0.4; charset=utf-8")
