/** The posts on the page: one article each, kept as they are while the person types a comment below one. */

import { currentLanguage, el } from "/kit/kit.js";
import { pictureAddress, rich } from "./rich.js";

const LOCALES = { en: "en", zh: "zh-CN" };

export class Feed {
  /** `act` has `like(id)`, `comment(id, text)` and `comments(id)`, which asks for them. */
  constructor(list, t, act) {
    this._list = list;
    this._t = t;
    this._act = act;
    this._posts = new Map(); // id → Post
  }

  /** How many are there. */
  get size() {
    return this._posts.size;
  }

  /** How many of them were made by then. */
  until(time) {
    return [...this._posts.values()].filter(({ row }) => row.time <= time).length;
  }

  /** Ids of the posts whose comments are shown. */
  get opened() {
    return [...this._posts].filter(([, post]) => post.opened).map(([id]) => id);
  }

  /** Show a post, or what is new about it. */
  put(row) {
    const known = this._posts.get(row.id);
    if (known) return known.change(row);
    const post = new Post(row, this._t, this._act);
    this._posts.set(row.id, post);
    const later = [...this._posts.values()].filter((one) => one !== post && isBefore(row, one.row));
    const next = later.length ? later.reduce((one, other) => (isBefore(one.row, other.row) ? one : other)).element : null;
    this._list.insertBefore(post.element, next ? next.nextSibling : this._first());
  }

  /** Something about a post that may be here. */
  change(id, changes) {
    const post = this._posts.get(id);
    if (post) post.change(changes(post.row));
  }

  /** A post that is not stored yet, above all others. Returns what removes it. */
  wait(draft) {
    const element = el("article", { class: "panel post waiting" }, el("p", { class: "tag busy" }, this._t("waiting")), content(draft, this._t));
    this._list.prepend(element);
    return {
      stored: () => element.remove(),
      lost: (why) => {
        element.firstChild.className = "tag bad";
        element.firstChild.textContent = this._t("lost", { why });
      },
    };
  }

  has(id) {
    return this._posts.has(id);
  }

  /** Everything but what waits to be stored goes. */
  drop() {
    for (const { element } of this._posts.values()) element.remove();
    this._posts.clear();
  }

  clear() {
    this.drop();
    this._list.replaceChildren();
  }

  /** The language changed. */
  translate() {
    for (const post of this._posts.values()) post.draw();
  }

  _first() {
    return [...this._list.children].find((element) => !element.classList.contains("waiting")) || null;
  }
}

class Post {
  constructor(row, t, act) {
    this.row = row;
    this._t = t;
    this.opened = false;
    const id = `comments-${row.id}`;
    this._about = el("p", { class: "about" });
    this._body = el("div");
    this._like = el("button", { type: "button", class: "like", onclick: () => act.like(row.id) });
    this._open = el("button", { type: "button", "aria-controls": id, onclick: () => this._toggle(act) });
    this._comments = el("ol", { class: "comments" });
    this._input = el("input", { maxlength: "2000", autocomplete: "off" });
    this._label = el("span", { class: "hidden-text" });
    this._send = el("button", { type: "submit" });
    const say = (event) => {
      event.preventDefault();
      const text = this._input.value.trim();
      if (!text) return;
      this._input.value = "";
      act.comment(row.id, text);
    };
    const form = el("form", { class: "row", onsubmit: say }, el("label", { class: "grow" }, this._label, this._input), this._send);
    this._below = el("div", { id, hidden: true }, this._comments, form);
    const buttons = el("p", { class: "row" }, this._like, this._open);
    this.element = el("article", { class: "panel post", "data-post": row.id }, this._about, this._body, buttons, this._below);
    this.draw();
  }

  change(changes) {
    this.row = { ...this.row, ...changes };
    this.draw();
  }

  draw() {
    const { row, _t: t } = this;
    this._about.replaceChildren(el("strong", {}, nameOf(row, t)), " ", el("time", { class: "quiet", datetime: new Date(row.time).toISOString() }, timeOf(row.time)));
    this._body.replaceChildren(...content(row, t));
    this._like.setAttribute("aria-pressed", String(!!row.loved));
    this._like.setAttribute("aria-label", `${t("like")}, ${t("likes", { n: row.love })}`);
    this._like.textContent = `${row.loved ? "♥" : "♡"} ${row.love}`;
    this._open.textContent = t("comments", { n: row.commentCount });
    this._open.setAttribute("aria-expanded", String(this.opened));
    this._label.textContent = t("comment");
    this._input.placeholder = t("comment");
    this._send.textContent = t("say");
    this._below.hidden = !this.opened;
    this._comments.replaceChildren(
      ...(row.comments || []).map((one) => el("li", { class: one.id ? "" : "quiet" }, el("strong", {}, nameOf(one, t)), " ", one.text, one.id ? "" : ` (${t("waiting")})`)),
    );
  }

  _toggle(act) {
    this.opened = !this.opened;
    this.draw();
    if (this.opened) act.comments(this.row.id);
  }
}

function content({ isRichText, Table, Image, Text }, t) {
  const pictures = (Array.isArray(Image) ? Image : [Image]).filter(Boolean).map((one) => picture(one, t));
  const text = !Text ? null : isRichText ? el("div", { class: "text rich" }, rich(Text)) : el("p", { class: "text" }, Text);
  return [Table ? el("h3", {}, Table) : null, text, ...pictures].filter(Boolean);
}

function picture(value, t) {
  const address = pictureAddress(value);
  if (!address) return null;
  if (address.startsWith("data:")) return el("img", { src: address, alt: t("pictureOf"), loading: "lazy" });
  // Pages of the gallery load nothing from other hosts.
  return el("a", { href: address, rel: "noopener noreferrer nofollow", target: "_blank" }, t("elsewhere", { address }));
}

function nameOf({ userInfo }, t) {
  return (userInfo && userInfo.nickName) || t("somebody");
}

function timeOf(ms) {
  return new Date(ms).toLocaleString(LOCALES[currentLanguage()], { dateStyle: "medium", timeStyle: "short" });
}

/** Whether `one` was made before `other`. */
function isBefore(one, other) {
  return one.time < other.time || (one.time === other.time && one.id < other.id);
}
