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


async def check_conversation() -> None:
    """A request gets its reply, and a subscriber what is published."""
    app = heartline.Server()

    @app.on("echo")
    async def echo(session: heartline.Session, text: str) -> str:
        return text

    async with app.serving(host="127.0.0.1", port=0) as address:
        assert address.url.startswith("ws://127.0.0.1:"), address.url
        async with heartline.connect(address.url) as conn:
            reply = await conn.request("echo", "hi", type=str)
            assert reply == "hi", reply

            async def publish_until_cancelled() -> None:
                # Entries published before the subscription stands are rightly not delivered.
                while True:
                    await app.publish("news", "line", "extra, extra")
                    await asyncio.sleep(0.02)

            async with asyncio.TaskGroup() as group:
                publishing = group.create_task(publish_until_cancelled())
                async for entry in conn.subscribe("news"):
                    assert entry.event == "line", entry
                    assert entry.data == "extra, extra", entry
                    break
                publishing.cancel()


if __name__ == "__main__":
    check_surroundings(sys.argv[1:])
    check_command()
    asyncio.run(asyncio.wait_for(check_conversation(), 20))
    print(f"heartline {metadata.version('heartline')} on Python {sys.version.split()[0]}: works")
