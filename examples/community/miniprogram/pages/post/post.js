/** One post and its comments. */

const { nameOf, open, shown, write } = require("../../community");

const { texts } = getApp().globalData;

Page({
  data: { texts, post: null, comments: [], waiting: [], draft: "" },

  onLoad({ id }) {
    this.id = Number(id);
    this.scope = open();
    this.scope.onState((change) => change.new === "open" && this.reload());
    this.scope.on("InvitationChanged", (change) => change.id === this.id && this.reload());
    this.scope.on("@gap", () => this.reload());
    if (this.scope.connection.state === "open") this.reload();
  },

  onUnload() {
    this.scope.close();
  },

  async reload() {
    const answer = await this.scope.connection.request("GetInvitation", { mode: "id", id: this.id }).catch(() => null);
    const [post] = answer ? answer.data : [];
    if (post) this.setData({ post: shown(post), comments: post.comments.map(named) });
  },

  type(event) {
    this.setData({ draft: event.detail.value });
  },

  /** Shown at once, as waiting; stored once, in order. */
  send() {
    const text = this.data.draft.trim();
    if (!text) return;
    const waiting = { text, key: `${Date.now()}-${Math.random()}` };
    this.setData({ draft: "", waiting: [...this.data.waiting, waiting] });
    const done = () => this.setData({ waiting: this.data.waiting.filter(({ key }) => key !== waiting.key) });
    write(this.scope, "CreateInvitationComment", { id: this.id, text }).then(done, done);
  },
});

function named(comment) {
  return { ...comment, author: nameOf(comment, texts) };
}
