"""`heartline prove`, started over a control link."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import heartline
from heartline.demo.prover import Prover
from tests.demo.room import PATIENCE, Page, gallery, on_loop

NEVER = [word for name in ("server", "sender", "listener") for word in (f"--kill-{name}-every", "inf")]


def short(folder: Path, lines: int = 2000) -> tuple[str, ...]:
    """Options of a run that takes a second or two."""
    text = folder / "text"
    text.write_text("".join(f"line {n}\n" for n in range(lines)))
    return ("--input", str(text), "--rate", "2000", "--cut-every", "0.3", "--freeze-every", "5", *NEVER)


async def told(control: heartline.Connection) -> list[tuple[str, dict[str, Any]]]:
    """Everything up to the verdict."""
    story: list[tuple[str, dict[str, Any]]] = []
    async with asyncio.timeout(3 * PATIENCE):
        async for item in control.subscribe("prove", since="beginning"):
            assert isinstance(item, heartline.Entry)
            story.append((item.event, item.data))
            if item.event == "verdict":
                break
    return story


def test_a_run_from_a_page(tmp_path: Path) -> None:
    @on_loop
    async def test() -> None:
        async with gallery(prove=short(tmp_path)) as running, Page(running) as page, Page(running) as other:
            assert await page.control.request("prove.start") == 1
            story, seen_by_other = await asyncio.gather(told(page.control), told(other.control))
            assert story == seen_by_other
            events = [event for event, _ in story]
            assert events[0] == "started"
            assert events.count("progress") >= 2
            verdict = story[-1][1]
            assert verdict["ok"] is True
            assert (verdict["sent"], verdict["received"], verdict["run"]) == (2000, 2000, 1)
            received = [data["received"] for event, data in story if event == "progress"]
            assert received == sorted(received)
            assert all(data["lines"] == 2000 for event, data in story if event == "progress")
            assert await page.control.request("prove.start") == 2  # and again
            await page.control.request("prove.stop")

    test()


def test_one_run_at_a_time(tmp_path: Path) -> None:
    @on_loop
    async def test() -> None:
        async with gallery(prove=short(tmp_path, 100_000)) as running, Page(running) as page, Page(running) as other:
            assert await other.control.request("prove.stop") is False
            await page.control.request("prove.start")
            with pytest.raises(heartline.Rejected) as refusal:
                await other.control.request("prove.start")
            assert refusal.value.code == "busy"
            assert await other.control.request("prove.stop") is True
            assert (await told(page.control))[-1][1]["stopped"] is True

    test()


@pytest.mark.parametrize(
    "options", [("--nonsense",), ("--input", "/no/such/file"), ("--timeout", "0.5", "--rate", "1")]
)
def test_every_run_has_a_verdict(options: tuple[str, ...]) -> None:
    @on_loop
    async def test() -> None:
        async with gallery(prove=options) as running, Page(running) as page:
            await page.control.request("prove.start")
            verdict = (await told(page.control))[-1][1]
            assert verdict["ok"] is False
            assert verdict["problems"]
            assert "Traceback" not in str(verdict)

    test()


def test_closing_ends_the_run(tmp_path: Path) -> None:
    @on_loop
    async def test() -> None:
        async def tell(what: str, data: dict[str, Any]) -> None:
            if what == "progress":
                going.set()

        going = asyncio.Event()
        prover = Prover(tell, short(tmp_path, 100_000))
        assert prover.start() == 1
        async with asyncio.timeout(PATIENCE):
            await going.wait()
        process = prover._process
        assert process is not None
        assert process.returncode is None
        await prover.close()
        assert process.returncode is not None
        assert not prover.running
        await prover.close()

    test()


@on_loop
async def test_a_run_that_cannot_tell_ends() -> None:
    async def tell(what: str, data: dict[str, Any]) -> None:
        raise RuntimeError("the gallery is closing")

    prover = Prover(tell)
    prover.start()
    await prover.close()
    assert not prover.running
