"""The gallery that `heartline demo` serves: the example systems, their pages, and a network that pages may break.

    async with Gallery("127.0.0.1", 8002) as gallery:
        print(gallery.url)

The public port is a `heartline.faults.FaultProxy`; behind it, on a loopback port, one `heartline.Server` has all
systems mounted. A WebSocket whose URL says `page=ID` is a link of that page, and its page may break it over /control.

Errors: `DemoError` says in one line what is missing and how to get it; OSError where the port cannot be had.
"""

from .gallery import Gallery
from .places import DemoError

__all__ = ["DemoError", "Gallery"]
