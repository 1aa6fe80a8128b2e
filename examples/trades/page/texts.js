/** What the page and the uni-app project say: English, Chinese. */

/** @type {Record<string, [string, string]>} */
export const TEXTS = {
  title: ["Trades", "交易"],
  about: [
    "Open Trades holds the connection, Closed Trades releases it: look at the network panel while you change tabs.",
    "“当前交易”标签占用连接，“历史交易”标签释放连接：切换标签时请看网络面板。",
  ],
  positions: ["Positions", "持仓"],
  trader: ["Trader", "交易员"],
  open: ["Open Trades", "当前交易"],
  closed: ["Closed Trades", "历史交易"],
  signal: ["Signal", "信号"],
  every: ["All", "全部"],
  signalOf: ["Signal {n}", "信号 {n}"],
  split: ["Followed and own apart", "跟单与自主分开"],
  keep: ["Keep following on the other tab", "在另一标签继续接收"],
  followed: ["Followed", "跟单"],
  own: ["Own", "自主"],
  order: ["Order", "订单"],
  symbol: ["Symbol", "品种"],
  side: ["Side", "方向"],
  buy: ["buy", "买"],
  sell: ["sell", "卖"],
  volume: ["Volume", "手数"],
  price: ["Price", "价格"],
  profit: ["Profit", "盈亏"],
  kind: ["Kind", "类型"],
  none: ["No positions", "暂无持仓"],
  pushes: ["Pushes: {n}", "推送次数：{n}"],
  opened: ["Connected", "已连接"],
  left: ["Connection closed", "连接已关闭"],
  trying: ["Connection failed, trying for the {nth} time", "连接失败，正在第 {n} 次重试"],
  connectError: ["Could not connect", "无法连接"],
  retry: ["Retry", "重试"],
  failed: ["Closed trades could not be read", "无法读取历史"],
  enter: ["Positions", "查看持仓"],
};

/**
 * A text with its values; `nth` is written from `n`, as English has it.
 *
 * @param {string} key
 * @param {number} language 0 for English, 1 for Chinese
 * @param {{ n?: number | undefined }} [values]
 */
export function text(key, language, values = {}) {
  const { n } = values;
  const all = { ...values, nth: nth(n) };
  return (TEXTS[key]?.[language] ?? key).replace(/\{(n|nth)\}/g, (_, name) => String(all[/** @type {"n"} */ (name)]));
}

/** @param {number} [n] */
export function nth(n = 0) {
  return `${n}${n % 100 > 10 && n % 100 < 14 ? "th" : ["th", "st", "nd", "rd"][n % 10] ?? "th"}`;
}
