const { texts } = getApp().globalData;

Page({
  data: { tasks: [7, 8].map((id) => ({ id, name: texts.enter.replace("{n}", id) })) },
  enter(event) {
    wx.navigateTo({ url: `/pages/heart/heart?task=${event.currentTarget.dataset.task}&user=ann` });
  },
});
