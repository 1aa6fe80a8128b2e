"""The part of the wheel smoke test that runs inside the clean environment (see `wheel_smoke.py`).

Arguments: names of distributions that must not be there. Uses the public interface only.
"""

import asyncio
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import heartline


def check_surroundings(unwanted: list[str]) -> None:
    """The package comes from this environment, complete, and brought no development tools along."""
    where = Path(heartline.__file__).resolve()
    assert where.is_relative_to(Path(sys.prefix).resolve()), f"heartline was imported from {where}"
    present = {(d.metadata["Name"] or "").lower().replace("_", "-") for d in metadata.distributions()}
    brought = present & set(unwanted)
    assert not brought, f"development packages are installed: {sorted(brought)}"
    protocol = resources.files("heartline") / "protocol" / "PROTOCOL.md"
    assert "heartline.1" in protocol.read_text(encoding="utf-8")


def check_command() -> None:
    """`heartline --version` and `python -m heartline --version` tell the version that is installed."""
    script = Path(sys.executable).with_name("heartline")
    for command in ([str(script)], [sys.executable, "-m", "heartline"]):
        output = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=20, check=True)
        assert metadata.version("heartline") in output.stdout, f"{command} said {output.stdout!r}"


def check_demo() -> None:
    """What `heartline demo` lacks here it says on one line."""
    done = subprocess.run(
        [sys.executable, "-m", "heartline", "demo", "--no-open", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2, done
    assert "pip install 'heartline[demo]'" in done.stderr or "npm ci" in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


async def check_conversation() -> None:
    """A request gets its reply, and a subscriber what is published."""
    app = heartline.Server()
    app.channel("news")

    @app.on("echo")
    async def echo(session: heartline.Session, text: str) -> str:
        return text

    async with app.serving(host="127.0.0.1", port=0) as address:
        assert address.url.startswith("ws://127.0.0.1:"), address.url
        async with heartline.connect(address.url) as conn:
            reply = await conn.request("echo", "hi", type=str)
            assert reply == "hi", reply

            news = conn.subscribe("news")
            await news.ready()
            offset = await app.publish("news", "line", "extra, extra")
            async for entry in news:
                assert isinstance(entry, heartline.Entry), entry
                assert (entry.offset, entry.event, entry.data) == (offset, "line", "extra, extra"), entry
                break


if __name__ == "__main__":
    check_surroundings(sys.argv[1:])
    check_command()
    check_demo()
    asyncio.run(asyncio.wait_for(check_conversation(), 20))
    print(f"heartline {metadata.version('heartline')} on Python {sys.version.split()[0]}: works")
