"""Channels and session records in one SQLite file: the embedded broker that survives a restart.

`broker` is the port; `store` the file as its writing and reading threads see it, made of `channels`, `sessions` and
`published`; `statements` makes few statements of many rows.
"""

from .broker import SqliteBroker

__all__ = ["SqliteBroker"]
