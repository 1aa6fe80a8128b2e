"""Packages whose `__init__` runs when somebody asks them for a name."""

import importlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from heartline.transports.postponed import postpone

NAME = "a_package_of_a_test"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that can be imported; nothing of it is left behind."""
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Its text."""\nfrom .part import PART\nfrom .rest import REST\nWHOLE = 1\n')
    (folder / "part.py").write_text("PART = 2\n")
    (folder / "rest.py").write_text("REST = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


def loaded() -> set[str]:
    return {name.removeprefix(f"{NAME}.") for name in sys.modules if name.startswith(f"{NAME}.")}


def test_a_module_is_had_without_the_package(package: Path) -> None:
    postpone(NAME)
    assert importlib.import_module(f"{NAME}.part").PART == 2
    assert loaded() == {"part"}


def test_a_postponed_package_is_whole(package: Path) -> None:
    postpone(NAME)
    part = importlib.import_module(f"{NAME}.part")
    whole = importlib.import_module(NAME)
    assert loaded() == {"part"}
    assert (whole.WHOLE, whole.REST, whole.part) == (1, 3, part)
    assert whole.__doc__ == "Its text."
    assert loaded() == {"part", "rest"}
    assert type(whole) is ModuleType
    assert whole.__file__ == str(package / "__init__.py")
    with pytest.raises(AttributeError, match="nonsense"):
        whole.nonsense  # noqa: B018
    assert importlib.reload(whole) is whole


def test_a_name_of_one_module_needs_no_more(package: Path) -> None:
    postpone(NAME, PART="part")
    whole = importlib.import_module(NAME)
    assert whole.PART == 2
    assert loaded() == {"part"}
    assert (whole.WHOLE, whole.PART) == (1, 2)
    assert loaded() == {"part", "rest"}


def test_it_runs_once_whoever_asks(package: Path) -> None:
    (package / "rest.py").write_text("import time\ntime.sleep(0.05)\nREST = 3\n")
    postpone(NAME)
    whole = importlib.import_module(NAME)
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(whole.REST)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == [3] * 4


def test_one_that_fails_says_so_and_can_be_asked_again(package: Path) -> None:
    (package / "rest.py").write_text("import no_such_module_of_a_test\n")
    postpone(NAME)
    whole = importlib.import_module(NAME)
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module_of_a_test"):
            whole.WHOLE  # noqa: B018
    (package / "rest.py").write_text("REST = 33\n")
    importlib.invalidate_caches()
    assert whole.REST == 33


def test_an_imported_package_is_left_alone(package: Path) -> None:
    whole = importlib.import_module(NAME)
    postpone(NAME)
    assert sys.modules[NAME] is whole
    assert loaded() == {"part", "rest"}


def test_one_that_is_not_there_is_left_to_its_import() -> None:
    postpone("no_such_module_of_a_test")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module_of_a_test")
    postpone("timeit")  # no package
    assert "timeit" not in sys.modules or sys.modules["timeit"].__spec__ is not None


def test_picows_is_whole_for_everybody_else() -> None:
    program = """
import sys
import heartline.transports.client
assert "picows.picows" in sys.modules and "picows.api" not in sys.modules
from picows import *
assert ws_connect.__module__ == "picows.api", ws_connect
import picows
from heartline.transports import picows_names
for name in picows_names.__all__:
    assert getattr(picows, name, None) in (getattr(picows_names, name), None), name
assert picows.WSTransport is picows_names.WSTransport and picows.__version__
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_plain_dial_loads_nothing_that_tls_needs() -> None:
    program = """
import asyncio, sys
from heartline.transports.adopt import adopt

async def main():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1")
    sock = __import__("socket").create_connection(server.sockets[0].getsockname())
    transport, _ = await adopt(asyncio.get_running_loop(), sock, asyncio.Protocol)
    from aiofastnet import Transport
    assert isinstance(transport, Transport) and transport.write_nocheck
    assert {"aiofastnet.ssl_transport", "tempfile"}.isdisjoint(sys.modules)
    transport.abort()

asyncio.run(main())
import aiofastnet
assert aiofastnet.create_connection and aiofastnet.Transport is sys.modules["aiofastnet.transport"].Transport
assert "aiofastnet.ssl_transport" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
