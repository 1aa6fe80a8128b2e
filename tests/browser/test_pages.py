"""Every page of the gallery, as somebody sees and uses it who does not break anything.

What the pages do on a bad network is in test_systems.py. Pictures of all of them are in shots/ afterwards.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.browser.stage import Stage
from tests.browser.visit import PHONE, Visit, shoot

PATHS = ["/", "/native/", "/heart/", "/card/", "/echo/", "/trades/", "/community/"]
NARROWEST = {"width": 320, "height": 640}
CONTROLS = {
    *("button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "spinbutton", "switch", "tab"),
    *("slider", "listbox", "menuitem", "dialog", "progressbar", "log", "region", "navigation", "complementary", "img"),
}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
LOOK = (Path(__file__).parent / "look.js").read_text()

every_page = pytest.mark.parametrize("path", PATHS)


async def look(page: Page, function: str) -> Any:
    """Ask the page one of the questions of look.js."""
    script = re.sub(r"^export ", "", LOOK, flags=re.MULTILINE)
    return await page.evaluate(f"(() => {{ {script}; return {function}(); }})()")


@asynccontextmanager
async def visited(stage: Stage, path: str, **options: Any) -> AsyncIterator[Page]:
    """A page of a visit of its own."""
    async with Visit(stage, **options) as visit:
        page = await visit.open(path)
        yield page


@every_page
async def test_the_page_is_sound(stage: Stage, path: str) -> None:
    async with visited(stage, path) as page:
        assert await look(page, "structure") == []
        assert await page.evaluate("document.documentElement.lang") == "en"
        assert await page.locator("[data-do=language]").get_attribute("lang") == "zh-CN"
        assert await look(page, "contrast") == []
        cdp = await page.context.new_cdp_session(page)
        nodes = (await cdp.send("Accessibility.getFullAXTree"))["nodes"]
        named = [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"] and node["role"]["value"] in CONTROLS
        ]
        assert len(named) > 3
        await shoot(page, "desktop")
        assert [role for role, name in named if not name.strip()] == []


@every_page
async def test_the_page_is_sound_in_the_dark(stage: Stage, path: str) -> None:
    async with visited(stage, path, color_scheme="dark", reduced_motion="reduce") as page:
        await shoot(page, "dark")
        assert await look(page, "contrast") == []


@every_page
async def test_the_page_fits_a_phone(stage: Stage, path: str) -> None:
    async with visited(stage, path, viewport=PHONE, has_touch=True) as page:
        await shoot(page, "phone")
        assert await look(page, "width") == []
        assert await look(page, "targets") == []
        await page.set_viewport_size(NARROWEST)  # type: ignore[arg-type]
        assert await look(page, "width") == []
        for details in await page.locator("details").all():
            await details.evaluate("(details) => { details.open = true; }")
        assert await look(page, "width") == []
        await shoot(page, "phone-open")


@every_page
async def test_the_page_speaks_chinese_and_remembers_it(stage: Stage, path: str) -> None:
    async with visited(stage, path) as page:
        english = dict(await look(page, "texts"))
        await page.locator("[data-do=language]").click()
        assert await page.evaluate("document.documentElement.lang") == "zh-CN"
        chinese = dict(await look(page, "texts"))
        assert english.keys() == chinese.keys()
        same = {text for key, text in english.items() if text == chinese[key] and re.search("[a-z]{3}", text)}
        assert same <= {"heartline", "heartline.1"}
        await page.reload()
        await page.locator("[data-do=language]").wait_for()
        assert CHINESE.search(await page.locator("h1").inner_text())
        await shoot(page, "zh")
        await page.set_viewport_size(NARROWEST)  # type: ignore[arg-type]
        assert await look(page, "width") == []
        await page.locator("[data-do=language]").click()
        assert await page.locator("h1").inner_text() == english["title"]


@every_page
async def test_the_keyboard_reaches_everything_and_the_focus_is_seen(stage: Stage, path: str) -> None:
    async with visited(stage, path) as page:
        wanted = await look(page, "focusable")
        reached = []
        for _ in wanted:
            await page.keyboard.press("Tab")
            name, seen = await look(page, "focus")
            assert seen, f"the focus of {name} cannot be seen"
            reached.append(name)
        assert reached == wanted


async def test_a_browser_that_wants_chinese_gets_it(stage: Stage) -> None:
    async with visited(stage, "/", locale="zh-CN") as page:
        assert await page.evaluate("document.documentElement.lang") == "zh-CN"


async def test_the_gallery_leads_to_every_page_and_back(stage: Stage) -> None:
    async with visited(stage, "/") as page:
        for path in PATHS[1:]:
            await page.locator(f'a[href="{path}"]').click()
            await page.wait_for_url(f"**{path}")
            await page.locator('header.bar a[href="/"]').click()
            await page.locator("#cards").wait_for()
