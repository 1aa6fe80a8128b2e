"""The checks of tests/conftest.py see what they are for, and let clean tests pass."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"

PRELUDE = "import asyncio, gc, pytest\n"
LEAK = """
async def main():
    global kept
    kept = asyncio.create_task(asyncio.sleep(60), name="forgotten")
    await asyncio.sleep(0)
"""
CANCELLED = """
async def main():
    asyncio.create_task(asyncio.sleep(60)).cancel()
"""
UNRETRIEVED = """
async def bad():
    raise LookupError("nobody asked")

async def main():
    asyncio.create_task(bad())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
"""
TEST = "\ndef test_it():\n    asyncio.run(main())\n"


@pytest.mark.parametrize(
    ("body", "mark", "complaint"),
    [
        (LEAK, "", "forgotten"),
        (LEAK, "leaves_tasks", None),
        (CANCELLED, "", None),
        (UNRETRIEVED, "", "never retrieved"),
        (UNRETRIEVED, "logs_asyncio_errors", None),
    ],
)
def test_what_is_left_behind_is_seen(tmp_path: Path, body: str, mark: str, complaint: str | None) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    leaves_tasks\n    logs_asyncio_errors\n")
    marked = f"\npytestmark = pytest.mark.{mark}\n" if mark else ""
    (tmp_path / "test_it.py").write_text(PRELUDE + marked + body + TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    if complaint is None:
        assert done.returncode == 0, done.stdout
    else:
        assert done.returncode == 1, done.stdout
        assert complaint in done.stdout
