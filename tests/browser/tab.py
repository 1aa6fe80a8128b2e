"""What the tests need of a browser, whichever it is: tabs that open pages and run JavaScript in them.

- what the page throws fails the test that ran it, with the page's own words (test_an_error_in_the_page_fails_the_test);
- all tabs of one browser share its storage, as a person's do.
"""

import json
from typing import Any, Protocol

PATIENCE = 15.0  # seconds for anything that must come


class PageError(AssertionError):
    """JavaScript that a test ran in a page threw this."""


class Tab(Protocol):
    """One tab."""

    async def goto(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""

    async def reload(self) -> None:
        """Load the page again."""

    async def run(self, body: str, **values: Any) -> Any:
        """Run the body of an asynchronous function that knows `values`; what it returns. Raises `PageError`."""

    async def close(self) -> None:
        """Close the tab."""


class Browser(Protocol):
    """One running browser."""

    name: str

    async def tab(self, url: str) -> Tab:
        """A new tab with this page."""

    async def stop(self) -> None:
        """End it."""


def wrapped(body: str, values: dict[str, Any]) -> str:
    """An expression: a promise of [whether it went well, JSON of what it gave]."""
    names = ", ".join(values)
    return (
        f"(async ({{{names}}}) => {{ {body} }})(JSON.parse({json.dumps(json.dumps(values))}))"
        ".then((value) => JSON.stringify([true, value === undefined ? null : value]),"
        " (error) => JSON.stringify([false, String(error && error.stack ? `${error}\\n${error.stack}` : error)]))"
    )


def unwrapped(text: str) -> Any:
    """What `wrapped` gave."""
    well, value = json.loads(text)
    if not well:
        raise PageError(value)
    return value
