import { controlLink } from "/kit/control.js";
import { setText } from "/kit/dom.js";
import { el, open } from "/kit/kit.js";

const SYSTEMS = [
  ["heart", "/heart/websocket?7&ann", "M12 20s-7-4.6-8.6-9A4.7 4.7 0 0 1 12 7a4.7 4.7 0 0 1 8.6 4c-1.6 4.4-8.6 9-8.6 9Z"],
  ["card", "/card", "M3 6h18v12H3zM6 15h5M6 11h3m6 0h3m-3 4h3"],
  ["echo", "/echo", "M4 5h16v10H9l-5 4zM8 10h8"],
  ["trades", "/trades", "M4 18l5-6 4 3 7-9M15 6h5v5"],
  ["community", "/community", "M9 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm-6 10c0-4 3-6 6-6s6 2 6 6M16 5a3 3 0 0 1 0 6m2 3c2 .6 3 2.6 3 6"],
  ["native", "/native", "M2 13h5l2.5-7 4 12 2.5-7 1 2h5"],
];
const FACTS = ["sent", "handled", "received", "links_died", "kills", "seconds"];
const MANY = new Intl.NumberFormat("en");

const page = open(
  "gallery",
  {
    title: ["Connections that outlive their network", "比网络活得更久的连接"],
    about: [
      "Five small systems, each with its own protocol, on one server. Every page can cut, freeze, slow or refuse its own network: see what becomes of what you send.",
      "同一台服务器上的五个小系统，各说各的协议。每个页面都能切断、冻结、拖慢或拒绝自己的网络：看看发出的东西会怎样。",
    ],
    systems: ["Systems", "系统"],
    heart: ["Heart", "心跳"],
    heartAbout: ["Text ping and pong. Gives up after twelve attempts, says so, and tries again when you want.", "文本 ping 与 pong。十二次后放弃并告知，随时可以重试。"],
    heartBeat: ["10 s, answered with pong", "10 秒，以 pong 应答"],
    card: ["Card", "会员卡"],
    cardAbout: ["An identity, then a binding, repeated on every new link and stored once.", "先表明身份，再绑定；每次重连都重复，只存一次。"],
    cardBeat: ["10 s, never answered", "10 秒，从不应答"],
    echo: ["Echo", "回声"],
    echoAbout: ["What you say comes back. Three buttons that are never wrong.", "说什么就回什么。三个按钮永远不会错。"],
    echoBeat: ["4 s, echoed within 2 s", "4 秒，2 秒内回显"],
    trades: ["Trades", "交易"],
    tradesAbout: ["Live positions in two tabs: one holds the connection, the other lets it go.", "实时持仓，两个标签页：一个持有连接，一个放开。"],
    tradesBeat: ["15 s, answer optional", "15 秒，可不应答"],
    community: ["Community", "社区"],
    communityAbout: ["Posts, comments and likes, written offline, sent in order, stored once.", "帖子、评论和点赞，离线可写，按序发送，只存一次。"],
    communityBeat: ["50 s, answered with HeartOK", "50 秒，以 HeartOK 应答"],
    native: ["heartline.1", "heartline.1"],
    nativeAbout: ["The project’s own protocol: a shared board, and a thousand numbers that all arrive.", "本项目自己的协议：公共留言板，以及全部送达的一千个数。"],
    nativeBeat: ["as agreed, both ways", "双方约定，双向"],
    prove: ["Let it prove itself", "让它自证"],
    proveAbout: [
      "Carries 25,000 lines from a sender to a listener while links are cut and frozen and processes are killed, and compares every byte. Half a minute.",
      "把 25,000 行文本从发送方带到接收方，期间不断切断、冻结连接并杀死进程，最后逐字节比较。约半分钟。",
    ],
    start: ["Start", "开始"],
    stop: ["Stop", "停止"],
    progress: ["Lines received", "已收到的行"],
    notYet: ["Not run yet", "尚未运行"],
    runs: ["Running", "运行中"],
    kept: ["Kept: not one byte differs", "守信：一个字节都不差"],
    broken: ["Not kept", "未守信"],
    stopped: ["Stopped", "已停止"],
    sent: ["Sent", "已发送"],
    handled: ["Handled", "已处理"],
    received: ["Received", "已收到"],
    links_died: ["Links that died", "断掉的连接"],
    kills: ["Processes killed", "被杀的进程"],
    seconds: ["Seconds", "秒"],
    own: ["Clients of your own", "你自己的客户端"],
    ownAbout: ["They connect to the same addresses, in the protocols as they are, and nothing is done to them.", "连接相同的地址，使用原本的协议，不会受到任何干扰。"],
    system: ["System", "系统"],
    address: ["Address", "地址"],
    beat: ["Heartbeat", "心跳"],
  },
  { panel: false },
);
const $ = (id) => document.getElementById(id);
const { t } = page;

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  for (const [name, value] of [["d", path], ["fill", "none"], ["stroke", "currentColor"], ["stroke-width", "1.8"], ["stroke-linecap", "round"], ["stroke-linejoin", "round"]]) {
    line.setAttribute(name, value);
  }
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.append(line);
  return svg;
}

