"""Trace and metrics."""

import asyncio
import io
import json
import logging
from dataclasses import fields

import pytest

import heartline
from heartline.core.enums import State
from heartline.observe import JsonTrace, LogTrace, metrics_page
from heartline.server import Stats


def test_one_fact_is_one_line() -> None:
    stream = io.StringIO()
    trace = JsonTrace(stream)
    trace(1.5, "client.state", {"new": "open", "reason": "two\nlines", "odd": State.OPEN})
    trace(2.5, "server.bad_frame", {})
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["what"], first["reason"]) == ("client.state", "two\nlines")
    assert second["what"] == "server.bad_frame"


def test_a_failing_stream_stops_only_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    trace = JsonTrace(stream)
    stream.close()
    trace(1.0, "a", {})
    trace(2.0, "b", {})
    assert len(caplog.records) == 1


def test_log_trace_logs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "heartline.trace"):
        LogTrace()(1.0, "client.state", {"new": "open"})
    assert caplog.messages == ['client.state {"new":"open"}']


def test_every_count_is_told() -> None:
    async def main() -> str:
        app = heartline.Server()
        app.page("/metrics")(lambda _request: metrics_page(app))
        async with app.serving(port=0) as address, heartline.connect(address.url) as conn:
            await conn.connected(timeout=5)
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 5)
            writer.close()
        return answer.decode()

    answer = asyncio.run(main())
    assert "heartline_links 1\n" in answer
    for field in fields(Stats):
        assert f"heartline_{field.name}" in answer
