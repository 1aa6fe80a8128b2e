/** English and Chinese. Texts are `key: [English, Chinese]`; those of the kit itself begin with "kit.". */

const KEY = "heartline.language";
const LANGUAGES = ["en", "zh"];

const COMMON = {
  "kit.back": ["All systems", "全部系统"],
  "kit.skip": ["Skip to the content", "跳到正文"],
  "kit.language": ["中文", "English"],
  "kit.languageLabel": ["Switch to Chinese", "切换到英文"],
  "kit.close": ["Close", "关闭"],
  "kit.network": ["Network", "网络"],
  "kit.break": ["Break this page’s network", "弄坏本页的网络"],
  "kit.breakHint": [
    "These act on this page’s own links, in a real TCP proxy. Other pages and clients feel nothing.",
    "只作用于本页自己的连接，由真实的 TCP 代理执行。其他页面和客户端不受影响。",
  ],
  "kit.cut": ["Cut now", "立即切断"],
  "kit.freeze": ["Freeze", "冻结"],
  "kit.freezeUp": ["Freeze up", "冻结上行"],
  "kit.refuse": ["Refuse dials", "拒绝拨号"],
  "kit.shaky": ["Cut every 5\u00a0s", "每 5 秒切断"],
  "kit.delay": ["Delay, each way", "单向延迟"],
  "kit.delayNone": ["none", "无"],
  "kit.delayOf": ["{n} s", "{n} 秒"],
  "kit.normal": ["Back to normal", "恢复正常"],
  "kit.linkCut": ["{n} cut", "已切断 {n} 条连接"],
  "kit.numbers": ["What it does to us", "对本页的影响"],
  "kit.roundTrip": ["Round trip", "往返时间"],
  "kit.ms": ["{n} ms", "{n} 毫秒"],
  "kit.noAnswer": ["not answered here", "此协议不应答"],
  "kit.beats": ["Beats sent / answered", "心跳 已发/已答"],
  "kit.attempts": ["Dials", "拨号次数"],
  "kit.nextRetry": ["Next retry", "下次重试"],
  "kit.inSeconds": ["in {n} s", "{n} 秒后"],
  "kit.outbox": ["Waiting in the outbox", "发件箱等待"],
  "kit.handled": ["Handled", "已处理"],
  "kit.failed": ["Refused or unknown", "被拒绝或结果未知"],
  "kit.gaps": ["Gaps", "缺口"],
  "kit.stuck": ["Stuck in the network", "滞留在网络中"],
  "kit.bytes": ["{n} bytes", "{n} 字节"],
  "kit.openLinks": ["Links the proxy holds", "代理持有的连接"],
  "kit.wire": ["On the wire", "线上报文"],
  "kit.wireEmpty": ["Nothing was said yet.", "尚无报文。"],
  "kit.pulse": ["Round trips of the last beats; the tallest is {n} ms", "最近心跳的往返时间，最高 {n} 毫秒"],
  "kit.controlLost": ["The network panel has no link to the demo.", "网络面板与演示程序失去联系。"],
  "kit.state_idle": ["Idle", "空闲"],
  "kit.state_dialling": ["Dialling", "正在拨号"],
  "kit.state_greeting": ["Greeting", "正在握手"],
  "kit.state_open": ["Open", "已连接"],
  "kit.state_moving": ["Moving", "正在迁移"],
  "kit.state_waiting": ["Waiting", "等待重试"],
  "kit.state_gave up": ["Gave up", "已放弃"],
  "kit.state_refused": ["Refused", "被拒绝"],
  "kit.state_closed": ["Closed", "已关闭"],
  "kit.frozenTag": ["frozen", "已冻结"],
  "kit.connection": ["Connection", "连接"],
};

let language = stored() || (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
const listeners = [];

/** Look texts up in these first. Returns `t(key, values)`; an unknown key throws, so that tests find it. */
export function translator(texts) {
  for (const [key, both] of Object.entries(texts)) {
    if (!Array.isArray(both) || both.length !== LANGUAGES.length) throw new TypeError(`text ${key}: expected [English, Chinese]`);
  }
  return (key, values = {}) => {
    const both = COMMON[key] || texts[key];
    if (!both) throw new RangeError(`there is no text ${key}`);
    return both[LANGUAGES.indexOf(language)].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  };
}

/** Write the texts that HTML asks for with data-t and its relatives. */
export function translate(root, t) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const button of root.querySelectorAll("[data-do=language]")) button.lang = language === "zh" ? "en" : "zh-CN"; // its text
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const [name, attribute] of [["tLabel", "aria-label"], ["tPlaceholder", "placeholder"], ["tTitle", "title"], ["tEmpty", "data-empty"], ["tAlt", "alt"]]) {
    const selector = `[data-${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}]`;
    for (const element of root.querySelectorAll(selector)) element.setAttribute(attribute, t(element.dataset[name]));
  }
}

/** Call a function when the language changes. */
export function onLanguage(listener) {
  listeners.push(listener);
}

/** The other language, from now on. */
export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // a browser that keeps nothing: it is asked again next time
  }
  for (const listener of listeners) listener();
}

/** "en" or "zh". */
export function currentLanguage() {
  return language;
}

function stored() {
  try {
    const kept = localStorage.getItem(KEY);
    return LANGUAGES.includes(kept) ? kept : null;
  } catch {
    return null;
  }
}
