/**
 * One trader's live positions, for as long as somebody looks. Used by the browser page and by the uni-app project.
 *
 * - it dials when the first holds it and leaves when nobody does: stop message, close, no reconnect
 *   (test: the last to release it leaves);
 * - holding twice is holding once, so there is one socket (test: holding twice is holding once);
 * - every try after a failure is told with its number, then that it gave up; `retry` begins anew
 *   (test: five tries, each with a notice, then connectError);
 * - a link on which nothing comes is left (test: a link that died silently is found);
 * - each push is handed over once, on the first link and on every later one (test: each push once, link after link).
 */

/** What existing clients call a push: spelt so. */
export const PUSH = "getPositonsOrder";

/** A link that has lived so many seconds ends an outage, as a push does. */
const STABLE = 10;

/**
 * Nothing in this protocol answers a beat, so a page cannot see a link that died silently. But the server pushes every
 * ten seconds at least: after twenty without a push the subscription is said again, after twenty more the link is left.
 */
const SILENCE = 20;

/**
 * @typedef {import("heartline").Connection} Connection
 * @typedef {import("heartline").StateChange} StateChange
 * @typedef {import("heartline").Options} Options
 * @typedef {import("heartline").Dialect} Dialect
 *
 * @typedef {object} Watcher who is told
 * @property {(rows: unknown) => void} rows a push came: all that is open
 * @property {(change: StateChange) => void} state
 * @property {(kind: "info" | "good" | "bad", key: string, n?: number) => void} notice something a person should read
 * @property {() => void} connectError it gave up: offer a button that calls `retry`
 */

export class Feed {
  /**
   * @param {(options: Options) => Connection} connect dials with these options
   * @param {Dialect} dialect "trades"
   * @param {number} traderid
   * @param {Watcher} watcher
   */
  constructor(connect, dialect, traderid, watcher) {
    const { subscribe } = dialect;
    this._connect = connect;
    this._dialect = subscribe ? { ...dialect, subscribe: { ...subscribe, stale_after: SILENCE } } : dialect;
    this._traderid = traderid;
    this._watcher = watcher;
    /** @type {Connection | null} */
    this._conn = null;
    this._tries = 0;
    this._openSince = 0;
  }

  /**
   * `who` looks at the positions.
   *
   * @param {string} who
   */
  hold(who) {
    if (this._conn) {
      this._conn.hold(who);
      return;
    }
    const conn = this._conn = this._dial();
    conn.hold(who);
    conn.release(); // `connect` held it for itself
  }

  /**
   * `who` looks no more.
   *
   * @param {string} who
   */
  release(who) {
    this._conn?.release(who);
  }

  /** The person wants it now. */
  retry() {
    this._tries = 0;
    this._conn?.retry();
  }

  /** The page is left, or another trader is looked at. */
  close() {
    const conn = this._conn;
    this._conn = null;
    void conn?.close();
  }

  _dial() {
    const { _traderid: traderid, _watcher: watcher } = this;
    const conn = this._connect({
      dialect: this._dialect,
      linger: 0, // nothing is ever waited for here
      params: { traderid, stop: { type: "Stop", traderid } },
    });
    this._tries = 1;
    conn.onState((change) => this._moved(conn, change));
    conn.on("connectError", () => watcher.connectError());
    conn.on(PUSH, (push) => this._pushed(push));
    // Rows come by the event. A gap needs nothing done: every push carries all rows.
    conn.on("@gap", () => {});
    conn.subscribe("positions", { args: { type: "Subscribe", traderid }, onEntry() {}, onGap() {} });
    return conn;
  }

  /** @param {unknown} push */
  _pushed(push) {
    this._tries = 0;
    this._watcher.rows(/** @type {{ data: unknown }} */ (push).data);
  }

  /**
   * @param {Connection} conn
   * @param {StateChange} change
   */
  _moved(conn, change) {
    const { _watcher: watcher } = this;
    const { old, new: state } = change;
    watcher.state(change);
    if (old === state) return;
    if (old === "open" && Date.now() / 1000 - this._openSince >= STABLE) this._tries = 0;
    if (state === "dialling") {
      this._tries = old === "waiting" ? this._tries + 1 : 1;
      if (old === "waiting") watcher.notice("bad", "trying", this._tries);
    } else if (state === "open") {
      this._openSince = Date.now() / 1000;
      watcher.notice("good", "opened");
    } else if (state === "idle" || state === "closed") {
      watcher.notice("info", "left");
    } else if (state === "gave up") {
      conn.emit("connectError", change.reason);
    }
  }
}
