"""A client in Python follows a channel that is always ahead of it."""

from benchmarks.harness.model import Bench

from .w_client_request import PER_CPU, RATE

LOAD = ("receive", "--size", "200", "--seconds", "3")
TARGETS = {"picows client": 0.5}
BENCH = Bench(
    "client-receive",
    "Python client: receiving a channel",
    "entries of 200 bytes, decoded, in order, the cursor told; from a server in C that writes 64 KiB at a time; picows' "
    "client counts frames",
    ("heartline client", "picows client"),
    LOAD,
    (RATE,),
    PER_CPU,
    quick=("--seconds", "1"),
    quick_rounds=2,
    targets=TARGETS,
)
