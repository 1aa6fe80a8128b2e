"""Files as pages of a server, with headers that let a page load nothing else.

Invariants:
- no page may run inline scripts, load from other hosts, or be framed (test_pages_are_locked_down);
- a file that is edited is served anew, one that is being replaced as it was (test_files_are_served_as_they_are);
- only files found when the server was made are served (test_only_what_is_there_is_served).
"""

import contextlib
import re
from pathlib import Path
from typing import Final

from heartline.server import Server
from heartline.transports.api import Request, Respond

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
}
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'{sockets}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def serve_folder(app: Server, path: str, folder: Path) -> None:
    """Serve every file below `folder` under `path`, which ends with a slash; index.html is the folder itself."""
    for file in sorted(folder.rglob("*")):
        if file.suffix in TYPES and file.is_file() and not any(part.startswith(".") for part in file.parts):
            name = file.relative_to(folder).as_posix()
            serve_file(app, path + (name.removesuffix("index.html") if name.endswith("index.html") else name), file)


def serve_file(app: Server, path: str, file: Path) -> None:
    """Serve one file as it is when it is asked for; while it is being replaced, as it was."""
    kind, last = TYPES[file.suffix], file.read_bytes()

    @app.page(path)
    def page(request: Request) -> Respond:
        nonlocal last
        with contextlib.suppress(OSError):
            last = file.read_bytes()
        return Respond(200, last, kind, headers_for(request))


def redirect(app: Server, path: str, target: str) -> None:
    """Send browsers from one path to another."""
    app.page(path)(lambda _: Respond(308, headers={"Location": target}))


def headers_for(request: Request) -> dict[str, str]:
    """The headers of every file. WebSockets are named, since not every browser takes 'self' for them."""
    host = request.headers.get("host", "")
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return {
        "Content-Security-Policy": _POLICY.format(sockets=sockets),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
