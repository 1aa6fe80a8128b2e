"""The community page: what is written on a bad network is stored once and in order."""

import re
import uuid

from playwright.async_api import Page, expect

from heartline.faults import Direction
from tests.browser.stage import Stage
from tests.browser.visit import Panel, Visit, pass_time, shoot
from tests.browser.world import until

RETRY = 2
WAITING = "waiting to be stored"


async def log_in(page: Page, person: str) -> None:
    await page.get_by_label("Person").select_option(label=person)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.locator("#state")).to_have_text("Open")


async def write(page: Page, title: str, text: str = "") -> None:
    await page.get_by_label("Title").fill(title)
    await page.get_by_label("Text", exact=True).fill(text)
    await page.get_by_role("button", name="Post", exact=True).click()


def titled(mark: str) -> re.Pattern[str]:
    return re.compile(mark)


async def titles(page: Page, mark: str) -> list[str]:
    """Titles with this mark, from the top."""
    return await page.locator("#posts article[data-post] h3", has_text=titled(mark)).all_inner_texts()


async def test_a_post_a_comment_and_a_like_reach_the_other(stage: Stage) -> None:
    mark = uuid.uuid4().hex[:6]
    async with Visit(stage) as one, Visit(stage) as other:
        ann, bob = await one.open("/community/"), await other.open("/community/")
        await log_in(ann, "Ann")
        await log_in(bob, "Bob")
        await write(ann, f"{mark} hello", "<b>not bold</b>")
        for page in (ann, bob):
            post = page.locator("#posts article[data-post]", has_text=mark)
            await expect(post).to_have_count(1)
            await expect(post.locator(".text")).to_have_text("<b>not bold</b>")
        post = bob.locator("#posts article[data-post]", has_text=mark)
        await post.get_by_role("button", name=re.compile("^Like")).click()
        await post.get_by_role("button", name=re.compile("^Comments")).click()
        await post.get_by_label("Your comment").fill("welcome")
        await bob.keyboard.press("Enter")
        post = ann.locator("#posts article[data-post]", has_text=mark)
        await expect(post.get_by_role("button", name="Like, 1 likes")).to_be_visible()
        await expect(post.get_by_role("button", name="Comments: 1")).to_be_visible()
        await post.get_by_role("button", name="Comments: 1").click()
        await expect(post.locator(".comments li")).to_have_text([re.compile("Bob.*welcome")])
        await shoot(ann, "comment")


async def test_what_is_written_offline_arrives_in_order_and_once(stage: Stage) -> None:
    mark = uuid.uuid4().hex[:6]
    async with Visit(stage) as one, Visit(stage) as other:
        ann, bob = await one.open("/community/", clock=True), await other.open("/community/")
        panel = Panel(ann)
        await log_in(ann, "Ann")
        await log_in(bob, "Bob")
        await panel.press("refuse")
        await panel.press("cut")
        await panel.is_in("Waiting")
        for n in range(5):
            await write(ann, f"{mark} {n}")
        await expect(ann.locator("#posts article.waiting", has_text=mark)).to_have_count(5)
        await shoot(ann, "offline")
        await panel.press("normal")
        await pass_time(ann, 30, 5)
        await expect(ann.locator("#posts article.waiting", has_text=mark)).to_have_count(0)
        for page in (ann, bob):
            await expect(page.locator("#posts article[data-post]", has_text=mark)).to_have_count(5)
            assert await titles(page, mark) == [f"{mark} {n}" for n in reversed(range(5))]
        await expect(panel.number("openLinks")).to_have_text("1")


