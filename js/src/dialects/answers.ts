/** What variables stand for, as the machine takes it. What comes from outside is cut to what a frame takes. */

import type { Json } from "../core/frames.js";
import { type Form, type Found, type Heard, textOf, uses } from "./forms.js";

const REASON = 200;
const WORD = 64;
const NAME = 255;

/** Without what is nothing. */
export function present(given: Found): Found {
  const kept: Found = {};
  for (const name of Object.keys(given)) if (given[name] !== undefined && given[name] !== null) kept[name] = given[name];
  return kept;
}

/** What `$name` stands for, null where that is absent; the whole message where the form has none. */
export function dataOf(form: Form, name: string, found: Found, [text, value]: Heard): Json {
  if (found[name] !== undefined) return found[name];
  return uses(form, name) ? null : value === undefined ? text : value;
}

/** Why something was refused. */
export function failureOf(found: Found, otherwise = "refused"): { code: string; message: string; error?: Json } {
  const { code, why, error } = present(found);
  const body = {
    code: (typeof code === "string" && code) || typeof code === "number" ? `${code}`.slice(0, WORD) : otherwise,
    message: why === undefined ? "" : textOf(why).slice(0, REASON),
  };
  return found.error === undefined ? body : Object.assign(body, { error: error === undefined ? null : error });
}

/** The name of an event where it can be one; those with "@" are the connection's own. */
export function nameOf(name: any): string {
  return typeof name === "string" && name.length <= NAME && name[0] !== "@" ? name : "";
}
