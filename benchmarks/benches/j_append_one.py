"""One publisher that waits for each append: how long a commit takes."""

from dataclasses import replace

from . import h_append_100

BENCH = replace(
    h_append_100.BENCH,
    name="append-one",
    peers=("SQLite broker", "SQLite broker, sync=normal", "plain sqlite3"),
    title="appends, 1 publisher, one under way",
    about="the next append of 100 bytes is made when the last is acknowledged",
    load=("append", "--publishers", "1", "--window", "1", "--seconds", "3"),
    limit=None,
)
