/**
 * A card: the identity is the login, the binding a subscription, and both are said on every link.
 *
 * - leaving the page closes the socket and stops the beat, and so does covering it with another page
 *   (test: leaving, and covering, closes the socket and stops the beat);
 * - a refused identity is told and not repeated (test: a refused identity is told);
 * - a link whose other end is gone is given up, though nothing answers the beat (test: a frozen link is found).
 */

const { connect } = require("heartline");
const { card } = require("heartline/dialects");

// A mini program sees no protocol pings. The server answers bindings, and binding twice binds once: so the binding is
// said again after eight seconds of silence, and the link given up after eight more. Whatever the server says is a sign.
const dialect = { ...card, subscribe: { ...card.subscribe, items: { msgType: "$any" }, stale_after: 8 } };

const { base, texts } = getApp().globalData;

Page({
  data: { texts, state: "idle", said: "", status: texts.binding, card: null },

  onLoad({ card: cardId, member }) {
    const args = { cardId, BusinessID: "b-1", phone: "13800000000", memberId: member, BusinessName: "茶馆 Tea", baseId: "1" };
    // What was missed does not matter: the answer to the next binding tells how it is.
    const onGap = () => {};
    this.connection = connect(`${base}card`, { dialect, login: { memberId: member }, linger: 0, on: { "@gap": onGap } });
    this.connection.onState((change) => this.moved(change));
    this.binding = this.connection.subscribe("card", { args, onGap, onEntry: ({ data }) => this.answered(data) });
  },

  onShow() {
    this.connection.hold();
  },

  /** Covered, by a web-view say, or in the background: nobody looks at the card. */
  onHide() {
    this.connection.release();
  },

  onUnload() {
    void this.connection.close();
  },

  moved({ new: state, reason }) {
    this.setData({ state, said: texts[state].replace("{why}", reason) });
  },

  answered({ msgType, success, data, msg }) {
    if (msgType !== "bind_ack") return;
    if (success) return this.setData({ card: data, status: texts.bound });
    this.setData({ card: null, status: texts.notBound.replace("{why}", msg) });
    this.binding.close(); // it would be refused on every link
  },

  rules() {
    wx.navigateTo({ url: "/pages/index/index" });
  },
});
