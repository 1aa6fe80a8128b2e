/** A new post. It is on its way when the page closes, network or not. */

const { open, write } = require("../../community");

Page({
  data: { texts: getApp().globalData.texts, title: "", text: "" },

  onLoad() {
    this.scope = open();
  },

  onUnload() {
    this.scope.close();
  },

  typeTitle(event) {
    this.setData({ title: event.detail.value });
  },

  typeText(event) {
    this.setData({ text: event.detail.value });
  },

  post() {
    const { title, text } = this.data;
    if (!title.trim() && !text.trim()) return;
    write(this.scope, "CreateInvitation", { isRichText: false, Table: title, Text: text }).catch(() => {});
    wx.navigateBack({});
  },
});
