"""The browsers these tests drive, and what to tell somebody who has not got them.

- a test whose browser is missing fails and says what to install (test_a_missing_browser_is_named).

`python -m tests.browser.programs` lists what is missing, and fails if anything is: `make browsers`.
"""

import shutil
import sys
from pathlib import Path

PROGRAMS = {  # what we call it: where it may be, and its package in Debian and Ubuntu
    "chromium": (("chromium", "chromium-browser", "google-chrome"), "chromium"),
    "firefox": (("firefox-esr", "firefox"), "firefox-esr"),
    "webkit": (("WebKitWebDriver",), "webkit2gtk-driver"),
    "minibrowser": (
        tuple(f"/usr/lib/{cpu}-linux-gnu/webkit2gtk-4.{n}/MiniBrowser" for cpu in ("x86_64", "aarch64") for n in "10"),
        "webkit2gtk-driver",
    ),
    "xvfb": (("Xvfb",), "xvfb"),
}


class Missing(Exception):
    """A program is not installed."""

    def __init__(self, *names: str) -> None:
        packages = " ".join(dict.fromkeys(PROGRAMS[name][1] for name in names))
        super().__init__(
            f"not installed: {', '.join(names)}. On Debian and Ubuntu:"
            f" apt-get install --no-install-recommends {packages} fonts-wqy-microhei"
        )


def locate(name: str) -> str | None:
    """Where a program is, if it is anywhere."""
    places, _ = PROGRAMS[name]
    return next((found for place in places if (found := shutil.which(place))), None)


def program(name: str) -> Path:
    """The path of a program. Raises `Missing`."""
    found = locate(name)
    if found is None:
        raise Missing(name)
    return Path(found)


def main() -> None:
    """Tell what is missing."""
    missing = [name for name in PROGRAMS if locate(name) is None]
    if missing:
        sys.exit(str(Missing(*missing)))
    print("all browsers are there: " + ", ".join(str(locate(name)) for name in PROGRAMS))


if __name__ == "__main__":
    main()
