"""A client in Python follows a channel whose entries come one by one."""

from benchmarks.harness.model import Bench

from .v_client_receive import LOAD, TARGETS
from .w_client_request import PER_CPU, RATE

BENCH = Bench(
    "client-receive-one",
    "Python client: receiving, one by one",
    "the same, an entry every 50 µs in a write of its own: what counts is the client's processor time",
    ("heartline client", "picows client"),
    (*LOAD, "--pace", "50"),
    (PER_CPU, RATE),
    quick=("--seconds", "1"),
    quick_rounds=2,
    targets=TARGETS,
)
