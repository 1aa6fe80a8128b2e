"""A client in Python with sixty-four requests under way."""

from dataclasses import replace

from benchmarks.harness.model import Bench

from . import a_request_window_8 as server

RATE = server.RATE
PER_CPU = replace(server.PER_CPU, title="of a core-second", unit="msg a CPU second")

BENCH = Bench(
    "client-request",
    "Python client: requests, window 64",
    "64 tasks with one request of 64 bytes after the other, a server in C; picows' client keeps 64 messages on the road",
    ("heartline client", "heartline client, pure", "picows client"),
    ("request", "--size", "64", "--seconds", "3"),
    (RATE,),
    PER_CPU,
    quick=("--seconds", "1"),
    quick_rounds=2,
    targets={"picows client": 0.8},
)
