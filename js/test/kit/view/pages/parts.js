const seen = [];
const note = (what) => () => void seen.push(what);
Component({
  properties: { traderid: { type: String, value: "7" } },
  data: { seen },
  created: note("created"),
  lifetimes: { attached: note("attached"), ready: note("ready"), detached: note("detached") },
  pageLifetimes: { show: note("show"), hide: note("hide") },
  methods: {
    onLoad(query) {
      seen.push(`load ${query.id} ${this.data.traderid} ${this.route}`);
      this.triggerEvent("none");
    },
    onUnload: note("unload"),
    onHide: note("onHide"),
    seen: () => seen,
  },
});
