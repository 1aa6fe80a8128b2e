"""What durable sessions cost on the request path, a window of 1."""

from dataclasses import replace

from . import b_request_window_1

BENCH = replace(
    b_request_window_1.BENCH,
    name="durable-request-1",
    title="request and reply, durable, window 1",
    peers=("heartline, SQLite", "heartline"),
    quick=("--seconds", "0.7", "--warmup", "0.3"),
    targets={},
    quick_rounds=1,
    group="durable",
)
