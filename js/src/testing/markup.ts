/**
 * WXML, as far as tests of pages need it: elements, text, `wx:if` and its others, `wx:for`, `{{expressions}}`.
 *
 * - what it cannot read throws, naming it, and is never shown wrongly (test: markup that is not understood throws).
 */

/** An element as it is written. */
export interface Tag {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: (Tag | string)[];
}

/** An element as it is shown: attributes have their values. */
export interface Shown {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, unknown>;
  readonly children: readonly (Shown | string)[];
  readonly parent: Shown | null;
}

type Scope = Readonly<Record<string, unknown>>;

const TOKEN = /<!--[^]*?-->|<\/([\w-]+)\s*>|<([\w-]+)((?:\s+[\w:.-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'))?)*)\s*(\/?)>|([^<]+)/gy;
const ATTRIBUTE = /([\w:.-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'))?/g;
const NOT_UNDERSTOOD = ["template", "import", "include", "wxs", "slot"];

/** Read a file of markup. Throws SyntaxError. */
export function parse(source: string): Tag[] {
  const root: Tag = { name: "", attributes: new Map(), children: [] };
  const open = [root];
  let at = 0;
  TOKEN.lastIndex = 0;
  for (let token; at < source.length && (token = TOKEN.exec(source)); at = TOKEN.lastIndex) {
    const [, closing, opening, attributes = "", empty, text] = token;
    const inner = open[open.length - 1]!;
    if (text !== undefined) inner.children.push(text);
    if (closing && (open.length < 2 || open.pop()!.name !== closing)) break;
    if (!opening) continue;
    if (NOT_UNDERSTOOD.includes(opening)) throw new SyntaxError(`markup: <${opening}> is not understood here`);
    const all = [...attributes.matchAll(ATTRIBUTE)].map(([, name = "", one, two]) => [name, one ?? two ?? "true"] as const);
    const tag = { name: opening, attributes: new Map(all), children: [] };
    inner.children.push(tag);
    if (!empty) open.push(tag);
  }
  if (at < source.length || open.length > 1) throw new SyntaxError(`markup: not understood at ${source.slice(at, at + 40)}`);
  return root.children.filter((child): child is Tag => typeof child !== "string");
}

/** What is shown of some elements, for these data. */
export function show(tags: readonly (Tag | string)[], data: Scope, parent: Shown | null = null): (Shown | string)[] {
  const shown: (Shown | string)[] = [];
  let chosen = false; // whether a branch of the present wx:if was taken
  for (const tag of tags) {
    if (typeof tag === "string") {
      shown.push(String(value(tag, data)));
      continue;
    }
    const { attributes } = tag;
    if (attributes.has("wx:for")) {
      shown.push(...repeat(tag, data, parent));
    } else if (attributes.has("wx:if")) {
      chosen = !!value(attributes.get("wx:if")!, data);
      if (chosen) shown.push(...element(tag, data, parent));
    } else if (attributes.has("wx:elif") || attributes.has("wx:else")) {
      const met: boolean = !chosen && (attributes.has("wx:else") || !!value(attributes.get("wx:elif")!, data));
      chosen ||= met;
      if (met) shown.push(...element(tag, data, parent));
    } else {
      shown.push(...element(tag, data, parent));
    }
  }
  return shown;
}

function repeat(tag: Tag, data: Scope, parent: Shown | null): (Shown | string)[] {
  const attributes = new Map(tag.attributes);
  const items = value(attributes.get("wx:for")!, data);
  const { item, index } = { item: attributes.get("wx:for-item") ?? "item", index: attributes.get("wx:for-index") ?? "index" };
  attributes.delete("wx:for");
  const one = { ...tag, attributes };
  const list = typeof items === "number" ? Array.from({ length: items }, (_, i) => i) : (items as unknown[] | null) ?? [];
  return Object.entries(list).flatMap(([key, each]) =>
    show([one], { ...data, [item]: each, [index]: Array.isArray(list) ? Number(key) : key }, parent),
  );
}

function element(tag: Tag, data: Scope, parent: Shown | null): (Shown | string)[] {
  if (tag.name === "block") return show(tag.children, data, parent);
  const attributes = new Map([...tag.attributes].map(([name, text]) => [name, value(text, data)]));
  const hidden = attributes.get("hidden");
  if (hidden && hidden !== "false") return [];
  const made = { name: tag.name, attributes, children: [] as (Shown | string)[], parent };
  made.children.push(...show(tag.children, data, made));
  return [made];
}

/** A text with `{{expressions}}`; one alone keeps its type. */
function value(text: string, data: Scope): unknown {
  const alone = /^\{\{((?:(?!\}\})[^])*)\}\}$/.exec(text);
  if (alone) return evaluate(alone[1]!, data);
  return text.replace(/\{\{((?:(?!\}\})[^])*)\}\}/g, (_, expression: string) => String(evaluate(expression, data) ?? ""));
}

const compiled = new Map<string, (names: object) => unknown>();

/** Names that the data do not have are undefined, as on a device. */
function evaluate(expression: string, data: Scope): unknown {
  let run = compiled.get(expression);
  if (!run) {
    run = new Function("names", `with (names) { return (${expression}); }`) as (names: object) => unknown;
    compiled.set(expression, run);
  }
  return run(new Proxy({ ...data }, { has: () => true, get: (all, name) => all[name as string] }));
}
