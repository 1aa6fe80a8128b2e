/**
 * The community in a browser. What the person does is said at least once, and named (`clientId`), so that it is stored
 * once; it waits for the network, and over a reload of the page, in the order in which it was done.
 */

import { community, connect, localStore } from "/heartline.js";
import { open } from "/kit/kit.js";
import { Feed } from "./feed.js";
import { shrink } from "./picture.js";
import { TEXTS } from "./texts.js";

const PAGE = 10;
const SURELY = { delivery: "at_least_once", timeout: Infinity };

const page = open("community", TEXTS);
const { t } = page;
const $ = (id) => document.getElementById(id);
const feed = new Feed($("posts"), t, { like, comment, comments });

let conn = null;
let who = "";
let before = null; // the server's time of the first page: older pages count from there
let picture = null;
let outage = false;

// logging in

function enter(name) {
  who = name;
  conn = connect(page.url("/community"), {
    ...page.options,
    dialect: community,
    store: localStore(`community:${name}`),
    // A new code for each link, as wx.login gives one.
    login: () => ({ userCode: `${name}-${newId()}`, userInfo: { nickName: nameOf(name), avatarUrl: "" } }),
    on: { InvitationChanged: changed, "@gap": () => void reload() },
  });
  page.watch(conn);
  conn.onState(moved);
  show();
}

function leave() {
  if (conn) void conn.close();
  conn = null;
  feed.clear();
  show();
}

function moved(change) {
  const mine = conn;
  if (change.old === "idle") restore(conn);
  if (change.new === "open" && change.old !== "open") {
    page.toast(t("connected"), "good");
    outage = false;
    void reload();
  } else if (change.new === "waiting" && !outage) {
    outage = true;
    page.toast(t(change.old === "open" ? "closed" : "troubled"), "bad");
  } else if (change.new === "refused") {
    const title = t(/banned/.test(change.reason) ? "bannedTitle" : "refusedTitle");
    void page.tell(title, saidBy(change.reason)).then(() => mine === conn && leave());
  }
  show();
}

/** What the server said, without the code it began with. */
function saidBy(reason) {
  return reason.replace(/^refused: \w+ ?/, "");
}

function show() {
  for (const id of ["inside", "composer", "feed"]) $(id).hidden = !conn;
  $("login").hidden = !!conn;
  $("retry").hidden = !conn || !["waiting", "gave up"].includes(conn.state);
  if (!conn) return;
  $("you").textContent = t("you", { name: nameOf(who) });
  const { state } = conn;
  $("state").textContent = t(`kit.state_${state}`);
  $("state").className = `tag ${state === "open" ? "good" : state === "refused" ? "bad" : "busy"}`;
}

// reading

/** Ask for the newest, and for the comments that are shown: others may have written while we were away. */
async function reload() {
  const opened = feed.opened;
  const answer = await ask({ mode: "time", limt: PAGE, skip: 0 });
  if (!answer) return;
  before = answer.serverTime;
  // A whole page of news may leave a hole before what is shown: then older posts are asked for again.
  if (answer.data.length === PAGE && !answer.data.some(({ id }) => feed.has(id))) feed.drop();
  answer.data.forEach((row) => feed.put(row));
  $("more").hidden = answer.data.length < PAGE;
  $("none").hidden = !!feed.size;
  opened.forEach(comments);
}

async function more() {
  const answer = await ask({ mode: "time", limt: PAGE, skip: feed.until(before), time: before });
  if (!answer) return;
  answer.data.forEach((row) => feed.put(row));
  $("more").hidden = answer.data.length < PAGE;
}

async function comments(id) {
  const answer = await ask({ mode: "id", id });
  answer?.data.forEach((row) => feed.put(row));
}

/** A question that a cut link may swallow: it is asked again when the link is back, by `reload`. */
async function ask(query) {
  try {
    return await conn.request("GetInvitation", query);
  } catch {
    return null;
  }
}

function changed({ what, id, data, love }) {
  if (what === "post") feed.put(data);
  if (what === "love") feed.change(id, () => ({ love }));
  if (what === "comment") feed.change(id, (row) => withComment(row, data));
  $("none").hidden = !!feed.size;
}

