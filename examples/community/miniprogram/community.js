/**
 * The one connection of this mini program, in the dialect "community", and what its pages ask of it.
 *
 * - however many pages are open there is one socket, and the last page out closes it (test: five pages are one socket);
 * - each link logs in once, with a code of its own (test: each link logs in once);
 * - what is written while offline is stored in order, once, also after the mini program was killed
 *   (test: written offline, stored in order, test: killed, and nothing is lost);
 * - a ban is told whenever it comes, also after a reconnect (test: a ban is told, also after a reconnect).
 */

const { miniProgramStore, shared } = require("heartline");
const { community } = require("heartline/dialects");

const SURELY = { delivery: "at_least_once", timeout: Infinity };
let watched = null;

/** What a page holds of the connection; `close` it in onUnload. */
function open() {
  const { base } = getApp().globalData;
  const connection = shared(`${base}community`, { dialect: community, store: miniProgramStore(wx), login });
  if (connection !== watched) {
    watched = connection;
    connection.onState(told);
  }
  return connection.scope();
}

/** What this wire calls a login: WeChat's code, and how the person wants to be called. */
function login() {
  return new Promise((resolve, reject) => {
    const userInfo = { nickName: wx.getStorageSync("nickName") || "", avatarUrl: "" };
    wx.login({ success: ({ code }) => resolve({ userCode: code, userInfo }), fail: reject });
  });
}

let outage = false;

/** Toasts, and a modal for what only the person can do something about. */
function told(change) {
  const { texts } = getApp().globalData;
  const toast = (title) => wx.showToast({ title, icon: "none" });
  if (change.new === "open" && change.old !== "open") {
    outage = false;
    toast(texts.connected);
  } else if (change.new === "waiting" && !outage) {
    outage = true;
    toast(change.old === "open" ? texts.closed : texts.troubled);
  } else if (change.new === "refused") {
    const title = /banned/.test(change.reason) ? texts.banned : texts.refused;
    wx.showModal({ title, content: change.reason.replace(/^refused: \w+ ?/, ""), showCancel: false });
  }
}

/**
 * Write something: said until it is answered, and named, so that it is stored once. Resolves with the answer, of which all
 * pages are told as of what others write.
 */
function write({ connection }, operator, fields) {
  const { texts } = getApp().globalData;
  const stored = connection.request(operator, { ...fields, clientId: newId() }, SURELY);
  stored.then(
    (answer) => connection.emit("InvitationChanged", changeOf(operator, fields, answer)),
    (error) => wx.showToast({ title: texts.lost.replace("{why}", error.reason || error.message), icon: "none" }),
  );
  return stored;
}

function changeOf(operator, fields, { data, love }) {
  if (operator === "CreateInvitation") return { what: "post", id: data.id, data };
  if (operator === "LoveInvitation") return { what: "love", id: fields.id, love };
  return { what: "comment", id: fields.id, data };
}

function newId() {
  const part = () => Math.random().toString(36).slice(2, 10);
  return `${Date.now().toString(36)}-${part()}-${part()}`;
}

/** A post as a page shows it. */
function shown(post) {
  const { texts } = getApp().globalData;
  const pictures = (Array.isArray(post.Image) ? post.Image : [post.Image]).filter((one) => /^(https:\/\/|data:image\/)/.test(one || ""));
  return { ...post, pictures, author: nameOf(post, texts), at: new Date(post.time).toLocaleString() };
}

function nameOf({ userInfo }, texts) {
  return (userInfo && userInfo.nickName) || texts.somebody;
}

module.exports = { nameOf, open, shown, write };
