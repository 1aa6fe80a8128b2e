/** What every page of the gallery uses; examples/README.md explains it. */

import { browser } from "/heartline.js";
import { addressOf, Network } from "./control.js";
import { addLine, el, tell, toast } from "./dom.js";
import { currentLanguage, onLanguage, switchLanguage, translate, translator } from "./i18n.js";
import { Panel } from "./panel.js";
import { Wire } from "./wire.js";

export { currentLanguage, el, onLanguage, toast };

/** Set up a page. `panel: false`: without a network of its own. */
export function open(system, texts, { panel: wanted = true } = {}) {
  const t = translator(texts);
  const frame = setFrame(t, system, wanted);
  let panel = null;
  let network = null;
  const wire = new Wire(system, (kind, text) => panel && panel.said(kind, text));
  if (wanted) {
    network = new Network(() => panel && panel.draw());
    panel = new Panel(network, wire, t);
    frame.append(panel.element);
  }
  const all = () => {
    translate(document, t);
    if (panel) panel.translate();
  };
  onLanguage(all);
  all();

  return {
    t,
    el,
    toast,
    onLanguage,
    options: { platform: wire.tapped(browser()) },
    network,
    wire,

    url(path) {
      if (!network) return addressOf(path);
      return addressOf(`${path}${path.includes("?") ? "&" : "?"}page=${network.page}`);
    },

    watch(conn, name = "") {
      panel.watch(conn, name);
      return conn;
    },

    track(what) {
      const outcome = typeof what.handled === "function" ? what.handled() : what;
      outcome.then(
        () => panel.counts.handled++,
        () => panel.counts.failed++,
      );
      return what;
    },

    gap: () => panel.gap(),
    tell: (title, text) => tell(title, text, t("kit.close")),

    log(text, kind = "note") {
      addLine(document.querySelector('[data-kit="log"]'), text, kind);
    },
  };
}

function setFrame(t, system, withNetwork) {
  const main = document.querySelector("main");
  main.id = "content";
  main.tabIndex = -1;
  const frame = el("div", { class: withNetwork ? "frame with-network" : "frame" });
  main.replaceWith(frame);
  frame.append(main);
  const home = system === "gallery";
  const bar = el(
    "header",
    { class: "bar" },
    el("a", { href: "/", "aria-current": home ? "page" : null }, mark(), home ? el("span", {}, "heartline") : el("span", { "data-t": "kit.back" })),
    el("button", { type: "button", "data-t": "kit.language", "data-t-title": "kit.languageLabel", "data-do": "language", onclick: switchLanguage }),
  );
  document.body.prepend(el("a", { class: "skip", href: "#content", "data-t": "kit.skip" }), bar);
  for (const log of document.querySelectorAll('[data-kit="log"]')) {
    log.setAttribute("role", "log");
    log.tabIndex = 0;
  }
  return frame;
}

function mark() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", "M2 13h5l2.5-7 4 12 2.5-7 1 2h5");
  line.setAttribute("fill", "none");
  line.setAttribute("stroke", "currentColor");
  line.setAttribute("stroke-width", "2");
  line.setAttribute("stroke-linejoin", "round");
  line.setAttribute("stroke-linecap", "round");
  svg.append(line);
  return svg;
}
