/**
 * A member's cards. The identity is the login; the binding is what this dialect says on every link, a subscription.
 */

import { connect } from "/heartline.js";
import { currentLanguage, open } from "/kit/kit.js";
import { dialect, STALE_AFTER } from "./dialect.js";
import { TEXTS } from "./texts.js";

const page = open("card", { ...TEXTS, identityHint: TEXTS.identityHint.map((text) => text.replace("{n}", STALE_AFTER)) });
const { el, t } = page;
const $ = (id) => document.getElementById(id);

let conn = null;
let member = "";
let binding = null; // the subscription that says it on every link
let args = null;
let bound = []; // as the server told

function enter(who) {
  member = who;
  conn = connect(page.url("/card"), {
    ...page.options,
    dialect,
    login: { memberId: who, token: "demo" },
    on: { cards: ({ data }) => had(data) },
  });
  page.watch(conn);
  conn.onState(moved);
  conn.send("message", { type: "myCards" });
  show();
}

/** What `onUnload` is to a mini program: the socket is closed, and the beat stops. */
function leave() {
  if (conn) void conn.close();
  conn = binding = args = null;
  draw([]);
  show();
}

function moved(change) {
  const mine = conn;
  if (change.new === "open" && change.old !== "open") page.toast(t("connected"), "good");
  if (change.new === "waiting" && change.old === "open") page.toast(t("closed"), "bad");
  if (change.new === "refused") void page.tell(t("refused"), change.reason.replace(/^refused: \w+ ?/, "")).then(() => mine === conn && leave());
  show();
}

/** What was bound before this page was opened; the last of them is its card. */
function had(cards) {
  draw(cards);
  const last = cards[cards.length - 1];
  if (!last || binding) return;
  const { cardId, BusinessID, phone, memberId, BusinessName, baseId } = last;
  bind({ cardId, BusinessID, phone, memberId, BusinessName, baseId });
}

/** Said now, and again on every link, until another card is bound. */
function bind(asked) {
  if (binding) binding.close();
  args = asked;
  // What was missed does not matter: the answer to the next binding tells how it is.
  binding = conn.subscribe(`card ${asked.cardId}`, { args: asked, onGap: () => {}, onEntry: ({ data }) => answered(data) });
  $("again").disabled = false;
}

function answered({ msgType, success, msg, data }) {
  if (msgType !== "bind_ack") return;
  if (!success) {
    page.toast(t("notBound", { id: args ? args.cardId : "?", why: msg }), "bad");
    if (binding) binding.close(); // it would be said again on every link, and refused again
    binding = null;
    $("again").disabled = true;
    return;
  }
  const known = bound.some((one) => sameCard(one, data));
  if (!known) page.toast(t("stored", { id: data.cardId }), "good");
  draw(known ? bound.map((one) => (sameCard(one, data) ? data : one)) : [...bound, data]);
}

function sameCard(one, other) {
  return one.cardId === other.cardId && one.BusinessID === other.BusinessID;
}

function draw(cards) {
  bound = cards;
  $("none").hidden = bound.length > 0;
  $("bound").replaceChildren(...bound.map(picture));
}

function picture(one) {
  const locale = currentLanguage() === "zh" ? "zh-CN" : "en";
  const time = new Date(one.boundAt).toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });
  return el(
    "article",
    { class: "bank", "data-card": one.cardId },
    el("p", { class: "shop" }, one.BusinessName || one.BusinessID),
    el("p", { class: "number" }, one.cardId),
    el("p", {}, masked(one.phone)),
    el("p", { class: "quiet" }, t("since", { time })),
    el("p", { class: "quiet", "data-said": one.said }, t("said", { n: one.said })),
  );
}

function masked(phone) {
  return phone.length < 7 ? phone : `${phone.slice(0, 3)}****${phone.slice(-4)}`;
}

function show() {
  $("enter").hidden = !!conn;
  for (const id of ["inside", "cards"]) $(id).hidden = !conn;
  $("retry").hidden = !conn || !["waiting", "gave up"].includes(conn.state);
  $("again").disabled = !binding;
  if (!conn) return;
  const { state } = conn;
  $("you").textContent = t("you", { name: member });
  $("state").textContent = t(`kit.state_${state}`);
  $("state").className = `tag ${state === "open" ? "good" : state === "refused" ? "bad" : "busy"}`;
}

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  enter($("member").value);
});
$("leave").addEventListener("click", leave);
$("retry").addEventListener("click", () => conn.retry());
$("again").addEventListener("click", () => bind(args));
$("bind").addEventListener("submit", (event) => {
  event.preventDefault();
  const BusinessName = $("business").value.trim();
  bind({
    cardId: $("cardId").value.trim(),
    BusinessID: BusinessName.toLowerCase(),
    phone: $("phone").value.trim(),
    memberId: member,
    BusinessName,
    baseId: "demo",
  });
});
page.onLanguage(() => {
  draw(bound);
  show();
});
