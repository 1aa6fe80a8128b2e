"""The client in every browser, against a real server over a bad network.

What every browser has to do; what only Chromium lets a test do is in test_page_life.py.
"""

from pathlib import Path

import pytest

from tests.browser.room import Room
from tests.browser.tab import PageError
from tests.browser.world import BOUND, Watch, until
from tests.cli.processes import Running, free_port

SLACK = 2.0
"""Seconds a busy machine may take beside; browsers report a close on a dead link after 5 to 60."""

pytestmark = pytest.mark.parametrize("browser", ["chromium", "firefox", "webkit"])


async def test_a_request_a_message_and_a_channel(room: Room, browser: str) -> None:
    world = room.world
    tab = await room.tab()
    await tab.run("dial(url); return conn.connected(5)", url=world.url)
    value = {"a": ["ü", "你好", None, 1.5], "__proto__": 1}
    assert await tab.run("return conn.request('echo', value)", value=value) == value
    await tab.run("return conn.send('note', 'hello').handled()")
    assert world.noted == ["hello"]
    await world.write(1, 2)
    await tab.run("return follow(channel, 'beginning')", channel=world.channel)
    await world.write(3)
    await tab.run("return until(() => got.length === 3)")
    assert await tab.run("return got") == [1, 2, 3]
    assert world.proxy.stats.dials == 1


async def test_an_error_in_the_page_fails_the_test(room: Room, browser: str) -> None:
    tab = await room.tab()
    with pytest.raises(PageError, match="no such luck"):
        await tab.run("throw new Error('no such luck')")
    await tab.run("setTimeout(() => { throw new Error('unseen') }); return until(() => problems.length)")
    assert "unseen" in (await tab.run("return problems.splice(0)"))[0]


async def test_a_frozen_link_is_found_in_time_and_replaced_once(room: Room, browser: str) -> None:
    world = room.world
    tab = await room.tab()
    await tab.run("dial(url); return follow(channel)", url=world.url, channel=world.channel)
    (link,) = world.proxy.links
    world.proxy.freeze(link=link)
    watch = Watch()
    await tab.run("for (let i = 0; i < 50; i++) conn.send('note', i); states.length = 0")
    await world.write(1, 2, 3)
    await tab.run("return until(() => states.includes('open'))")
    assert watch.seconds < BOUND + SLACK
    await tab.run("await conn.settled(5); return until(() => got.length === 3)")
    assert world.noted == list(range(50))
    assert await tab.run("return got") == [1, 2, 3]
    assert world.proxy.stats.dials == 2
    assert await tab.run("return [sockets.length, alive(), sockets[0].readyState]") == [
        2,
        1,
        2,
    ]  # the old one closes yet
    world.proxy.thaw(link=link)
    await tab.run("return until(() => sockets[0].readyState === 3)")
    assert await tab.run("return conn.request('echo', 'still the second')") == "still the second"
    assert world.noted == list(range(50))
    assert world.proxy.stats.dials == 2


async def test_links_cut_again_and_again_lose_and_double_nothing(room: Room, browser: str) -> None:
    world = room.world
    tab = await room.tab()
    await tab.run("dial(url); return follow(channel)", url=world.url, channel=world.channel)
    for round_ in range(5):
        first = 40 * round_
        await tab.run("for (let i = first; i < first + 40; i++) conn.send('note', i)", first=first)
        await world.write(*range(first, first + 20))
        await until(lambda: len(world.noted) > first, "nothing arrives")  # noqa: B023
        world.proxy.cut_all()
        await world.write(*range(first + 20, first + 40))
    await tab.run("await conn.settled(10); return until(() => got.length >= 200)")
    assert world.noted == list(range(200))
    assert await tab.run("return got") == list(range(200))


@pytest.mark.parametrize("store", ["localStore", "indexedDBStore"])
async def test_a_reload_keeps_what_was_unsent(room: Room, browser: str, store: str) -> None:
    world = room.world
    tab = await room.tab()
    dial = "dial(url, { store: heartline[store](name) });"
    words = {"url": world.url, "store": store, "name": world.name}
    await tab.run(f"{dial} await conn.connected(5); return follow(channel)", **words, channel=world.channel)
    await world.write(1)
    await tab.run("await until(() => got.length === 1); return conn.send('note', 'before').handled()")
    session = await tab.run("return conn.sessionId")
    world.proxy.freeze()
    await tab.run("for (let i = 0; i < 20; i++) conn.send('note', i)")
    await world.write(2)
    await tab.run("return until(async () => (await kept(store, name)) === 20)", store=store, name=world.name)
    await room.reload(tab)
    world.proxy.cut_all()  # what the old page wrote into the frozen link never arrives
    world.proxy.thaw()
    await tab.run(f"{dial} return follow(channel)", **words, channel=world.channel)
    assert len(await tab.run("return conn.restored.map(({ data }) => data)")) == 20
    await tab.run("await conn.settled(10); return until(() => got.length === 1)")
    assert world.noted == ["before", *range(20)]
    assert await tab.run("return got") == [2]
    assert await tab.run("return conn.sessionId") == session


