"""Every proxy test runs on asyncio's loop and on uvloop."""

from collections.abc import Awaitable, Callable

import pytest

from tests.faults.net import LOOPS, run

type_of_run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=sorted(LOOPS))
def on_loop(request: pytest.FixtureRequest) -> type_of_run:
    return lambda test: run(request.param, test)
