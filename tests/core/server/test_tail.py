"""The live end of a channel: what many get is told at once to those who wait for nothing (design: the hot path)."""

import pytest

from heartline.core.policy import ServerLimits
from heartline.core.ports import LogEntry
from heartline.core.server.link import ServerLink
from heartline.core.server.tail import Batch, Outlet
from tests.core.server.world import World

pytestmark = pytest.mark.pure  # Told is a class of its own


class Told(Outlet):
    """An outlet that keeps what it is told."""

    def __init__(self, link: ServerLink) -> None:
        self.batches: list[Batch] = []
        link.outlet = self

    def tell(self, pipe: object, batch: Batch) -> None:
        self.batches.append(batch)

    @property
    def offsets(self) -> list[int]:
        return [batch.mark.last for batch in self.batches]


def announce(world: World, channel: str, offset: int) -> None:
    epoch, _ = world.broker.head(channel)
    world.node.announced(channel, LogEntry(offset, offset - 1, "m", b"1", 0.0, epoch), world.now)


def waiting(link: ServerLink) -> list[int]:
    return [item.mark.last for item in link.out if isinstance(item, Batch)]


def test_who_waits_for_nothing_is_told_at_once() -> None:
    world = World()
    one, two = world.peer(), world.peer()
    for peer in (one, two):
        peer.say(["sub", 1, "c"])
    told, other = Told(one.link), Told(two.link)
    announce(world, "c", 1)
    two.link.say(b"before")
    world.node.flush(world.now)
    assert (told.offsets, one.link.out) == ([1], [])
    assert told.batches[0].payloads == [b'["msg","c",1,"m",1]']
    assert (other.offsets, two.link.out[0], waiting(two.link)) == ([], b"before", [1])
    assert (one.link.feed.in_flight, two.link.feed.in_flight) == (1, 1)
    assert two.link in world.node.dirty
    assert one.link not in world.node.dirty


def test_what_leaves_together_is_not_told_apart() -> None:
    world = World()
    one, publisher = world.peer(), world.peer()
    one.say(["sub", 1, "c"], ["sub", 2, "d"])
    publisher.say(["sub", 1, "c"])
    told, other = Told(one.link), Told(publisher.link)
    announce(world, "c", 1)
    announce(world, "d", 1)
    world.node.flush(world.now)
    assert (told.offsets, waiting(one.link)) == ([], [1, 1])
    world.turn()
    announce(world, "c", 2)
    world.node.touch(publisher.link)  # an acknowledgement is to follow
    world.node.flush(world.now)
    assert (told.offsets, other.offsets, waiting(publisher.link)) == ([2], [], [2])


def test_without_credit_nobody_is_told() -> None:
    world = World(limits=ServerLimits(credit=4))
    one = world.peer()
    one.say(["sub", 1, "c"])
    told = Told(one.link)
    for n in range(1, 6):
        world.publish("c", n)
    assert told.offsets == [1, 2, 3, 4]
    one.say(["at", "c", 4])
    assert one.offsets("c") == [5]  # read from the log
    assert one.link.feed.in_flight == 1
