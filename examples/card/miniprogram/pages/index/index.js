const { texts } = getApp().globalData;

Page({
  data: { cards: [1, 2].map((n) => ({ id: `c-${n}`, name: texts.enter.replace("{n}", n) })) },
  enter(event) {
    wx.navigateTo({ url: `/pages/card/card?card=${event.currentTarget.dataset.card}&member=m-1` });
  },
});
