const { texts } = require("./texts");

App({
  globalData: {
    // A registered domain, as mini programs want it.
    base: "wss://community.example/",
    texts: texts(wx.getAppBaseInfo().language),
  },
});