// The systems

for (const [name, path, shape] of SYSTEMS) {
  const url = page.url(path);
  $("cards").append(
    el("li", {}, el("a", { href: `/${name}/` }, icon(shape), el("h2", { "data-t": name }, t(name)), el("p", { "data-t": `${name}About` }, t(`${name}About`)))),
  );
  $("addresses").append(
    el("tr", {}, el("th", { scope: "row", "data-t": name }, t(name)), el("td", {}, el("code", {}, url)), el("td", { "data-t": `${name}Beat` }, t(`${name}Beat`))),
  );
}

// The proof: whoever starts it, every page follows it

const link = controlLink();
const shown = { state: "notYet", run: 0, counts: {}, problems: [] };

link.subscribe("prove", {
  since: "beginning",
  onEntry: ({ event, data }) => {
    if (event === "started") Object.assign(shown, { state: "runs", counts: {}, problems: [] });
    else shown.counts = { ...shown.counts, ...data };
    if (event === "verdict") {
      shown.state = data.ok ? "kept" : data.stopped ? "stopped" : "broken";
      shown.problems = data.stopped ? [] : [...(data.problems || []), ...(data.difference ? [JSON.stringify(data.difference)] : [])];
    }
    show();
  },
  onGap: () => {}, // an older run
});

function show() {
  const { counts, state } = shown;
  const running = state === "runs";
  $("start").disabled = running;
  $("stop").disabled = !running;
  $("verdict").dataset.t = state;
  setText($("verdict"), t(state));
  $("verdict").className = `tag ${{ runs: "busy", kept: "good", broken: "bad" }[state] || ""}`;
  $("progress").max = counts.lines || 1;
  $("progress").value = counts.received || 0;
  counts.kills = (counts.server_kills || 0) + (counts.sender_kills || 0) + (counts.listener_kills || 0);
  for (const name of FACTS) {
    let value = $(`fact-${name}`);
    if (!value) {
      value = el("dd", { id: `fact-${name}`, class: "number" });
      $("facts").append(el("div", {}, el("dt", { "data-t": name }, t(name)), value));
    }
    setText(value, MANY.format(counts[name] || 0));
  }
  $("problems").hidden = !shown.problems.length;
  $("problems").replaceChildren(...shown.problems.map((problem) => el("li", {}, problem)));
}
show();

const ask = (what) => async () => {
  try {
    await link.request(what, null, { timeout: 10 });
  } catch (error) {
    page.toast(error.message, "bad");
  }
};
$("start").addEventListener("click", ask("prove.start"));
$("stop").addEventListener("click", ask("prove.stop"));
