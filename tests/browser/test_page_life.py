"""What happens to a page, not to its network: hidden, frozen, left and come back to, crashed, beside another tab.

Only Chromium can be made to do all of it from outside.
"""

import pytest

from tests.browser.room import Room
from tests.browser.stage import Stage
from tests.browser.tab import PageError
from tests.browser.world import BOUND, Watch, until

SLACK = 2.0  # seconds a busy machine may take beside
PATIENT = "dial(url, { backOff: { base: 30, cap: 30 }, random: () => 1 });"
"""A page that waits 30 s between dials: whoever dials sooner had a reason."""


async def test_offline_is_a_half_open_link_and_online_dials_at_once(room: Room) -> None:
    world = room.world
    tab = await room.chromium()
    await tab.run(f"{PATIENT} return follow(channel)", url=world.url, channel=world.channel)
    await tab.offline()
    watch = Watch()
    await tab.run("for (let i = 0; i < 20; i++) conn.send('note', i)")
    await world.write(1, 2)
    await tab.run("return until(() => states.includes('waiting'))")
    assert watch.seconds < BOUND + SLACK
    assert await tab.run("return navigator.onLine") is False
    await until(lambda: world.app.stats().links == 0, "the server keeps the link")
    await tab.offline(False)
    watch = Watch()
    await tab.run("await conn.connected(5); await conn.settled(5); return until(() => got.length === 2)")
    assert watch.seconds < SLACK
    assert world.noted == list(range(20))
    assert await tab.run("return got") == [1, 2]
    assert await tab.run("return alive()") == 1


async def test_dials_while_offline_open_nothing_and_the_last_one_wins(room: Room) -> None:
    world = room.world
    tab = await room.chromium()
    await tab.offline()
    await tab.run("dial(url); conn.send('note', 'early')", url=world.url)
    await tab.run("return until(() => states.filter((state) => state === 'waiting').length > 3)")
    assert world.proxy.stats.dials == 0
    await tab.offline(False)
    await tab.run("return conn.settled(5)")
    assert world.noted == ["early"]
    assert world.proxy.stats.dials == 1


async def test_a_page_that_is_shown_again_dials_at_once(room: Room) -> None:
    world = room.world
    tab = await room.chromium()
    await tab.run(f"{PATIENT} return follow(channel)", url=world.url, channel=world.channel)
    other = await room.chromium()
    await other.front()
    await tab.run("return until(() => document.hidden)")
    world.proxy.cut_all()
    await world.write(1, 2, 3)
    await tab.run("await until(() => states.includes('waiting')); conn.send('note', 'written while hidden')")
    assert world.proxy.stats.dials == 1
    watch = Watch()
    await tab.front()
    await tab.run("await conn.settled(5); return until(() => got.length === 3)")
    assert watch.seconds < SLACK
    assert await tab.run("return got") == [1, 2, 3]
    assert world.noted == ["written while hidden"]
    assert world.proxy.stats.dials == 2


async def test_a_hidden_page_with_slow_timers_keeps_its_link(room: Room) -> None:
    """Chromium lets the timers of hidden pages fire once a second: later than this heartbeat wants them."""
    world = room.world
    tab = await room.chromium()
    await tab.run("dial(url); return follow(channel)", url=world.url, channel=world.channel)
    other = await room.chromium()
    await other.front()
    await tab.run("return until(() => document.hidden)")
    for n in range(1, 4):
        await tab.run("return new Promise((resolve) => setTimeout(resolve, 5))")  # aligned to the next second
        await world.write(n)
    await tab.front()
    await tab.run("return until(() => got.length === 3)")
    assert await tab.run("return got") == [1, 2, 3]
    assert await tab.run("return states") == ["dialling", "greeting", "open"]


async def test_a_frozen_page_goes_on_where_it_was(room: Room) -> None:
    world = room.world
    tab = await room.chromium()
    await tab.run("dial(url); return follow(channel)", url=world.url, channel=world.channel)
    other = await room.chromium()
    await other.front()
    await tab.freeze()
    await tab.run("for (let i = 0; i < 20; i++) conn.send('note', i)")
    await until(lambda: world.app.stats().links == 0, "the server keeps the link of a page that says nothing")
    await world.write(1, 2, 3)
    assert world.proxy.stats.dials == 1
    watch = Watch()
    await tab.freeze(False)
    await tab.front()
    await tab.run("await conn.settled(5); return until(() => got.length === 3)")
    assert watch.seconds < BOUND + SLACK
    assert world.noted == list(range(20))
    assert await tab.run("return got") == [1, 2, 3]
    assert world.proxy.stats.dials == 2


async def test_a_page_that_comes_back_from_the_cache_goes_on(room: Room) -> None:
    world = room.world
    tab = await room.chromium()
    await tab.run(f"{PATIENT} return follow(channel)", url=world.url, channel=world.channel)
    await tab.run("globalThis.mark = 'the same page'; return conn.send('note', 'before').handled()")
    await tab.goto(f"{room.stage.origin}/away")
    await world.write(1, 2)
    await until(lambda: world.app.stats().links == 0, "the server keeps the link of a page that is gone")
    watch = Watch()
    await tab.back()
    await tab.run("await until(() => globalThis.shown); await until(() => got.length === 2)")
    assert watch.seconds < BOUND + SLACK
    assert await tab.run("return globalThis.mark") == "the same page"
    await tab.run("return conn.send('note', 'after').handled()")
    assert world.noted == ["before", "after"]
    assert await tab.run("return got") == [1, 2]
    assert await tab.run("return alive()") == 1
    assert world.proxy.stats.dials == 2


@pytest.mark.parametrize("store", ["localStore", "indexedDBStore"])
async def test_what_a_crashed_tab_left_is_sent_by_the_next(room: Room, store: str) -> None:
    world = room.world
    words = {"url": world.url, "store": store, "name": world.name}
    dial = "dial(url, { store: heartline[store](name) });"
    tab = await room.chromium()
    await tab.run(f"{dial} return conn.connected(5)", **words)
    world.proxy.freeze()
    await tab.run("for (let i = 0; i < 20; i++) conn.send('note', i)")
    await tab.run("return until(async () => (await kept(store, name)) === 20)", store=store, name=world.name)
    await tab.crash()
    await room.leave(tab)
    world.proxy.cut_all()
    world.proxy.thaw()
    other = await room.chromium()
    await other.run(f"{dial} await conn.connected(5); return conn.settled(5)", **words)
    assert world.noted == list(range(20))


async def test_it_runs_in_a_worker(room: Room) -> None:
    world = room.world
    tab = await room.chromium()
    said = await tab.run(
        """
        const worker = new Worker(`/worker.js#${url}`, { type: "module" });
        const reply = await new Promise((resolve, reject) => {
          worker.onmessage = ({ data }) => resolve(data);
          worker.onerror = ({ message }) => reject(new Error(message));
        });
        worker.terminate();
        return reply;
        """,
        url=world.url,
    )
    assert said == "from a worker"


async def test_a_page_of_another_origin_is_refused(room: Room, stage: Stage) -> None:
    tab = await room.chromium()
    await tab.goto(stage.page.replace("127.0.0.1", "localhost"))
    await room.ready(tab)
    with pytest.raises(PageError, match="Timeout"):
        await tab.run("dial(url); return conn.connected(1)", url=room.world.url)
    assert room.world.app.stats().sessions == 0
    assert await tab.run("await conn.close(); return alive()") == 0
