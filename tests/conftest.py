"""What holds for every test: nothing asynchronous is left behind.

- A test whose event loop (`asyncio.run`, `uvloop.run`, `asyncio.Runner`) ends with tasks that nobody
  cancelled or awaited fails, naming them; `@pytest.mark.leaves_tasks` where that is the subject.
- So does one that makes asyncio log an error ("exception was never retrieved" and its like);
  `@pytest.mark.logs_asyncio_errors`.

A test that hangs is ended with every thread's traceback (`faulthandler_timeout` in pyproject.toml).

The tests run on the source, and with heartline compiled (`make compiled`); a test marked `pure` or `compiled` belongs to
one of these runs only.
"""

import asyncio
import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

import heartline
from heartline.variant import is_compiled


class _Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


# Machines are slow at times; tests assert no times.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_report_header() -> str:
    """Which heartline is tested."""
    return f"heartline: {'compiled' if is_compiled() else 'source'}, {heartline.__path__[0]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what belongs to the other run."""
    other = "pure" if is_compiled() else "compiled"
    left_out = [item for item in items if item.get_closest_marker(other) is not None]
    items[:] = [item for item in items if item.get_closest_marker(other) is None]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True)
def no_task_is_left_behind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test that leaves tasks running."""
    left: list[str] = []
    close = asyncio.Runner.close

    def closing(runner: asyncio.Runner) -> None:
        try:
            pending = asyncio.all_tasks(runner.get_loop())
        except RuntimeError:  # closed before
            pending = set()
        # One that was told to stop and only waits for its turn is no leak.
        left.extend(repr(task) for task in pending if not task.cancelling())
        close(runner)

    monkeypatch.setattr(asyncio.Runner, "close", closing)
    yield
    if left and request.node.get_closest_marker("leaves_tasks") is None:
        pytest.fail("tasks were left running:\n" + "\n".join(left))


@pytest.fixture(autouse=True)
def asyncio_logs_no_error(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that makes asyncio complain."""
    records = _Records()
    logger = logging.getLogger("asyncio")
    logger.addHandler(records)
    yield
    logger.removeHandler(records)
    if records.lines and request.node.get_closest_marker("logs_asyncio_errors") is None:
        pytest.fail("asyncio logged:\n" + "\n".join(records.lines))
