"""What durable sessions cost on the request path, a window of 8."""

from dataclasses import replace

from . import a_request_window_8

BENCH = replace(
    a_request_window_8.BENCH,
    name="durable-request-8",
    title="request and reply, durable, window 8",
    peers=("heartline, SQLite", "heartline"),
    quick=("--seconds", "0.7", "--warmup", "0.3"),
    targets={},
    quick_rounds=1,
    group="durable",
)
