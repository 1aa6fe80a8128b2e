import { connect } from "/heartline.js";
import { el, open } from "/kit/kit.js";

const page = open("native", {
  title: ["heartline’s own protocol", "heartline 自己的协议"],
  about: [
    "Sends, requests and channels over a session that outlives its links. Break the network and keep writing: nothing is lost, nothing comes twice.",
    "发送、请求和频道，会话比连接活得更久。弄坏网络，继续写：不丢失，不重复。",
  ],
  board: ["A board for everybody", "公共留言板"],
  boardEmpty: ["Nobody wrote anything yet.", "还没有人留言。"],
  line: ["Your line", "你的留言"],
  writeIt: ["Write", "写上"],
  count: ["Count a thousand", "数到一千"],
  countAbout: [
    "Sends the numbers 1 to 1,000, one by one. The server counts them, and counts those that came twice or out of order. Cut the network while it runs.",
    "逐个发送 1 到 1000。服务器计数，也数重复或乱序的。运行时请切断网络试试。",
  ],
  start: ["Count", "开始"],
  progress: ["Handled so far", "已处理"],
  said: ["Said", "已发出"],
  counted: ["Counted by the server", "服务器已计数"],
  wrong: ["Twice or out of order", "重复或乱序"],
  kept: ["Each number once, in order.", "每个数一次，顺序正确。"],
  broken: ["Something was lost or doubled.", "有丢失或重复。"],
  missing: ["Lines {from} to {to} are no longer kept.", "第 {from} 到 {to} 条已不再保留。"],
});
const $ = (id) => document.getElementById(id);
const conn = page.watch(connect(page.url("/native"), { ...page.options, heartbeat: { interval: 3, timeout: 2 } }));

conn.subscribe("board", {
  since: "beginning",
  onEntry: ({ data, offset }) => add(`${offset}. ${data.text}`, "down"),
  onGap: ({ after, to }) => {
    page.gap();
    add(page.t("missing", { from: after + 1, to }), "lost");
  },
});

function add(text, kind) {
  const board = $("board");
  board.append(el("li", { class: kind }, text));
  board.scrollTop = board.scrollHeight;
}

$("write").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = event.target.elements.text;
  page.track(conn.send("write", { text: field.value }));
  field.value = "";
  field.focus();
});

const TOP = 1000;
const EVERY = 10; // milliseconds
let first = 0; // the server counts on over runs

$("start").addEventListener("click", () => {
  $("start").disabled = true;
  $("verdict").textContent = "";
  const from = first;
  let said = 0;
  let handled = 0;
  const saying = setInterval(() => {
    const number = from + ++said;
    $("said").textContent = said;
    page.track(conn.request("count", number, { timeout: Infinity })).then(([counted, wrong]) => {
      $("progress").value = ++handled;
      $("counted").textContent = counted - from;
      $("wrong").textContent = wrong;
      if (handled < TOP) return;
      $("verdict").textContent = page.t(counted - from === TOP && !wrong ? "kept" : "broken");
      $("start").disabled = false;
    });
    if (said === TOP) {
      clearInterval(saying);
      first += TOP;
    }
  }, EVERY);
});
