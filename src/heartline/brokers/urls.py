"""A broker from its URL: what `Server(broker=…)` and `heartline serve --broker` take.

Invariant: what cannot be a broker is refused with the forms that can (test_broker_urls).
"""

from urllib.parse import parse_qsl, unquote, urlsplit

from heartline.core.ports import Broker

from .memory import MemoryBroker

FORMS = "'memory://', 'sqlite:///app.db' (a file in this folder) or 'sqlite:////var/lib/app.db'"


def make_broker(url: str, session_ttl: float) -> Broker:
    """The broker of a URL. `session_ttl`: seconds for which it keeps a session nobody holds. Raises ValueError.

    `sqlite:///…?sync=normal` leaves out the flush to the disk at each commit: faster on slow disks, and what was
    acknowledged last may be lost when the machine (not the process) dies.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme == "memory" and not (parts.netloc or parts.path.strip("/") or options):
        return MemoryBroker()
    if parts.scheme == "sqlite" and not parts.netloc and parts.path.startswith("/") and len(parts.path) > 1:
        sync = options.pop("sync", "full")
        if options or sync not in {"full", "normal"}:
            raise ValueError(f"broker: after the file only ?sync=full or ?sync=normal is known, not {url!r}")
        from .sqlite import SqliteBroker

        return SqliteBroker(unquote(parts.path[1:]), sync=sync, session_ttl=session_ttl)
    raise ValueError(f"broker must be {FORMS}, or a Broker of your own, not {url!r}")