async def test_what_is_sent_in_the_breath_of_a_reload_is_kept(room: Room, browser: str) -> None:
    """With `localStore`; IndexedDB may need a few milliseconds more than such a page has."""
    world = room.world
    dial = "dial(url, { store: heartline.localStore(name) });"
    tab = await room.tab()
    await tab.run(f"{dial} return conn.connected(5)", url=world.url, name=world.name)
    world.proxy.freeze()
    last = "for (let i = 0; i < 20; i++) conn.send('note', i); location.reload()"
    await tab.run(f"setTimeout(() => {{ {last} }})")
    await room.ready(tab)
    world.proxy.cut_all()
    world.proxy.thaw()
    await tab.run(f"{dial} await conn.connected(5); return conn.settled(5)", url=world.url, name=world.name)
    assert world.noted == list(range(20))


@pytest.mark.parametrize("store", ["localStore", "indexedDBStore"])
async def test_two_tabs_have_a_session_each_and_reloads_keep_them(room: Room, browser: str, store: str) -> None:
    world = room.world
    words = {"url": world.url, "store": store, "name": world.name}
    dial = "dial(url, { store: heartline[store](name) }); await conn.connected(5);"
    tabs = [await room.tab(), await room.tab()]
    sessions = [await tab.run(f"{dial} return conn.sessionId", **words) for tab in tabs]
    assert len(set(sessions)) == 2
    for tab in reversed(tabs):
        await room.reload(tab)
    again = [await tab.run(f"{dial} return conn.sessionId", **words) for tab in tabs]
    assert again == sessions
    for n, tab in enumerate(tabs):
        await tab.run("return conn.send('note', n).handled()", n=n)
    assert world.noted == [0, 1]


async def test_closing_a_frozen_link_is_at_once_and_dialling_again_too(room: Room, browser: str) -> None:
    world = room.world
    tab = await room.tab()
    await tab.run("dial(url); return conn.connected(5)", url=world.url)
    (link,) = world.proxy.links
    world.proxy.freeze(link=link)
    watch = Watch()
    await tab.run("await conn.close(); conn.retry(); return conn.connected(5)")
    assert watch.seconds < SLACK
    assert await tab.run("return conn.request('echo', 'new')") == "new"
    assert await tab.run("return [sockets.length, sockets[0].readyState]") == [2, 2]
    world.proxy.thaw(link=link)
    await tab.run("return until(() => sockets[0].readyState === 3)")
    assert await tab.run("return [conn.state, alive()]") == ["open", 1]
    await tab.run("return conn.close()")
    await tab.run("return until(() => alive() === 0)")
    assert world.proxy.stats.dials == 2


async def test_a_server_that_never_answers_the_dial_is_left_in_time(room: Room, browser: str) -> None:
    world = room.world
    tab = await room.tab()
    world.proxy.hang_dials()
    watch = Watch()
    await tab.run("dial(url, { connectTimeout: 0.5 }); return until(() => states.includes('waiting'))", url=world.url)
    assert watch.seconds < 0.5 + SLACK
    world.proxy.hang_dials(False)
    assert await tab.run("return conn.request('echo', 1)") == 1
    await until(lambda: world.proxy.stats.open == 1, "sockets that hung are left open")
    assert await tab.run("return alive()") == 1


async def test_a_killed_server_comes_back_and_nothing_is_lost_or_doubled(
    room: Room, browser: str, tmp_path: Path
) -> None:
    port, channel = free_port(), room.world.channel
    environment = {
        "HEARTLINE_TEST_BROKER": f"sqlite:///{tmp_path / 'shop.db'}",
        "HEARTLINE_TEST_ORIGIN": room.stage.origin,
    }

    def server() -> Running:
        root = Path(__file__).resolve().parents[2]
        return Running("serve", "tests.browser.shop:app", "--port", str(port), cwd=root, env=environment)

    tab = await room.tab()
    with server() as first:
        assert str(port) in first.line()
        await tab.run(
            "dial(url, { maxAttempts: null }); await follow(channel)", url=f"ws://127.0.0.1:{port}/", channel=channel
        )
        await tab.run(
            "for (let i = 0; i < 100; i++) conn.publish(channel, i); return until(() => got.length)", channel=channel
        )
        first.process.kill()
        first.end()
    await tab.run("for (let i = 100; i < 200; i++) conn.publish(channel, i)", channel=channel)
    with server() as second:
        assert str(port) in second.line()
        await tab.run("await conn.settled(10); return until(() => got.length >= 200)")
        assert await tab.run("return got") == list(range(200))
        await tab.run("return conn.end()")
