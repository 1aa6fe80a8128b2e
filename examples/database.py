"""SQL for handlers: an engine for SQLite or PostgreSQL, and a way to ask it without blocking anybody.

Invariants:
- a database that is away for a moment costs a moment (test_postgresql_restarts);
- one that stays away ends in a refusal, and never in silence (test_a_database_that_is_away).
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import InterfaceError, OperationalError

from heartline import Refuse

PAUSES: Final = (0.1, 0.3, 0.6, 1.0, 1.5, 2.0)
"""Seconds between the tries."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def open_engine(url: str) -> Engine:
    """An engine for "sqlite:///file.db" or "postgresql://user@host/name". Raises ValueError for one that keeps nothing."""
    if url in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        raise ValueError("a database in memory keeps nothing: name a file, such as sqlite:///app.db")
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


async def in_sql(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call a function that talks to the database, in a thread; again for some seconds while nobody answers.

    So `work` must be one transaction that may be done twice: nobody knows whether the first one was committed.
    """
    for pause in PAUSES:
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except (OperationalError, InterfaceError):
            await asyncio.sleep(pause)
    raise Refuse("busy", "the database does not answer", retry=5)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode = wal", "foreign_keys = on", "busy_timeout = 10000"):
        connection.execute(f"PRAGMA {pragma}")
