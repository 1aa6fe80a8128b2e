import { connect, heart } from "/heartline.js";
import { open } from "/kit/kit.js";

const page = open("heart", {
  title: ["Heart", "心跳"],
  about: [
    "The whole protocol: ping every ten seconds, pong as the answer, anything else is a message. Freeze the network and watch the heart: it stops with the link, not twenty minutes later.",
    "整个协议：每十秒一个 ping，以 pong 应答，其余都是消息。冻结网络看看这颗心：它随连接停下，而不是二十分钟以后。",
  ],
  who: ["Who is here", "谁在这里"],
  task: ["Task", "任务"],
  user: ["User", "用户"],
  quick: ["Retry after half a second instead of five", "半秒后重试，而不是五秒"],
  connect: ["Connect", "连接"],
  leave: ["Leave", "离开"],
  retry: ["Try again", "再试一次"],
  gaveUp: ["Gave up after 12 attempts.", "12 次尝试后已放弃。"],
  gaveUpHint: ["Nothing is tried any more until you say so.", "在你要求之前不再尝试。"],
  talk: ["Messages", "消息"],
  line: ["Your message", "你的消息"],
  send: ["Send", "发送"],
  quietHere: ["Open this page twice, on the same task.", "在同一任务上打开两个页面试试。"],
  notConnected: ["Not connected", "未连接"],
  dialling: ["Dialling, attempt {n}", "正在拨号，第 {n} 次"],
  open: ["Connected: the heart beats", "已连接：心在跳"],
  waiting: ["No connection; attempt {n} is next", "没有连接；接下来是第 {n} 次尝试"],
  lost: ["Unknown whether it arrived: {text}", "不知是否送达：{text}"],
});
const $ = (id) => document.getElementById(id);
const { t } = page;
let conn = null;
let failures = 0; // attempts since the last good link

$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const { task, user, quick } = event.target.elements;
  const dialect = quick.checked ? { ...heart, reconnect: { ...heart.reconnect, delay: 0.5, cap: 1 } } : heart;
  const url = page.url(`/heart/websocket?${task.value}&${user.value}`);
  conn = page.watch(connect(url, { ...page.options, dialect }), user.value);
  conn.on("message", (text) => page.log(text, "down"));
  conn.onState(show);
  show({ new: conn.state });
});

$("leave").addEventListener("click", () => {
  const left = conn;
  left.close();
  conn = null;
  show({ new: "closed" });
  $("connect").focus();
});

$("retry").addEventListener("click", () => {
  failures = 0;
  conn.retry();
  $("leave").focus();
});

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = event.target.elements.text;
  if (!conn || !field.value) return;
  const text = field.value;
  page.track(conn.send("message", text)).handled().catch(() => page.log(t("lost", { text }), "lost"));
  page.log(text, "up");
  field.value = "";
  field.focus();
});

function show({ new: state }) {
  const connected = conn !== null;
  if (state === "dialling") failures++;
  if (state === "open") failures = 0;
  for (const field of $("join").elements) if (field.name) field.disabled = connected;
  $("connect").disabled = connected;
  $("leave").disabled = !connected;
  $("say").querySelector("button").disabled = !connected;
  const gaveUp = state === "gave up";
  $("gaveup").hidden = !gaveUp;
  if (gaveUp) $("retry").focus();
  const key = { open: "open", dialling: "dialling", greeting: "dialling", waiting: "waiting" }[state] || "notConnected";
  $("state").textContent = t(key, { n: key === "waiting" ? failures + 1 : failures });
  $("heart").setAttribute("class", state === "open" ? "alive" : state === "waiting" || key === "dialling" ? "waits" : "");
}

// The heart beats when a pong comes

let beats = 0;
setInterval(() => {
  if (page.wire.answered === beats || !conn || conn.state !== "open") return;
  beats = page.wire.answered;
  $("heart").setAttribute("class", "alive");
  requestAnimationFrame(() => requestAnimationFrame(() => $("heart").setAttribute("class", "alive beat")));
}, 100);

page.onLanguage(() => show({ new: conn ? conn.state : "closed" }));
show({ new: "closed" });
