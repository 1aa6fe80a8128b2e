App({
  globalData: { url: "wss://mini.example/" },
  onShow() {
    this.globalData.seesWindow = typeof window !== "undefined" || typeof WebSocket !== "undefined";
  },
});
