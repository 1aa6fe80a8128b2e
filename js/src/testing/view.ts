/**
 * What a person sees of a page, and can tap.
 *
 * - only what is shown and not disabled can be tapped, and a tap calls what the markup binds
 *   (test: a person sees the page and taps).
 */

import type { Instance } from "./pages.js";
import { type Shown, show, type Tag } from "./markup.js";

/** A page's markup with its data, as it is now. */
export class View {
  readonly elements: Shown[];

  constructor(
    private readonly _page: Instance,
    tags: Tag[],
    private readonly _call: (page: Instance, name: string, event: object) => void,
  ) {
    this.elements = show(tags, _page.data).flatMap((shown) => (typeof shown === "string" ? [] : [...all(shown)]));
  }

  /** All text, pieces parted by blanks. */
  get text(): string {
    return this.elements
      .filter((element) => !element.parent)
      .map(textOf)
      .join(" ")
      .replace(/\s+/g, " ")
      .trim();
  }

  /** Elements whose tag or class this is. */
  find(what: string): Shown[] {
    return this.elements.filter(({ name, attributes }) => {
      const names = String(attributes.get("class") ?? "").split(/\s+/);
      return name === what || names.includes(what);
    });
  }

  /** The text of each element with this tag or class. */
  texts(what: string): string[] {
    return this.find(what).map((element) => textOf(element).replace(/\s+/g, " ").trim());
  }

  /** Tap what says this, or is labelled so. */
  tap(label: string): void {
    this.fire(label, "tap");
  }

  /** Have something happen to what says this, or is labelled so: `fire("Name", "input", { value: "Ann" })`. */
  fire(label: string, type: string, detail: object = {}): void {
    const found = this.elements.filter((element) => says(element, label) && this._bound(element, type));
    const target = found[found.length - 1]; // the innermost
    if (!target) throw new Error(`nothing here says ${JSON.stringify(label)} and hears ${type}: ${this.text}`);
    const heard = this._bound(target, type)!;
    if (type === "tap" && on(heard, "disabled")) throw new Error(`${JSON.stringify(label)} is disabled`);
    const dataset = datasetOf(heard);
    const event = { type, detail, timeStamp: Date.now(), target: { id: "", dataset }, currentTarget: { id: "", dataset } };
    this._call(this._page, handler(heard, type)!, event);
  }

  /** The element itself, or one around it, that hears this. */
  private _bound(element: Shown | null, type: string): Shown | null {
    for (; element; element = element.parent) if (handler(element, type)) return element;
    return null;
  }
}

function* all(element: Shown): Generator<Shown> {
  yield element;
  for (const child of element.children) if (typeof child !== "string") yield* all(child);
}

function textOf(element: Shown): string {
  return element.children.map((child) => (typeof child === "string" ? child : ` ${textOf(child)} `)).join("");
}

function says({ attributes, children, ...rest }: Shown, label: string): boolean {
  const own = textOf({ attributes, children, ...rest }).replace(/\s+/g, " ").trim();
  return [own, attributes.get("aria-label"), attributes.get("placeholder")].includes(label);
}

function handler({ attributes }: Shown, type: string): string | undefined {
  const name = ["bind", "bind:", "catch", "catch:"].map((prefix) => attributes.get(prefix + type)).find(Boolean);
  return name as string | undefined;
}

function on({ attributes }: Shown, name: string): boolean {
  const value = attributes.get(name);
  return !!value && value !== "false";
}

function datasetOf({ attributes }: Shown): Record<string, unknown> {
  const entries = [...attributes].filter(([name]) => name.startsWith("data-"));
  return Object.fromEntries(
    entries.map(([name, value]) => [name.slice(5).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()), value]),
  );
}
