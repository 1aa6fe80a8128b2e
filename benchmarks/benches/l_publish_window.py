"""One client with its window open: `heartline send`."""

from dataclasses import replace

from . import k_publish_100

BENCH = replace(
    k_publish_100.BENCH,
    name="publish-window",
    title="publications, 1 client, window 192",
    about="one client with 192 publications of 100 bytes under way; of the 256 numbers of the protocol's window 64 are "
    "settled and not yet told",
    load=("publish", "--connections", "1", "--window", "192", "--size", "100", "--seconds", "3"),
)
