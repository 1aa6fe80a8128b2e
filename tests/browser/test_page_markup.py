"""What people write on the community page never becomes markup that runs or loads, whoever stored it."""

import json
import uuid

import pytest
from playwright.async_api import expect
from websockets.asyncio.client import connect

from tests.browser.stage import Stage
from tests.browser.visit import Visit

HOSTILE = [
    "<script>window.hacked=1</script>",
    '<img src=x onerror="window.hacked=1">',
    '<svg onload="window.hacked=1"><a xlink:href="javascript:window.hacked=1"><text>x</text></a></svg>',
    '<a href="javascript:window.hacked=1">x</a>',
    '<iframe srcdoc="<script>parent.hacked=1</script>"></iframe>',
    "<form action=/ ><button autofocus onfocus='window.hacked=1'>x</button></form>",
    "<style>*{display:none}</style>",
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.hacked=1&gt;">',
    "<p onclick='window.hacked=1' style='position:fixed;inset:0'>x</p>",
]
STRANGE = (
    "script, style, iframe, object, svg, math, form form, [onclick], [onerror], [onload], [onfocus], [style], [srcdoc]"
)


async def test_hostile_posts_are_only_text(stage: Stage) -> None:
    mark = uuid.uuid4().hex[:8]
    async with Visit(stage) as visit, connect(visit.home.replace("http", "ws") + "community") as wire:
        name = f'<img src=x onerror="window.hacked=1">{mark}'
        info = {"nickName": name, "avatarUrl": "javascript:window.hacked=1"}
        await wire.send(json.dumps({"Operator": "userLogin", "userCode": f"{mark}-1", "userInfo": info}))
        for n, text in enumerate(HOSTILE):
            post = {
                "Operator": "CreateInvitation",
                "isRichText": n % 2 == 0,
                "Table": f"{mark} {text}",
                "Text": text + ".",
            }
            await wire.send(json.dumps({**post, "Image": "javascript:window.hacked=1"}))
        await wire.send('{"Operator":"Heart"}')
        while json.loads(await wire.recv())["Operator"] != "HeartOK":
            pass
        page = await visit.open("/community/")
        await page.get_by_role("button", name="Log in").click()
        posts = page.locator("#posts article[data-post]", has_text=mark)
        await expect(posts).to_have_count(len(HOSTILE))
        assert await page.locator("#posts").locator(STRANGE).count() == 0
        assert await page.locator("#posts img").count() == 0
        assert await page.evaluate("window.hacked") is None
        await expect(posts.locator("strong").first).to_have_text(name)


@pytest.mark.parametrize("html", HOSTILE)
async def test_rich_text_is_built_from_what_is_known(stage: Stage, html: str) -> None:
    """The page does not rely on the server's having sanitised it."""
    async with Visit(stage) as visit:
        page = await visit.open("/community/")
        left = await page.evaluate(
            """async (html) => {
                const { rich } = await import("/community/rich.js");
                const box = document.createElement("div");
                box.append(...rich(html + "<b>kept</b> <a href='https://example.com/'>link</a>"));
                document.querySelector("main").append(box);
                await new Promise((resolve) => setTimeout(resolve, 50));
                return [box.innerHTML, box.textContent, window.hacked];
            }""",
            html,
        )
        # Chromium tells even of what a parser without a page came across; nothing else went wrong.
        visit.problems[:] = [one for one in visit.problems if "Content Security Policy" not in one]
        assert left[2] is None
        for gone in ("<script", "<style", "<iframe", "<svg", "<math", "<img", "onclick", "onerror", "javascript:"):
            assert gone not in left[0]
        assert "kept" in left[1] or "<math" in html  # what follows unclosed rubbish may go with it
