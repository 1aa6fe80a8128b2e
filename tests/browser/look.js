/** What the tests ask of a page that is shown: each function returns a list of complaints. */

const shown = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && element.getClientRects().length > 0;
const told = (element) => `${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ""} "${(element.textContent || element.getAttribute("aria-label") || "").trim().slice(0, 40)}"`;

/** Structure: one h1, headings without jumps, ids once, nothing inline. */
export function structure() {
  const complaints = [];
  const levels = [...document.querySelectorAll("h1, h2, h3, h4")].map(({ tagName }) => Number(tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1) complaints.push(`h1: ${levels.filter((level) => level === 1).length}`);
  levels.reduce((before, level) => (level > before + 1 && complaints.push(`h${level} after h${before}`), level), 0);
  const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
  for (const id of ids.filter((id, i) => ids.indexOf(id) !== i)) complaints.push(`id ${id} is there twice`);
  for (const element of document.querySelectorAll("[style], style, script:not([src])")) complaints.push(`inline: ${told(element)}`);
  for (const element of document.querySelectorAll("[tabindex]")) if (element.tabIndex > 0) complaints.push(`tabindex: ${told(element)}`);
  if (!document.title.trim()) complaints.push("no title");
  if (document.querySelectorAll("main").length !== 1) complaints.push("not one main");
  return complaints;
}

/** Nothing is wider than the window; what scrolls sideways does so in a box of its own. */
export function width() {
  const { scrollWidth, clientWidth } = document.scrollingElement;
  if (scrollWidth <= clientWidth) return [];
  const wide = [...document.querySelectorAll("body *")].filter((element) => shown(element) && element.getBoundingClientRect().right > clientWidth + 0.5);
  return [`${scrollWidth} of ${clientWidth}`, ...wide.slice(0, 8).map(told)];
}

/** Controls are large enough for a finger (WCAG 2.2, 2.5.8: 24 pixels), unless they stand in a line of text. */
export function targets() {
  return [...document.querySelectorAll("a, button, input, select, summary, textarea")].filter(shown).flatMap((element) => {
    const { width, height } = element.getBoundingClientRect();
    const inText = element.tagName === "A" && getComputedStyle(element).display === "inline";
    return inText || element.matches(".skip") || (width >= 24 && height >= 24) ? [] : [`${told(element)} ${width}×${height}`];
  });
}

/** Text can be read (WCAG 1.4.3): 4.5 to 1, large text 3 to 1. What is disabled need not. */
export function contrast() {
  const complaints = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.data.trim() || !shown(element) || element.closest(":disabled, .hidden-text, .skip, svg, option")) continue;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const enough = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const ground = background(element);
    const ratio = ratioOf(over(colour(style.color), ground), ground);
    if (ratio < enough) complaints.add(`${ratio.toFixed(2)}: ${told(element)}`);
  }
  return [...complaints];
}

const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

function colour(text) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = text;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}

function over([r, g, b, a], [R, G, B]) {
  return [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
}

function background(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(colour(getComputedStyle(at).backgroundColor));
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
}

function ratioOf(one, other) {
  const light = ([r, g, b]) => {
    const [R, G, B] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * R + 0.7152 * G + 0.0722 * B;
  };
  const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}

/** Texts that are the same in both languages although they hold letters; `before` is what `texts` gave. */
export function texts() {
  return [...document.querySelectorAll("[data-t]")].map((element) => [element.dataset.t, element.textContent]);
}

/** What the keyboard reaches should be this, in this order. */
export function focusable() {
  const all = document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']");
  return [...all].filter((element) => !element.disabled && shown(element)).map(told);
}

/** What has the focus, and whether that can be seen. */
export function focus() {
  const element = document.activeElement;
  const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
  return [told(element), (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || boxShadow !== "none"];
}
