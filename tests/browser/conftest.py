"""Tests here are coroutines, which run on the stage with the real browsers."""

import inspect
from collections.abc import Iterator

import pytest

from tests.browser.room import Room
from tests.browser.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The loop, the page and the browsers of this test process."""
    stage = Stage()
    stage.start()
    yield stage
    stage.stop()


@pytest.fixture
def room(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Room]:
    """A server and a network of the test's own, and tabs of its `browser`."""
    browser = request.getfixturevalue("browser") if "browser" in request.fixturenames else "chromium"
    room = stage.run(Room.open(stage, browser))
    yield room
    stage.run(room.close())


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function on the stage."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    values = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    stage = pyfuncitem.funcargs["stage"]
    assert isinstance(stage, Stage)
    stage.run(pyfuncitem.obj(**values))
    return True
