"""What may start in one turn of the loop."""

import asyncio

from heartline.server.allowance import FREE, Allowance

from .raw import on_loop


class Counted:
    """An allowance, and how often it had something go on."""

    def __init__(self, starts: int = 3) -> None:
        self.resumed = 0
        self.allowance = Allowance(asyncio.get_running_loop(), self._resume)
        self.allowance.starts = starts

    def _resume(self) -> None:
        self.resumed += 1

    def start(self, at: float = 0.0) -> int:
        """Start what may start; how much that was."""
        count = 0
        while count < 100 and self.allowance.takes(at):
            self.allowance.spend()
            count += 1
        return count


@on_loop
async def test_a_turn_starts_so_many() -> None:
    counted = Counted()
    assert counted.start() == 3
    assert counted.start() == 0
    await asyncio.sleep(0)
    assert counted.start() == 3


@on_loop
async def test_a_turn_ends_in_time() -> None:
    counted = Counted(starts=100)
    allowance = counted.allowance
    for _ in range(FREE):
        assert allowance.takes(0.0)
        allowance.spend()
    assert allowance.takes(10.0)
    assert allowance.takes(10.0 + allowance.seconds * 0.9)
    assert not allowance.takes(10.0 + allowance.seconds)
    await asyncio.sleep(0)
    assert allowance.takes(10.0 + allowance.seconds)


@on_loop
async def test_what_is_owed_goes_on() -> None:
    counted = Counted()
    counted.start()
    await asyncio.sleep(0)
    assert counted.resumed == 0, "nothing waits"
    counted.start()
    counted.allowance.owe()
    await asyncio.sleep(0)
    assert counted.resumed == 1
    await asyncio.sleep(0)
    assert counted.resumed == 1


@on_loop
async def test_closed_nothing_starts() -> None:
    counted = Counted()
    counted.start()
    counted.allowance.owe()
    counted.allowance.close()
    await asyncio.sleep(0)
    assert (counted.start(), counted.resumed) == (0, 0)
