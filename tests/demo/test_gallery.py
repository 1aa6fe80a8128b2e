"""The gallery as programs see it: pages, files, WebSockets, and its own end."""

import asyncio
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect

import heartline
from heartline.demo.places import SYSTEMS, find_places
from tests.demo.room import PATIENCE, Page, gallery, get, on_loop, ws

PAGES = ["/", *(f"/{name}/" for name in SYSTEMS)]
ROOT = Path(__file__).resolve().parents[2]


class Links(HTMLParser):
    """What a page loads, and what it must not have."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.wrong: list[str] = []
        self.fields: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "script" and "src" not in given:
            self.wrong.append("inline script")
        if tag == "style":
            self.wrong.append("inline style")
        self.wrong += [f"{tag} {name}" for name in given if name.startswith("on") or name == "style"]
        self.loads += [
            value for name in ("src", "href") if (value := given.get(name)) and tag in {"script", "link", "img"}
        ]


@on_loop
async def test_everything_is_served() -> None:
    async with gallery() as running:
        for path in PAGES:
            answer, body = await get(running, path)
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8"), path
            page = Links()
            page.feed(body.decode())
            assert page.wrong == [], path
            assert "/kit/kit.css" in page.loads
            for load in page.loads:
                assert not re.match(r"\w+:|//", load), f"{path} loads from elsewhere: {load}"
                await check_file(running, load if load.startswith("/") else path + load)
        for name in SYSTEMS:
            answer, _ = await get(running, f"/{name}")
            assert (answer.status, answer.headers["Location"]) in {(308, f"/{name}/"), (426, None)}
        answer, body = await get(running, "/health")
        assert answer.status == 200
        assert json.loads(body)["status"] == "ok"


async def check_file(running: object, path: str, seen: set[str] | None = None) -> None:
    """A file is there, and so is every module it imports."""
    seen = seen if seen is not None else set()
    if path in seen:
        return
    seen.add(path)
    answer, body = await get(running, path)  # type: ignore[arg-type]
    assert answer.status == 200, path
    if path.endswith(".js") and not path.startswith("/heartline/"):
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        for name in re.findall(r'^(?:import|export)[^;]*?from "([^"]+)"', body.decode(), re.MULTILINE):
            folder = path.rpartition("/")[0]
            await check_file(running, name if name.startswith("/") else f"{folder}/{name.removeprefix('./')}", seen)


@on_loop
async def test_pages_are_locked_down() -> None:
    async with gallery() as running:
        host = "{}:{}".format(*running.address)
        for path in PAGES:
            answer, _ = await get(running, path)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "style-src 'self';" in policy
            assert "frame-ancestors 'none'" in policy
            assert f"connect-src 'self' ws://{host} wss://{host};" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for nonsense in ("evil.example; script-src *", "a b", "'unsafe-inline'", "x;y"):
            answer, _ = await get(running, "/", Host=nonsense)
            policy = answer.headers["Content-Security-Policy"]
            assert nonsense not in policy
            assert "connect-src 'self';" in policy


@on_loop
async def test_only_what_is_there_is_served() -> None:
    async with gallery() as running:
        for path in (
            "/nothing", "/heart/server.py", "/heart/page/index.html", "/kit/", "/kit", "/../pyproject.toml",
            "/kit/../index.html", "/kit/%2e%2e/index.html", "/community/../../etc/passwd", "/.env", "/heart//page.js",
        ):  # fmt: skip
            answer, _ = await get(running, path)
            assert answer.status == 404, path


@on_loop
async def test_files_are_served_as_they_are(tmp_path: Path) -> None:
    places = find_places()
    client = tmp_path / "client"
    shutil.copytree(places.client, client)
    async with gallery(places=replace(places, client=client)) as running:
        for text in (b"// one", b"// another"):
            (client / "index.js").write_bytes(text)
            assert (await get(running, "/heartline/index.js"))[1] == text
        shutil.rmtree(client)
        assert (await get(running, "/heartline/index.js"))[1] == b"// another"


@pytest.mark.parametrize("language", [0, 1], ids=["English", "Chinese"])
def test_every_text_is_there(language: int) -> None:
    """Every data-t of a page has its text in both languages; they are written as `key: ["English", "Chinese"]`."""
    examples = find_places().examples
    row = re.compile(
        r"""^\s*["']?([\w.$ ]+?)["']?:\s*\[\s*("(?:[^"\\]|\\.)*"|`[^`]*`),\s*("(?:[^"\\]|\\.)*"|`[^`]*`),?\s*\]""",
        re.MULTILINE,
    )
    for folder in [examples / "gallery", *(examples / name / "page" for name in SYSTEMS)]:
        scripts = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.js")))
        texts = {found[1]: found[2 + language] for found in row.finditer(scripts)}
        html = (folder / "index.html").read_text(encoding="utf-8")
        wanted = set(re.findall(r'data-t(?:-\w+)?="([^"]+)"', html))
        assert wanted, folder
        assert wanted <= set(texts), f"{folder}: no text for {sorted(wanted - set(texts))}"
        if language:
            chinese = [key for key in wanted if re.search(r"[一-鿿]", texts[key])]
            assert len(chinese) >= 0.7 * len(wanted), f"{folder}: not translated: {sorted(wanted - set(chinese))}"


