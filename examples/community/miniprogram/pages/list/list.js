/** The newest posts. What others write and like appears by itself. */

const { open, shown, write } = require("../../community");

const PAGE = 10;
const { texts } = getApp().globalData;

Page({
  data: { texts, posts: [], state: "idle", waiting: "", more: false },

  onLoad() {
    this.scope = open();
    this.scope.onState((change) => this.moved(change.new));
    this.scope.on("InvitationChanged", (change) => this.changed(change));
    this.scope.on("@gap", () => this.reload()); // something of it may be missing
    this.moved(this.scope.connection.state);
  },

  onShow() {
    this.count();
  },

  onUnload() {
    this.scope.close();
  },

  moved(state) {
    this.setData({ state });
    this.count();
    if (state === "open") this.reload();
  },

  /** How much is not stored yet. */
  count() {
    const { connection } = this.scope;
    const { pending } = connection;
    this.setData({ waiting: pending ? texts.waiting.replace("{n}", pending) : "" });
    if (pending) connection.settled().then(() => this.count(), () => {});
  },

  /** Others may have written while we were away. */
  async reload() {
    const answer = await this.ask({ mode: "time", limt: PAGE, skip: 0 });
    if (!answer) return;
    this.before = answer.serverTime;
    this.setData({ posts: answer.data.map(shown), more: answer.data.length === PAGE });
  },

  async older() {
    const { posts } = this.data;
    const skip = posts.filter(({ time }) => time <= this.before).length; // and not those that came since
    const answer = await this.ask({ mode: "time", limt: PAGE, skip, time: this.before });
    if (!answer) return;
    const known = posts.map(({ id }) => id);
    const older = answer.data.filter(({ id }) => !known.includes(id)).map(shown);
    this.setData({ posts: [...posts, ...older], more: answer.data.length === PAGE });
  },

  /** A question that a lost link may swallow: `reload` asks again on the next. */
  ask(query) {
    return this.scope.connection.request("GetInvitation", query).catch(() => null);
  },

  changed({ what, id, data, love }) {
    const { posts } = this.data;
    const known = posts.some((post) => post.id === id);
    if (what === "post" && !known) return this.setData({ posts: [shown(data), ...posts] });
    if (what === "comment") this.change(id, (post) => ({ commentCount: post.commentCount + 1 }));
    if (what === "love" && love !== undefined) this.change(id, () => ({ love }));
  },

  change(id, changes) {
    this.setData({ posts: this.data.posts.map((post) => (post.id === id ? { ...post, ...changes(post) } : post)) });
  },

  like(event) {
    const { id } = event.currentTarget.dataset;
    this.change(id, (post) => ({ loved: true, love: post.loved ? post.love : post.love + 1 }));
    write(this.scope, "LoveInvitation", { id }).catch(() => {});
    this.count();
  },

  enter(event) {
    wx.navigateTo({ url: `/pages/post/post?id=${event.currentTarget.dataset.id}` });
  },

  write() {
    wx.navigateTo({ url: "/pages/write/write" });
  },

  retry() {
    this.scope.connection.retry();
  },
});
