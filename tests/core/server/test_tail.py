"""The live end of a channel: what many get is told at once to those who wait for nothing (design: the hot path)."""

import pytest

from heartline.core.policy import ServerLimits
from heartline.core.ports import LogEntry
from heartline.core.server.link import ServerLink
from heartline.core.server.tail import TOGETHER, Batch, Outlet
from tests.core.server.world import World

pytestmark = pytest.mark.pure  # Told is a class of its own


class Pipes(Outlet):
    """An outlet that keeps what each pipe is told."""

    def tell(self, pipes: list[object], batch: Batch) -> None:
        for pipe in pipes:
            assert isinstance(pipe, Told)
            pipe.batches.append(batch)


class Told:
    """What a link is told at once."""

    def __init__(self, link: ServerLink) -> None:
        self.batches: list[Batch] = []
        link.pipe = self
        link.node.outlet = Pipes()

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


def test_many_are_told_once_each_what_they_lack() -> None:
    world = World(limits=ServerLimits(sessions_per_user=1000))
    peers = [world.peer() for _ in range(3 * TOGETHER + 5)]
    for peer in peers:
        peer.say(["sub", 1, "c"])
    told = [Told(peer.link) for peer in peers]
    early, late = peers[: 2 * TOGETHER + 2], peers[2 * TOGETHER + 2 :]
    for peer in late:
        peer.link.feed.by_channel["c"].sent = 1
    announce(world, "c", 1)
    announce(world, "c", 2)
    world.node.flush(world.now)
    assert [one.offsets for one in told] == [[2]] * len(peers)
    assert [len(one.batches[0].payloads) for one in told] == [2] * len(early) + [1] * len(late)
