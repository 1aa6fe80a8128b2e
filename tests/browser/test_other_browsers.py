"""The gallery in Firefox and WebKit: every page opens, connects and does what it is for."""

import uuid

import pytest

from tests.browser.stage import Stage
from tests.browser.tab import Tab

pytestmark = pytest.mark.parametrize("browser", ["firefox", "webkit"])

HANDS = """
    const $ = (selector) => document.querySelector(selector);
    const until = async (met) => {
      for (const end = Date.now() + 15000; !met(); ) {
        if (Date.now() > end) throw new Error(`not within 15 s: ${met}; ${$("main").innerText}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const fill = (selector, text) => {
      $(selector).value = text;
      $(selector).dispatchEvent(new Event("input", { bubbles: true }));
    };
    const press = (selector) => $(selector).click();
    const fact = (name) => $(`[data-fact=${name}]`).textContent;
    await until(() => $("[data-do=language]"));
"""
"""How a test's script touches a page."""


async def use(tab: Tab, address: str, script: str, **values: object) -> None:
    """Open a page and do something on it."""
    await tab.goto(address)
    await tab.run(HANDS + script, **values)


async def test_every_page_does_what_it_is_for(stage: Stage, browser: str) -> None:
    home, mark = (await stage.gallery()).url, uuid.uuid4().hex[:6]
    tab = await (await stage.browser(browser)).tab(home)
    await use(tab, home, "await until(() => document.querySelectorAll('#cards a').length === 6)")
    native = """
        await until(() => fact("openLinks") === "1");
        fill("[name=text]", mark);
        press("#write button");
        await until(() => $("#board").textContent.includes(mark) && fact("handled") === "1");
    """
    await use(tab, f"{home}native/", native, mark=mark)
    heart = """
        fill("[name=task]", mark);
        press("#connect");
        await until(() => $("#state").textContent.startsWith("Connected"));
        fill("#say [name=text]", "hello");
        press("#say button");
        await until(() => $("[data-kit=log]").textContent.includes("ann: hello"));
    """
    await use(tab, f"{home}heart/", heart, mark=mark)
    card = """
        press("#enter button");
        await until(() => $("#state").textContent === "Open");
        fill("#cardId", mark);
        fill("#business", "Tea");
        press("#bind button");
        await until(() => $(`[data-card="${mark}"]`));
    """
    await use(tab, f"{home}card/", card, mark=mark)
    echo = """
        press("#connect");
        await until(() => $("#state").textContent === "Open");
        fill("#text", mark);
        press("#send");
        await until(() => document.querySelectorAll("[data-kit=log] li").length === 2);
        press("#close");
        await until(() => $("#state").textContent === "Closed" && fact("openLinks") === "0");
    """
    await use(tab, f"{home}echo/", echo, mark=mark)
    trades = """
        await until(() => document.querySelectorAll("#live tbody tr td").length > 6);
        press("#tab-1");
        await until(() => fact("openLinks") === "0" && $("#history tbody td"));
    """
    await use(tab, f"{home}trades/", trades)
    community = """
        press("#login button");
        await until(() => $("#state").textContent === "Open");
        fill("#heading", mark);
        press("#draft [type=submit]");
        await until(() => [...document.querySelectorAll("[data-post] h3")].some((h3) => h3.textContent === mark));
    """
    await use(tab, f"{home}community/", community, mark=mark)
    await tab.close()


async def test_a_frozen_link_is_replaced(stage: Stage, browser: str) -> None:
    home, mark = (await stage.gallery()).url, uuid.uuid4().hex[:6]
    tab = await (await stage.browser(browser)).tab(home)
    frozen = """
        await until(() => fact("openLinks") === "1");
        press("[data-do=freeze]");
        await until(() => fact("openLinks").includes("frozen"));
        fill("[name=text]", mark);
        press("#write button");
        await until(() => fact("outbox") === "1");
        await until(() => /Waiting|Dialling/.test($(".network summary .tag").textContent));
        press("[data-do=freeze]");
        await until(() => fact("handled") === "1" && fact("openLinks") === "1");
        const lines = [...document.querySelectorAll("#board li")].filter((line) => line.textContent.includes(mark));
        if (lines.length !== 1) throw new Error(`${lines.length} lines`);
    """
    await use(tab, f"{home}native/", frozen, mark=mark)
    await tab.close()
