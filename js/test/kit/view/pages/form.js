Page({
  data: { name: "", names: [], sent: false, busy: false },
  type(event) {
    this.setData({ name: event.detail.value });
  },
  add(event) {
    this.setData({ [`names[${this.data.names.length}]`]: { id: event.currentTarget.dataset.nextId, name: this.data.name } });
  },
  send() {
    this.setData({ sent: true });
  },
  ask(event) {
    wx.request({
      url: event.currentTarget.dataset.url,
      data: { q: "a b" },
      success: ({ statusCode, data }) => this.setData({ answer: [statusCode, data] }),
      fail: ({ errMsg }) => this.setData({ answer: errMsg }),
      complete: () => this.setData({ busy: false }),
    });
    this.setData({ busy: true });
  },
});
