/**
 * The network panel: hands on the page's network, and what they do to its connections.
 *
 * Drawn at most five times a second. What matters to somebody who does not see it, a state that changed, is said in a
 * live region; numbers that run are not.
 */

import { addLine, el, setText } from "./dom.js";

const EVERY = 200; // milliseconds
const WIRE_LINES = 60;
const GOOD = ["open", "moving"];
const BAD = ["gave up", "refused"];
const BUSY = ["dialling", "greeting", "waiting"];

/** The class that goes with a state. */
export function kindOf(state) {
  return GOOD.includes(state) ? "good" : BAD.includes(state) ? "bad" : BUSY.includes(state) ? "busy" : "";
}

export class Panel {
  constructor(network, wire, t) {
    this._network = network;
    this._wire = wire;
    this._t = t;
    this._connections = []; // { conn, name, change, due }
    this.counts = { handled: 0, failed: 0, gaps: 0 };
    this._facts = new Map();
    this._told = new Map();
    this.element = this._build();
    setInterval(() => this.draw(), EVERY);
  }

  /** Show a connection. */
  watch(conn, name) {
    for (const { line } of this._connections.filter((old) => old.conn.state === "closed")) line.remove();
    this._connections = this._connections.filter((old) => old.conn.state !== "closed");
    const line = el("li", { lang: "en" }); // reasons come from the library
    const watched = { conn, name, line, change: null, due: null };
    this._lines.append(line);
    this._connections.push(watched);
    conn.onState((change) => {
      watched.change = change;
      watched.due = change.retryIn === null ? null : performance.now() + change.retryIn * 1000;
      this._announce(watched);
      this.draw();
    });
    conn.on("@gap", () => this.gap());
    this.draw();
  }

  /** Something may be missing. */
  gap() {
    this.counts.gaps++;
  }

  /** A message on the wire. */
  said(kind, text) {
    addLine(this._wireList, text.length > 300 ? `${text.slice(0, 300)}…` : text, kind, WIRE_LINES);
  }

  /** Write everything down as it is now. */
  draw() {
    const { _network: network, _wire: wire, _t: t } = this;
    const { wish, seen } = network;
    this._pressed(this._freeze, wish.freeze === "both");
    this._pressed(this._freezeUp, wish.freeze === "up");
    this._pressed(this._refuse, wish.dials === "refuse");
    this._pressed(this._shaky, wish.cut_every !== null);
    if (document.activeElement !== this._delay) this._delay.value = String(wish.latency);
    this._normal.disabled = wish.freeze === "none" && wish.dials === "accept" && !wish.latency && wish.cut_every === null;
    this._lost.hidden = network.reachable;

    const current = this._connections.at(-1);
    const state = current ? current.conn.state : "idle";
    const due = current && state === "waiting" ? current.due : null;
    const left = due === null ? null : Math.max(0, (due - performance.now()) / 1000);
    setText(this._tag, t(`kit.state_${state}`) + (left === null ? "" : ` ${left.toFixed(1)} s`));
    this._tag.className = `tag ${kindOf(state)}`;
    for (const watched of this._connections) setText(watched.line, this._lineOf(watched));

    this._fact("roundTrip", !wire.answers ? t("kit.noAnswer") : wire.roundTrip === null ? "–" : t("kit.ms", { n: Math.round(wire.roundTrip) }));
    this._fact("beats", wire.answers ? `${wire.sent} / ${wire.answered}` : `${wire.sent} / –`);
    this._fact("attempts", String(wire.dials));
    this._fact("nextRetry", left === null ? "–" : t("kit.inSeconds", { n: left.toFixed(1) }));
    this._fact("outbox", String(this._connections.reduce((sum, { conn }) => sum + conn.pending, 0)));
    this._fact("handled", String(this.counts.handled));
    this._fact("failed", String(this.counts.failed));
    this._fact("gaps", String(this.counts.gaps));
    this._fact("stuck", t("kit.bytes", { n: seen ? seen.held : 0 }));
    const open = seen ? seen.open : 0;
    this._fact("openLinks", seen && seen.frozen ? `${open} (${t("kit.frozenTag")}: ${seen.frozen})` : String(open));
    this._drawPulse();
  }

  _lineOf({ conn, name, change }) {
    const why = change && conn.state !== "open" ? change.reason : "";
    if (this._connections.length < 2) return why;
    return `${name || this._t("kit.connection")}: ${this._t(`kit.state_${conn.state}`)}${why ? ` – ${why}` : ""}`;
  }

