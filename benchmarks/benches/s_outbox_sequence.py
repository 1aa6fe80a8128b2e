"""Sends one after another, each stored before the next."""

from dataclasses import replace

from . import r_outbox

BENCH = replace(
    r_outbox.BENCH,
    name="outbox-sequence",
    title="client: sends in sequence",
    about="await send() after await send(): with a file each is on the disk before the next; in memory it returns at "
    "once while there is room",
    load=("sequence", "--seconds", "3"),
)
