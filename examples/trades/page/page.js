/**
 * The trades page: tab 0 holds the connection, tab 1 releases it.
 *
 * - leaving the page sends the stop message, closes, and nothing dials; coming back by the browser's own button begins
 *   anew (tests/browser);
 * - everything that comes from the network becomes text, never markup.
 */

import { connect, trades } from "/heartline.js";
import { open } from "/kit/kit.js";

import { Feed } from "./feed.js";
import { arrange, signalsOf, split } from "./rows.js";
import { nth, TEXTS } from "./texts.js";

const page = open("trades", TEXTS);
const { el, t } = page;
const byId = (id) => document.getElementById(id);

let feed = null;
let rows = [];
let closed = [];
let pushes = 0;
let tab = 0;

// the feed

function dial(options) {
  return page.watch(connect(page.url("/trades"), { ...page.options, ...options }));
}

function begin() {
  rows = [];
  pushes = 0;
  feed = new Feed(dial, trades, trader(), {
    rows(pushed) {
      rows = pushed;
      pushes++;
      showLive();
    },
    state({ new: state }) {
      if (state !== "gave up") byId("failed").hidden = true;
    },
    notice: (kind, key, n) => page.toast(t(key, { n, nth: nth(n) }), kind),
    connectError() {
      byId("failed").hidden = false;
      page.toast(t("connectError"), "bad");
    },
  });
  if (byId("keep").checked) feed.hold("follow");
  choose(tab);
}

function end() {
  feed.close();
  byId("failed").hidden = true;
}

const trader = () => Number(byId("trader").value);

// tabs

/** Tab 0 needs the connection; tab 1 asks once for what is closed. */
function choose(at) {
  tab = at;
  for (const i of [0, 1]) {
    byId(`tab-${i}`).setAttribute("aria-selected", String(i === at));
    byId(`panel-${i}`).hidden = i !== at;
  }
  showLive();
  if (at === 0) {
    feed.hold("open trades");
  } else {
    feed.release("open trades");
    void readClosed();
  }
}

async function readClosed() {
  const asked = trader();
  try {
    const answer = await fetch(`closed?traderid=${asked}`);
    if (!answer.ok) throw new Error(answer.statusText);
    const { data } = await answer.json();
    if (asked === trader()) closed = data;
  } catch {
    page.toast(t("failed"), "bad");
  }
  showClosed();
}

// tables

function showLive() {
  const chosen = Number(byId("signal").value);
  showSignals(chosen);
  byId("pushes").textContent = t("pushes", { n: pushes });
  const apart = byId("split").checked;
  const { arr1, arr2 } = split(rows, chosen);
  const tables = apart
    ? [table(arr1, t("followed"), false), table(arr2, t("own"), false)]
    : [table(arrange(rows, chosen), "", true)];
  byId("live").replaceChildren(...tables);
}

function showClosed() {
  byId("history").replaceChildren(table(arrange(closed), "", true));
}

/** What there is to choose from; a signal that was chosen stays, also while it has no positions. */
function showSignals(chosen) {
  const ids = [...new Set([...signalsOf(rows), ...(chosen > 0 ? [chosen] : [])])].sort((a, b) => a - b);
  const names = [t("every"), ...ids.map((n) => t("signalOf", { n }))];
  const select = byId("signal");
  if ([...select.options].map((option) => option.text).join() === names.join()) return;
  select.replaceChildren(...names.map((name, at) => el("option", { value: String(ids[at - 1] ?? 0) }, name)));
  select.value = String(chosen);
}

const NUMBERS = ["order", "volume", "price", "profit"];

function table(shown, caption, kinds) {
  const heads = ["order", "symbol", "side", "volume", "price", "profit", ...(kinds ? ["kind"] : [])];
  const head = (name) => el("th", { scope: "col", class: NUMBERS.includes(name) ? "number" : null }, t(name));
  const body = shown.map((row) => el("tr", {}, ...cells(row, kinds)));
  if (!body.length) body.push(el("tr", {}, el("td", { colspan: String(heads.length) }, t("none"))));
  return el(
    "div",
    { class: "table" },
    el(
      "table",
      {},
      ...(caption ? [el("caption", {}, caption)] : []),
      el("thead", {}, el("tr", {}, ...heads.map(head))),
      el("tbody", {}, ...body),
    ),
  );
}

function cells(row, kinds) {
  const number = (value, digits) => el("td", { class: "number" }, Number(value).toFixed(digits));
  return [
    el("td", { class: "number" }, String(row.orderid)),
    el("td", {}, String(row.symbol)),
    el("td", {}, row.cmd === "buy" ? t("buy") : t("sell")),
    number(row.volume, 1),
    number(row.price, row.price < 10 ? 5 : row.price < 1000 ? 3 : 2),
    number(row.profit, 2),
    ...(kinds ? [el("td", {}, row.flwsig === true ? t("signalOf", { n: row.sigtraderid }) : t("own"))] : []),
  ];
}

// what the person does

for (const at of [0, 1]) byId(`tab-${at}`).addEventListener("click", () => choose(at));
document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
  if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
  choose(event.key === "Home" ? 0 : event.key === "End" ? 1 : 1 - tab);
  byId(`tab-${tab}`).focus();
  event.preventDefault();
});
byId("retry").addEventListener("click", () => feed.retry());
byId("signal").addEventListener("change", showLive);
byId("split").addEventListener("change", showLive);
byId("keep").addEventListener("change", ({ target }) => (target.checked ? feed.hold("follow") : feed.release("follow")));
byId("trader").addEventListener("change", () => {
  end();
  begin();
});
page.onLanguage(() => {
  showLive();
  showClosed();
});
addEventListener("pagehide", end);
addEventListener("pageshow", ({ persisted }) => persisted && begin());

begin();
