/**
 * The names of properties that a minifier must leave alone, out of the declarations that `tsc` wrote.
 *
 * Those are the members of everything that `index.d.ts` exports, and of what these members are made of, and of a few roots
 * besides; the kinds of frames, too, by which tables are read. Private members are none, nor are parameters and what comments say.
 */

import { readdirSync, readFileSync } from "node:fs";

const COMMENT = /\/\*[^]*?\*\/|\/\/.*/g;
const DECLARATION = /^(?:export )?(?:declare )?(?:abstract )?(?:interface|class|type|function|const) (\w+)/gm;

/** Names for declarations in `folder`: everything reachable from its index and from `roots`. */
export function publicNames(folder, roots) {
  const files = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".d.ts") && !name.startsWith("testing"));
  const declared = new Map();
  for (const name of files) {
    const text = readFileSync(`${folder}/${name}`, "utf8").replace(COMMENT, "").replace(/^ +(private .*|constructor\([^]*?\);)$/gm, "");
    const starts = [...text.matchAll(DECLARATION)];
    starts.forEach(({ index, 1: declaration }, i) => {
      const end = i + 1 < starts.length ? starts[i + 1].index : text.length;
      declared.set(declaration, (declared.get(declaration) ?? "") + text.slice(index, end));
    });
  }
  const names = new Set();
  const seen = new Set();
  const follow = (word) => {
    if (seen.has(word) || !declared.has(word)) return;
    seen.add(word);
    const text = declared.get(word);
    for (const name of members(text)) names.add(name);
    for (const [, kind] of text.matchAll(/\["(\w+)"/g)) names.add(kind);
    for (const [other] of text.matchAll(/\w+/g)) follow(other);
  };
  const index = readFileSync(`${folder}/index.d.ts`, "utf8").replace(COMMENT, "");
  for (const [word] of index.matchAll(/\w+/g)) follow(word);
  for (const [, name] of index.matchAll(/export \* from "\.\/(.*)\.js"/g)) {
    const text = readFileSync(`${folder}/${name}.d.ts`, "utf8").replace(COMMENT, "");
    for (const [, word] of text.matchAll(DECLARATION)) follow(word);
  }
  roots.forEach(follow);
  return [...names];
}

/** What is named directly within braces: members, and not the parameters of methods. */
function members(text) {
  const open = [];
  const found = [];
  for (const { 0: token, index } of text.matchAll(/[{}()[\]]|[A-Za-z_]\w*/g)) {
    if ("{([".includes(token)) open.push(token);
    else if ("})]".includes(token)) open.pop();
    else if (open[open.length - 1] === "{" && /([{;]|\b(readonly|get|set))\s*$/.test(text.slice(0, index))) found.push(token);
  }
  return found.filter((name) => !["readonly", "get", "set"].includes(name));
}
