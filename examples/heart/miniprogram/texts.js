/** What this mini program says: English, Chinese. */

const TEXTS = {
  enter: ["Task {n}", "任务 {n}"],
  idle: ["not connected", "未连接"],
  dialling: ["connecting", "正在连接"],
  greeting: ["connecting", "正在连接"],
  open: ["connected", "已连接"],
  moving: ["connected", "已连接"],
  waiting: ["connection lost, trying again", "连接已断开，正在重试"],
  "gave up": ["no connection after {n} attempts", "尝试 {n} 次后仍无法连接"],
  refused: ["refused", "被拒绝"],
  closed: ["closed", "已关闭"],
  say: ["Say something", "说点什么"],
  send: ["Send", "发送"],
  retry: ["Try again", "重试"],
};

/** All of them in one language: that of the device. */
function texts(language) {
  const at = /^zh/i.test(language) ? 1 : 0;
  return Object.fromEntries(Object.keys(TEXTS).map((key) => [key, TEXTS[key][at]]));
}

module.exports = { texts };
