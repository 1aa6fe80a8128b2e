"""One publisher that does not wait for each append."""

from dataclasses import replace

from . import h_append_100

BENCH = replace(
    h_append_100.BENCH,
    name="append-window",
    peers=("SQLite broker", "SQLite broker, sync=normal"),
    title="appends, 1 publisher, 256 under way",
    about="one publisher with 256 appends of 100 bytes under way",
    load=("append", "--publishers", "1", "--window", "256", "--seconds", "3"),
)
