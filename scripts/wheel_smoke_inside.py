"""The part of the wheel smoke test that runs inside the clean environment (see `wheel_smoke.py`).

Arguments: the variant that has to run, then names of distributions that must not be there. Uses the public interface only.
"""

import asyncio
import subprocess
import sys
from importlib import import_module, metadata, resources
from importlib.machinery import SourceFileLoader
from pathlib import Path

import heartline

CORES = ["heartline.core.client", "heartline.core.server.node"]


def check_surroundings(unwanted: list[str]) -> None:
    """The package comes from this environment, complete, and brought no development tools along."""
    where = Path(heartline.__file__).resolve()
    assert where.is_relative_to(Path(sys.prefix).resolve()), f"heartline was imported from {where}"
    present = {(d.metadata["Name"] or "").lower().replace("_", "-") for d in metadata.distributions()}
    brought = present & set(unwanted)
    assert not brought, f"development packages are installed: {sorted(brought)}"
    protocol = resources.files("heartline") / "protocol" / "PROTOCOL.md"
    assert "heartline.1" in protocol.read_text(encoding="utf-8")


def check_variant(variant: str) -> None:
    """What is installed has libraries or not, and what runs is compiled or not."""
    libraries = [path.name for path in Path(heartline.__file__).parents[1].glob("heartline__mypyc*")]
    assert bool(libraries) is (variant != "pure"), libraries
    with_library = [name for name in CORES if not isinstance(import_module(name).__loader__, SourceFileLoader)]
    assert with_library == (CORES if variant == "compiled" else []), f"{variant}, but compiled are {with_library}"


def check_command(variant: str) -> None:
    """`heartline --version` and `python -m heartline --version` tell what is installed."""
    expected = f"heartline {metadata.version('heartline')}{' (compiled)' if variant == 'compiled' else ''}"
    script = Path(sys.executable).with_name("heartline")
    for command in ([str(script)], [sys.executable, "-m", "heartline"]):
        output = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=20, check=True)
        assert output.stdout.strip() == expected, f"{command} said {output.stdout!r}, not {expected!r}"


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
    _, variant, *unwanted = sys.argv
    check_surroundings(unwanted)
    check_variant(variant)
    check_command(variant)
    check_demo()
    asyncio.run(asyncio.wait_for(check_conversation(), 20))
    print(f"heartline {metadata.version('heartline')} on Python {sys.version.split()[0]}, {variant}: works")
