/** Elements without HTML strings, and the small things every page says: toasts, modals, a log. */

const LINES = 200;
const TOAST = 5000; // milliseconds

/** An element: `el("li", { class: "row", onclick: go }, "text", other)`. Attributes that are null or false are left out. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const toasts = el("div", { class: "toasts", role: "status", "aria-live": "polite" });
document.body.append(toasts); // before there is one, or screen readers miss the first

/** A note that goes by itself; screen readers say it. */
export function toast(text, kind = "info") {
  const note = el("div", { class: kind }, text);
  toasts.append(note);
  while (toasts.children.length > 3) toasts.firstChild.remove();
  setTimeout(() => note.remove(), TOAST);
}

/** A modal that the person has to close; resolves when that is done. */
export function tell(title, text, close) {
  return new Promise((resolve) => {
    const heading = el("h2", { id: "modal-title" }, title);
    const button = el("button", { class: "primary", type: "submit" }, close);
    const dialog = el(
      "dialog",
      { "aria-labelledby": "modal-title" },
      el("form", { method: "dialog" }, heading, el("p", {}, text), button),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
    button.focus();
  });
}

/** Add a line to a list and keep the last ones; stays at the end unless the person scrolled up. */
export function addLine(list, text, kind = "note", most = LINES) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(el(list.tagName === "UL" || list.tagName === "OL" ? "li" : "div", { class: kind }, text));
  while (list.children.length > most) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** Set an element's text where it changed, so that screen readers are not told the same twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
