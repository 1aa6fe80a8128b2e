/** What this mini program says: English, Chinese. */

const TEXTS = {
  connected: ["Connected", "已连接"],
  troubled: ["Connection error", "连接出错"],
  closed: ["Connection closed", "连接已断开"],
  refused: ["You could not log in", "登录失败"],
  banned: ["You are blacklisted", "你在黑名单中"],
  waiting: ["{n} waiting to be stored", "{n} 条等待保存"],
  retry: ["Connect now", "立即连接"],
  write: ["Write a post", "发帖"],
  title: ["Title", "标题"],
  text: ["Text", "正文"],
  post: ["Post", "发布"],
  lost: ["Not stored: {why}", "未保存：{why}"],
  like: ["Like", "赞"],
  older: ["Older posts", "更早的帖子"],
  comment: ["Your comment", "你的评论"],
  send: ["Send", "发送"],
  comments: ["Comments", "评论"],
  none: ["Nobody has written anything yet.", "还没有人发帖。"],
  somebody: ["Somebody", "某人"],
};

/** All of them in one language: that of the device. */
function texts(language) {
  const at = /^zh/i.test(language) ? 1 : 0;
  return Object.fromEntries(Object.keys(TEXTS).map((key) => [key, TEXTS[key][at]]));
}

module.exports = { texts };
