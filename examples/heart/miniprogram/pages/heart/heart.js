/**
 * One task's messages, in the dialect "heart": text ping and pong, and everything else is a message.
 *
 * - entered twice there is one socket, and leaving ends what the page has (test: entering twice is one socket);
 * - "connected" is said when it is, and giving up is said as well (test: twelve attempts, then a button).
 */

const { shared } = require("heartline");
const { heart } = require("heartline/dialects");

const LINES = 50;

Page({
  data: { texts: getApp().globalData.texts, state: "idle", said: "", draft: "", lines: [] },

  onLoad({ task = "7", user = "ann" }) {
    const { base } = getApp().globalData;
    const address = `${base}heart/websocket?${encodeURIComponent(task)}&${encodeURIComponent(user)}`;
    const connection = shared(address, { dialect: heart, linger: 0 });
    this.scope = connection.scope(); // what this page holds: nothing of it is left after `close`
    this.scope.onState((change) => this.moved(change.new));
    this.scope.on("message", (text) => this.add("in", text));
    this.moved(connection.state);
  },

  onUnload() {
    this.scope.close();
  },

  moved(state) {
    const { attempts } = heart.reconnect;
    this.setData({ state, said: this.data.texts[state].replace("{n}", attempts) });
  },

  type(event) {
    this.setData({ draft: event.detail.value });
  },

  /** Kept while there is no connection, and sent in order. */
  send() {
    const text = this.data.draft;
    if (!text) return;
    this.scope.connection.send("message", text);
    this.add("out", text);
    this.setData({ draft: "" });
  },

  retry() {
    this.scope.connection.retry();
  },

  add(kind, text) {
    const { lines } = this.data;
    const line = { id: lines.length ? lines[0].id + 1 : 1, kind, text: String(text) };
    this.setData({ lines: [line, ...lines].slice(0, LINES) });
  },
});