async def test_an_answer_lost_in_a_cut_stores_nothing_twice(stage: Stage) -> None:
    mark = uuid.uuid4().hex[:6]
    async with Visit(stage) as one, Visit(stage) as other:
        ann, bob = await one.open("/community/", clock=True), await other.open("/community/")
        panel = Panel(ann)
        await log_in(ann, "Ann")
        await log_in(bob, "Bob")
        for n in range(2):
            network = one.network("/community")
            network.freeze(Direction.DOWN)
            await write(ann, f"{mark} {n}")
            await expect(bob.locator("#posts article[data-post]", has_text=f"{mark} {n}")).to_have_count(
                1
            )  # it is stored
            await expect(ann.locator("#posts article.waiting", has_text=mark)).to_have_count(1)  # and she does not know
            await panel.press("cut")
            await until(lambda: one.wires("/community")[-1].over, "the page does not notice the cut")
            network.thaw(Direction.DOWN)
            await pass_time(ann, 10 * RETRY, RETRY)
            await expect(ann.locator("#posts article.waiting", has_text=mark)).to_have_count(0)
        said = [text for wire in one.wires("/community") for text in wire.up if mark in str(text)]
        assert len(said) == 4, "each was said twice"
        for page in (ann, bob):
            await expect(page.locator("#posts article[data-post]", has_text=mark)).to_have_count(2)


async def test_a_reload_keeps_what_was_not_stored(stage: Stage) -> None:
    mark = uuid.uuid4().hex[:6]
    async with Visit(stage) as visit:
        page = await visit.open("/community/", clock=True)
        panel = Panel(page)
        await log_in(page, "Ann")
        await panel.press("refuse")
        await panel.press("cut")
        await panel.is_in("Waiting")
        for n in range(3):
            await write(page, f"{mark} {n}")
        await page.reload()
        await log_in(page, "Ann")
        await expect(page.locator("#posts article[data-post]", has_text=mark)).to_have_count(3)
        await expect(page.locator("#posts article.waiting", has_text=mark)).to_have_count(0)
        assert await titles(page, mark) == [f"{mark} {n}" for n in reversed(range(3))]


async def test_two_tabs_of_one_person_keep_apart_what_each_wrote(stage: Stage) -> None:
    mark = uuid.uuid4().hex[:6]
    async with Visit(stage) as visit:
        tabs = [await visit.open("/community/", clock=True), await visit.open("/community/")]
        for n, page in enumerate(tabs):
            await page.bring_to_front()
            await log_in(page, "Chen")
            await Panel(page).press("refuse")
            await Panel(page).press("cut")
            await write(page, f"{mark} {n}")
            await expect(page.locator("#posts article.waiting", has_text=mark)).to_have_count(1)
        await tabs[1].close()  # what it left is sent by the next page that finds its place free
        await Panel(tabs[0]).press("normal")
        await pass_time(tabs[0], 30, 5)
        await expect(tabs[0].locator("#posts article[data-post]", has_text=mark)).to_have_count(1)
        third = await visit.open("/community/")
        await log_in(third, "Chen")
        for page in (tabs[0], third):
            await expect(page.locator("#posts article[data-post]", has_text=mark)).to_have_count(2)
            await expect(page.locator("#posts article.waiting", has_text=mark)).to_have_count(0)


async def test_a_frozen_link_is_found_within_a_minute(stage: Stage) -> None:
    mark = uuid.uuid4().hex[:6]
    async with Visit(stage) as visit:
        page = await visit.open("/community/", clock=True)
        panel = Panel(page)
        await log_in(page, "Bob")
        await panel.press("freeze")
        for n in range(3):
            await write(page, f"{mark} {n}")
        await pass_time(page, 61, 10)
        await panel.is_in("Waiting", "Dialling")
        await panel.press("normal")
        await pass_time(page, 2 * RETRY, RETRY)
        await expect(page.locator("#state")).to_have_text("Open")
        await expect(page.locator("#posts article.waiting", has_text=mark)).to_have_count(0)
        assert await titles(page, mark) == [f"{mark} {n}" for n in reversed(range(3))]
        await expect(panel.number("openLinks")).to_have_text("1")


async def test_who_is_blacklisted_is_told_and_nothing_is_tried_again(stage: Stage) -> None:
    async with Visit(stage) as visit:
        page = await visit.open("/community/", clock=True)
        await page.get_by_label("Person").select_option(label="Mallory (blacklisted)")
        await page.get_by_role("button", name="Log in").click()
        modal = page.get_by_role("dialog", name="You are blacklisted")
        await expect(modal).to_be_visible()
        await shoot(page, "banned")
        await pass_time(page, 30, 5)
        await expect(Panel(page).number("attempts")).to_have_text("1")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Log in")).to_be_visible()