  _announce(watched) {
    const { state } = watched.conn;
    if (this._told.get(watched) === state || state === "dialling" || state === "greeting") return;
    this._told.set(watched, state);
    const retry = watched.change.retryIn;
    const when = retry === null ? "" : `, ${this._t("kit.nextRetry")} ${this._t("kit.inSeconds", { n: retry.toFixed(1) })}`;
    setText(this._live, `${watched.name || this._t("kit.connection")}: ${this._t(`kit.state_${state}`)}${when}`);
  }

  _drawPulse() {
    const { trips } = this._wire;
    const tallest = Math.max(1, ...trips.filter((trip) => typeof trip === "number"));
    this._pulse.hidden = !trips.length;
    this._pulse.setAttribute("aria-label", this._t("kit.pulse", { n: Math.round(tallest) }));
    while (this._pulse.children.length > trips.length) this._pulse.lastChild.remove();
    while (this._pulse.children.length < trips.length) this._pulse.append(el("i"));
    trips.forEach((trip, i) => {
      const bar = this._pulse.children[i];
      bar.className = trip === null ? "none" : trip === undefined ? "open" : "";
      bar.style.height = typeof trip === "number" ? `${Math.max(6, (trip / tallest) * 100)}%` : trip === undefined ? "40%" : "";
    });
  }

  _fact(key, text) {
    let value = this._facts.get(key);
    if (!value) {
      value = el("dd", { "data-fact": key });
      this._facts.set(key, value);
      this._list.append(el("dt", { "data-t": `kit.${key}` }, this._t(`kit.${key}`)), value);
    }
    setText(value, text);
  }

  _pressed(button, on) {
    button.setAttribute("aria-pressed", String(on));
  }

  _build() {
    const { _network: network, _t: t } = this;
    const button = (key, attributes, act) => el("button", { type: "button", "data-t": `kit.${key}`, "data-do": key, ...attributes, onclick: act }, t(`kit.${key}`));
    const toggle = (key, act) => button(key, { "aria-pressed": "false" }, act);
    const ways = (way) => () => network.set({ freeze: network.wish.freeze === way ? "none" : way });
    this._freeze = toggle("freeze", ways("both"));
    this._freezeUp = toggle("freezeUp", ways("up"));
    this._refuse = toggle("refuse", () => network.set({ dials: network.wish.dials === "refuse" ? "accept" : "refuse" }));
    this._shaky = toggle("shaky", () => network.set({ cut_every: network.wish.cut_every === null ? 5 : null }));
    const cut = button("cut", { class: "danger" }, async () => {
      try {
        setText(this._live, t("kit.linkCut", { n: await network.cut() }));
      } catch {
        setText(this._live, t("kit.controlLost"));
      }
    });
    this._normal = button("normal", {}, () => network.reset());
    this._delay = el(
      "select",
      { "data-do": "delay", onchange: () => network.set({ latency: Number(this._delay.value) }) },
      [0, 0.2, 1, 3].map((n) => el("option", { value: String(n), "data-delay": String(n) })),
    );
    this._tag = el("span", { class: "tag" });
    this._lines = el("ul", { class: "lines" });
    this._live = el("p", { class: "hidden-text", role: "status", "aria-live": "polite" });
    this._lost = el("p", { class: "tag bad", "data-t": "kit.controlLost", hidden: true });
    this._list = el("dl", { class: "facts" });
    this._pulse = el("div", { class: "pulse", role: "img", hidden: true });
    this._wireList = el("ul", { class: "wire empty", tabindex: "0", "data-t-label": "kit.wire", "data-t-empty": "kit.wireEmpty" });
    const wide = matchMedia("(min-width: 64rem)");
    const details = el(
      "details",
      { open: wide.matches },
      el("summary", {}, el("h2", { "data-t": "kit.network" }), this._tag),
      this._lost,
      this._lines,
      el(
        "fieldset",
        {},
        el("legend", { "data-t": "kit.break" }),
        el(
          "div",
          { class: "buttons" },
          cut,
          this._refuse,
          this._freeze,
          this._freezeUp,
          el("label", { class: "wide" }, el("span", { "data-t": "kit.delay" }), this._delay),
          this._shaky,
          this._normal,
        ),
        el("p", { class: "quiet", "data-t": "kit.breakHint" }),
      ),
      el("h3", { "data-t": "kit.numbers" }),
      this._pulse,
      this._list,
      el("details", { class: "wire-box" }, el("summary", { "data-t": "kit.wire" }), this._wireList),
    );
    wide.addEventListener("change", () => (details.open = wide.matches));
    return el("aside", { class: "network panel", "data-t-label": "kit.network" }, details, this._live);
  }

  /** Texts that depend on a value, in the language of now. */
  translate() {
    for (const option of this._delay.options) {
      const n = Number(option.value);
      option.textContent = n ? this._t("kit.delayOf", { n }) : this._t("kit.delayNone");
    }
    this.draw();
  }
}