@on_loop
async def test_links_without_a_page_pass_clean() -> None:
    async with gallery() as running, Page(running) as page:
        await page.wish(dials="refuse", freeze="both", latency=1, cut_every=0.5)
        message = {"ModeCode": "message", "msg": "hello"}
        async with (
            connect(ws(running, "/echo"), ping_interval=None) as echo,
            connect(ws(running, "/heart/websocket?7&ann"), ping_interval=None) as heart,
            heartline.connect(ws(running, "/native")) as native,
        ):
            loop = asyncio.get_running_loop()
            began = loop.time()
            while loop.time() - began < 1.5:
                async with asyncio.timeout(PATIENCE):
                    await echo.send(json.dumps(message))
                    assert json.loads(await echo.recv()) == message
                    await heart.send("ping")
                    assert await heart.recv() == "pong"
                    assert await native.request("write", {"text": "hello"}) > 0
                await asyncio.sleep(0.1)
            assert running.proxy.stats.cut == 0


@on_loop
async def test_every_system_speaks_its_protocol() -> None:
    first = {
        "/card": {"type": "heartBeat", "msg": "this is heatbeat"},
        "/trades": {"type": "Subscribe", "traderid": 10260},
        "/community": {"Operator": "Heart"},
        "/echo": {"ModeCode": "heart_beat", "msg": 1},
    }
    async with gallery() as running:
        for path, message in first.items():
            async with connect(ws(running, path), ping_interval=None) as client, asyncio.timeout(PATIENCE):
                await client.send(json.dumps(message))
                if path != "/card":  # nothing answers its beat
                    assert isinstance(json.loads(await client.recv()), dict)
        for name in SYSTEMS:  # and the same handlers natively
            native = "/native" if name == "native" else f"/{name}/native"
            async with heartline.connect(ws(running, native)) as conn, asyncio.timeout(PATIENCE):
                if name not in {"card", "community"}:  # they want a login
                    await conn.connected()


@on_loop
async def test_closing_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    clients: list[ClientConnection] = []
    async with gallery() as running, Page(running) as page:
        address = running.address
        clients.append(await connect(page.url("/echo"), ping_interval=None))
        await page.wish(freeze="both")
        await page.until(lambda seen: seen["frozen"] == 1)
        clients.append(await connect(ws(running, "/trades"), ping_interval=None))
        await page.control.request("prove.start")
    for client in clients:
        async with asyncio.timeout(PATIENCE):
            await client.wait_closed()
    again = await asyncio.start_server(lambda *_: None, *address)  # the port is free
    again.close()
    await again.wait_closed()
    assert {task for task in asyncio.all_tasks() - before if "heartline" in task.get_name()} == set()


@on_loop
async def test_files_are_kept_where_one_says(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    async with gallery(data=folder) as running:
        assert (await get(running, "/"))[0].status == 200
    assert {path.name for path in folder.iterdir()} == set(SYSTEMS)
    async with gallery(data=folder) as running:  # and found again
        assert (await get(running, "/"))[0].status == 200


@on_loop
async def test_a_port_in_use_is_told() -> None:
    from heartline.demo import Gallery

    async with gallery() as running:
        with pytest.raises(OSError, match="in use"):
            await Gallery(port=running.address[1]).__aenter__()
        assert (await get(running, "/"))[0].status == 200
