"""What a client says comes back to it, and to nobody else.

The dialect does all of it: an echo is how it confirms a message, so a handler that takes one is enough, and a message
without a handler is met with silence.

- messages and heartbeats come back as they are, unknown fields included (test_an_echo_client);
- other ModeCodes, and what is no object, are met with silence (test_echo_is_silent_about_the_rest).
"""

from pathlib import Path
from typing import Any

import heartline


def build(folder: Path) -> heartline.Server:
    """`folder` is not used: nothing is kept."""
    app = heartline.Server(path="/echo/native")
    app.speak("/echo", "echo")

    @app.on("message")
    def message(said: Any) -> None:
        """It was taken: that is what the echo says."""

    return app


if __name__ == "__main__":
    build(Path()).run(port=8002, ready=lambda address: print(f"ws://{address.host}:{address.port}/echo", flush=True))