function withComment(row, comment, instead = null) {
  const known = row.comments || [];
  if (known.some((one) => one.id === comment.id)) return { comments: known.filter((one) => one !== instead) };
  const comments = [...known.filter((one) => one !== instead), comment];
  return { comments: row.comments ? comments : undefined, commentCount: row.commentCount + 1 };
}

// writing

function post(event) {
  event.preventDefault();
  const isRichText = $("is-rich").checked;
  const Text = isRichText ? (($("rich").textContent || "").trim() ? $("rich").innerHTML : "") : $("plain").value;
  const draft = { isRichText, Table: $("heading").value.trim(), Image: picture || undefined, Text };
  if (!draft.Table && !Text.trim() && !picture) return page.toast(t("nothing"), "bad");
  const waiting = feed.wait(draft);
  $("none").hidden = true;
  settle(waiting, conn.request("CreateInvitation", { ...draft, clientId: newId() }, SURELY));
  $("draft").reset();
  $("rich").replaceChildren();
  choosePicture(null);
  chooseRich();
}

function settle(waiting, stored) {
  page.track(stored).then(
    ({ data }) => {
      waiting.stored();
      feed.put(data);
      page.toast(t("stored"), "good");
    },
    (error) => waiting.lost(error.reason || error.message),
  );
}

/** Posts that an earlier page had written and that were not stored yet. */
function restore(connection) {
  for (const receipt of connection.restored) {
    if (receipt.event !== "CreateInvitation") continue;
    const waiting = feed.wait(receipt.data);
    receipt.handled().then(
      () => (waiting.stored(), void reload()),
      (error) => waiting.lost(error.reason || error.message),
    );
  }
}

function comment(id, text) {
  const waiting = { text, userInfo: { nickName: nameOf(who) } };
  feed.change(id, (row) => ({ comments: [...(row.comments || []), waiting] }));
  page.track(conn.request("CreateInvitationComment", { id, text, clientId: newId() }, SURELY)).then(
    ({ data }) => feed.change(id, (row) => withComment(row, data, waiting)),
    (error) => page.toast(t("lost", { why: error.reason || error.message }), "bad"),
  );
}

function like(id) {
  feed.change(id, (row) => ({ loved: true, love: row.loved ? row.love : row.love + 1 }));
  page.track(conn.request("LoveInvitation", { id }, SURELY)).then(
    ({ love }) => feed.change(id, () => ({ love })),
    (error) => page.toast(t("lost", { why: error.reason || error.message }), "bad"),
  );
}

async function choosePicture(file) {
  try {
    picture = file ? await shrink(file) : null;
  } catch {
    picture = null;
    page.toast(t("badPicture"), "bad");
  }
  $("picture").value = "";
  $("preview").hidden = !picture;
  const image = $("preview").querySelector("img");
  image.alt = t("pictureOf");
  if (picture) image.src = picture;
  else image.removeAttribute("src");
}

function chooseRich() {
  const isRich = $("is-rich").checked;
  $("rich-box").hidden = !isRich;
  $("plain-box").hidden = isRich;
}

function nameOf(name) {
  return { ann: "Ann", bob: "Bob", chen: "陈", mallory: "Mallory" }[name];
}

function newId() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  enter($("person").value);
});
$("leave").addEventListener("click", leave);
$("retry").addEventListener("click", () => conn.retry());
$("more").addEventListener("click", () => void more());
$("draft").addEventListener("submit", post);
$("is-rich").addEventListener("change", chooseRich);
$("picture").addEventListener("change", () => void choosePicture($("picture").files[0]));
$("no-picture").addEventListener("click", () => void choosePicture(null));
for (const button of document.querySelectorAll("[data-format]")) {
  button.addEventListener("mousedown", (event) => event.preventDefault()); // the selection stays where it is
  button.addEventListener("click", () => {
    $("rich").focus();
    document.execCommand(button.dataset.format);
  });
}
$("rich").addEventListener("paste", (event) => {
  event.preventDefault(); // what was copied elsewhere comes as plain text
  document.execCommand("insertText", false, event.clipboardData.getData("text/plain"));
});
page.onLanguage(() => {
  feed.translate();
  show();
});
