"""What no file of the repository may contain, and how long a source file may be.

- no address of a package registry and no path of one machine, so that anybody's mirror works;
- nothing that looks like a secret;
- no file over 500 lines in src (300 is the aim);
- the version that the package tells (clients say it in hello) is the one it is published under;
- the locks pin, with hashes, what pyproject.toml and requirements/dev.in ask for.
"""

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import heartline

ROOT = Path(__file__).resolve().parents[2]
SELF = Path(__file__).resolve()
LONGEST = 500

REGISTRY = re.compile(
    r"pythonhosted\.org|pypi\.org/simple|registry\.npmjs|registry\.yarnpkg|npmmirror|deb\.debian\.org"
    r"|proxy\.golang\.org|--(extra-)?index-url|--find-links|file:///\w"
)
MACHINE = re.compile(r"(?<![\w.:/-])/(home|root|Users)/\w")
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}"
    r"|\bgithub_pat_\w{20,}|\bglpat-[\w-]{20}|\bxox[abprs]-[\w-]{10,}|\bsk-[A-Za-z0-9]{32,}"
    r"|\bnpm_[A-Za-z0-9]{30,}|\bpypi-AgE[\w-]{20,}"
)


@cache
def files() -> list[Path]:
    """Every file of the repository that is text: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [p for p in paths if p.is_file() and p != SELF and b"\0" not in p.read_bytes()]


def offenders(pattern: re.Pattern[str]) -> list[str]:
    """`path:line: match` for every match of `pattern` in the repository."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if (match := pattern.search(line))
    ]


def test_files_are_found() -> None:
    assert ROOT / "pyproject.toml" in files()


def test_no_registry_address() -> None:
    assert offenders(REGISTRY) == []


def test_no_path_of_one_machine() -> None:
    assert offenders(MACHINE) == []


def test_no_secret() -> None:
    assert offenders(SECRET) == []


def test_no_source_file_is_too_long() -> None:
    sizes = {p: p.read_text().count("\n") for p in files() if ROOT / "src" in p.parents and p.suffix == ".py"}
    assert sizes, "src has no Python files"
    too_long = {str(p.relative_to(ROOT)): n for p, n in sizes.items() if n > LONGEST}
    assert not too_long, f"is it two files? {too_long}"


def test_there_is_one_version() -> None:
    assert heartline.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


# --- locks ----------------------------------------------------------------------------------------


def pins(name: str) -> dict[str, tuple[str, int]]:
    """From a lock: name → (version, number of hashes)."""
    found: dict[str, tuple[str, int]] = {}
    current = ""
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        if match := re.match(r"([\w.-]+)==([^ ;\\]+)", line):
            current = canonicalize_name(match[1])
            found[current] = (match[2], 0)
        elif "--hash=sha256:" in line:
            version, count = found[current]
            found[current] = (version, count + 1)
    return found


def wanted() -> list[Requirement]:
    """What pyproject.toml and requirements/dev.in ask for."""
    meta = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = [*meta["project"]["dependencies"], *meta["build-system"]["requires"]]
    for extra in meta["project"]["optional-dependencies"].values():
        lines += extra
    dev = (ROOT / "requirements" / "dev.in").read_text().splitlines()
    lines += [line for line in dev if line and not line.startswith("#")]
    return [Requirement(line) for line in lines]


def test_every_requirement_is_locked_at_a_version_it_allows() -> None:
    locked = pins("dev.txt")
    for requirement in wanted():
        version, _ = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but {version} is locked: make lock"


def test_every_pin_has_hashes() -> None:
    for name in ("dev.txt", "runtime.txt"):
        assert [package for package, (_, hashes) in pins(name).items() if not hashes] == []


def test_the_runtime_lock_is_part_of_the_development_lock() -> None:
    everything, runtime = pins("dev.txt"), pins("runtime.txt")
    assert runtime
    assert {name: everything.get(name) for name in runtime} == runtime
