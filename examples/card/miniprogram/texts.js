/** What this mini program says: English, Chinese. */

const TEXTS = {
  enter: ["Card {n}", "会员卡 {n}"],
  idle: ["not connected", "未连接"],
  dialling: ["connecting", "正在连接"],
  greeting: ["connecting", "正在连接"],
  open: ["connected", "已连接"],
  moving: ["connected", "已连接"],
  waiting: ["connection lost, trying again", "连接已断开，正在重试"],
  "gave up": ["no connection", "无法连接"],
  refused: ["refused: {why}", "被拒绝：{why}"],
  closed: ["closed", "已关闭"],
  binding: ["binding…", "正在绑定…"],
  bound: ["bound", "已绑定"],
  notBound: ["not bound: {why}", "未能绑定：{why}"],
  rules: ["Terms of use", "使用条款"],
};

/** All of them in one language: that of the device. */
function texts(language) {
  const at = /^zh/i.test(language) ? 1 : 0;
  return Object.fromEntries(Object.keys(TEXTS).map((key) => [key, TEXTS[key][at]]));
}

module.exports = { texts };
