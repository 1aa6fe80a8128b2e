const { shared, miniProgramStore } = require("heartline");

Page({
  data: { state: "", entries: [] },
  onLoad() {
    const { url } = getApp().globalData;
    this.scope = shared(url, {
      store: miniProgramStore(wx),
      backOff: { base: 0.02, cap: 0.1 },
      linger: 0,
      on: { "@error": (error) => wx.showToast({ title: String(error) }) },
    }).scope();
    this.scope.onState((change) => this.setData({ state: change.new }));
    this.scope.subscribe("log/mini", {
      onEntry: (entry) => this.setData({ [`entries[${this.data.entries.length}]`]: entry.data }),
    });
  },
  mark(what) {
    this.scope.connection.send("mark", what);
  },
  onUnload() {
    this.scope.close();
  },
});
