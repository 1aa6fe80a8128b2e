/** The link to the demo itself: heartline.1 at /control, on which no page's faults act. */

import { connect } from "/heartline.js";

const NORMAL = { freeze: "none", dials: "accept", latency: 0, cut_every: null };

/** 128 random bits in 22 characters: the name of this page's links. */
export function newPageId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** A WebSocket address on this very host. */
export function addressOf(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

/** The connection to the demo. */
export function controlLink() {
  return connect(addressOf("/control"), { name: "gallery", backOff: { base: 0.25, cap: 3, stable: 5 } });
}

/** The network of one page. `changed()` is called when what is wished or seen has changed. */
export class Network {
  constructor(changed) {
    this.page = newPageId();
    this.wish = { ...NORMAL };
    /** What the proxy sees of this page's links; null before the first answer. */
    this.seen = null;
    this.reachable = true;
    this._changed = changed;
    this._link = controlLink();
    this._link.on("network.seen", (seen) => this._take(seen));
    this._link.onState(({ new: state }) => {
      const reachable = state !== "waiting" && state !== "gave up" && state !== "refused";
      if (state === "open") this._say(); // the demo may have forgotten us, or be another one
      if (reachable !== this.reachable) {
        this.reachable = reachable;
        changed();
      }
    });
  }

  /** Wish for something else; the rest stays. */
  set(change) {
    Object.assign(this.wish, change);
    this._changed();
    return this._say();
  }

  /** As if nothing had ever happened. */
  reset() {
    return this.set(NORMAL);
  }

  /** Cut this page's links; how many there were. */
  cut() {
    return this._link.request("network.cut", { page: this.page }, { timeout: 10 });
  }

  async _say() {
    try {
      this._take(await this._link.request("network.wish", { page: this.page, ...this.wish }, { timeout: 10 }));
    } catch {
      // said again on the next link
    }
  }

  _take(seen) {
    if (seen.page !== this.page) return;
    this.seen = seen;
    this._changed();
  }
}
