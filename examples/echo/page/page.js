import { connect, echo } from "/heartline.js";
import { open } from "/kit/kit.js";

const page = open("echo", {
  title: ["Echo", "回声"],
  about: [
    "What you say comes back. Three buttons, and exactly those that make sense can be pressed, whatever the network does at that moment.",
    "说什么就回什么。三个按钮，无论网络此刻怎样，能按的恰好是该按的。",
  ],
  connect: ["Connect", "连接"],
  closeIt: ["Close", "关闭"],
  send: ["Send", "发送"],
  message: ["Message", "消息"],
  talk: ["What was said", "对话"],
  quietHere: ["Connect, and say something.", "先连接，再说点什么。"],
  closed: ["Closed", "已关闭"],
  connecting: ["Connecting", "正在连接"],
  open: ["Open", "已连接"],
  waiting: ["Lost; it reconnects by itself", "已断开；会自动重连"],
  unknown: ["Nobody knows whether it arrived: {text}", "不知是否送达：{text}"],
  times: ["Three times you can choose", "可以选择的三个时间"],
  timesHint: ["They count from the next Connect on.", "从下一次连接起生效。"],
  interval: ["Beat every, seconds", "心跳间隔（秒）"],
  timeout: ["Answer within, seconds", "应答时限（秒）"],
  delay: ["Reconnect after, seconds", "重连等待（秒）"],
});
const $ = (id) => document.getElementById(id);
const { t } = page;
let conn = null;

$("connect").addEventListener("click", () => {
  if (conn && conn.state === "waiting") {
    conn.retry(); // at once, and once
  } else if (!conn || conn.state === "closed") {
    begin();
  }
  $("text").focus();
});

$("close").addEventListener("click", () => {
  conn.close();
  show();
  $("connect").focus();
});

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!conn || conn.state !== "open" || !text) return;
  page.track(conn.send("message", text)).handled().catch(() => page.log(t("unknown", { text }), "lost"));
  page.log(text, "up");
  $("text").value = "";
  $("text").focus();
});

function begin() {
  const [interval, timeout, delay] = ["interval", "timeout", "delay"].map((id) => $(id).valueAsNumber || Number($(id).defaultValue));
  const dialect = { ...echo, beat: { ...echo.beat, interval, timeout }, reconnect: { ...echo.reconnect, delay, cap: Math.max(delay, 30) } };
  conn = page.watch(connect(page.url("/echo"), { ...page.options, dialect }));
  conn.on("message", (text) => page.log(typeof text === "string" ? text : JSON.stringify(text), "down"));
  conn.onState(show);
  show();
}

/** Closed: only Connect. Open: only Send and Close. Between them what leads to either. */
function show() {
  const state = conn ? conn.state : "closed";
  const open = state === "open" || state === "moving";
  const closed = state === "closed";
  $("connect").disabled = !closed && state !== "waiting";
  $("send").disabled = !open;
  $("close").disabled = closed;
  const key = open ? "open" : closed ? "closed" : state === "waiting" ? "waiting" : "connecting";
  $("state").dataset.t = key;
  $("state").textContent = t(key);
  $("state").className = `tag ${{ open: "good", closed: "", waiting: "busy", connecting: "busy" }[key]}`;
}
show();
