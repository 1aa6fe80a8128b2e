/**
 * Rich text as elements. The server has sanitised what it stored; here nothing is trusted all the same: the text is read
 * by a parser that runs and loads nothing, and only elements of this list are made anew, without their attributes.
 */

import { el } from "/kit/kit.js";

const KEPT = new Set("b blockquote br code em h1 h2 h3 i li ol p pre s strong u ul".split(" "));
const BLOCKS = new Set(["div", "section", "article"]);
const GONE = new Set(["script", "style", "template", "iframe", "object", "svg", "math", "noscript", "title"]);
const DEEPEST = 40;

/** The elements and texts of some HTML. */
export function rich(html) {
  return copies(new DOMParser().parseFromString(html, "text/html").body, 0);
}

function copies(parent, depth) {
  return [...parent.childNodes].flatMap((node) => copy(node, depth + 1));
}

function copy(node, depth) {
  if (node.nodeType === Node.TEXT_NODE) return [node.data];
  if (node.nodeType !== Node.ELEMENT_NODE) return [];
  const name = node.localName;
  if (GONE.has(name) || depth > DEEPEST) return [];
  if (name === "a") return [link(node, depth)];
  if (KEPT.has(name)) return [el(/^h\d$/.test(name) ? "p" : name, {}, copies(node, depth))];
  return BLOCKS.has(name) ? [el("p", {}, copies(node, depth))] : copies(node, depth);
}

function link(node, depth) {
  const address = node.getAttribute("href") || "";
  const safe = /^(https?:|mailto:)/i.test(address);
  return el(safe ? "a" : "span", safe ? { href: address, rel: "noopener noreferrer nofollow", target: "_blank" } : {}, copies(node, depth));
}

/** The address of a picture that may be shown; null for any other. */
export function pictureAddress(value) {
  return typeof value === "string" && /^(https?:\/\/|data:image\/(png|jpeg|gif|webp);base64,)/i.test(value) ? value : null;
}
