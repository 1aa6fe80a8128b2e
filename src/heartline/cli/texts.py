"""The text that `heartline prove` carries, and the comparison of what arrived with it.

Invariants:
- the text of a machine is the same each time (test_the_standard_text_is_the_same_each_time);
- a difference of a single byte, a missing or an additional line is found, with its line
  (test_every_difference_is_found).
"""

import os
import shutil
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from .exits import Stop

STANDARD_LINES = 25_000
_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Text:
    """A file to carry. `about` says what it is; `unended`: its last line has no line feed."""

    path: Path
    lines: int
    size: int
    about: str
    unended: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """The first line that differs, from 1 on; None where one side has ended."""

    line: int
    expected: str | None
    received: str | None


def given_text(path: str, folder: Path) -> Text:
    """A file the person names; what is no regular file (a pipe) is copied into `folder` first. Raises Stop."""
    source = Path(path)
    try:
        if not source.is_file():
            copy = folder / "input"
            with source.open("rb") as pipe, copy.open("wb") as file:
                shutil.copyfileobj(pipe, file)
            source = copy
        _check_utf8(source, path)
        return _measured(source, path)
    except OSError as error:
        raise Stop(f"--input {path}: {error.strerror or error}") from None


def standard_text(folder: Path, most: int = STANDARD_LINES) -> Text:
    """Lines that every machine with Python has: the sources of its standard library, in the order of their names."""
    target = folder / "input"
    lines = files = 0
    with target.open("wb") as file:
        for path in _sources():
            content = path.read_bytes()
            if not content.endswith(b"\n") or not _is_utf8(content):
                continue
            piece = content.split(b"\n")[:-1][: most - lines]
            file.writelines(line + b"\n" for line in piece)
            lines += len(piece)
            files += 1
            if lines >= most:
                break
    if not lines:
        raise Stop("this Python comes without the sources of its standard library: name a text with --input FILE")
    return _measured(target, f"the sources of Python's standard library on this machine, {files} files")


def first_difference(text: Text, received: Path) -> Difference | None:
    """Compare byte by byte; a last line without line feed in the text is one with it among what was received."""
    with text.path.open("rb") as one, received.open("rb") as two:
        for number, (expected, found) in enumerate(zip_longest(_ended(one), two), 1):
            if expected != found:
                return Difference(number, _shown(expected), _shown(found))
    return None


def _ended(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield line if line.endswith(b"\n") else line + b"\n"


def _measured(path: Path, about: str) -> Text:
    lines = size = 0
    last = b"\n"
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            lines += piece.count(b"\n")
            size += len(piece)
            last = piece[-1:]
    unended = last != b"\n"
    if size == 0:
        raise Stop(f"{about}: there is not one line in it")
    return Text(path, lines + unended, size, about, unended)


def _check_utf8(source: Path, path: str) -> None:
    with source.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not _is_utf8(line):
                raise Stop(f"--input {path}: line {number:,} is not UTF-8")


def _sources() -> Iterator[Path]:
    library = Path(sysconfig.get_path("stdlib"))
    for folder, folders, names in os.walk(library):
        folders[:] = sorted(name for name in folders if name not in {"site-packages", "dist-packages", "__pycache__"})
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _shown(line: bytes | None) -> str | None:
    if line is None:
        return None
    text = repr(line[:_SHOWN].decode(errors="backslashreplace"))
    return f"{text}… ({len(line):,} bytes)" if len(line) > _SHOWN else text
