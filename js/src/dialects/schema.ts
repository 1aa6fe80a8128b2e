/**
 * Small checks out of which the shape of a message is put together.
 *
 * - what is wrong is named by its place, never by its value (test: reasons repeat nothing).
 */

import { BadFrame } from "../core/errors.js";
import { charsOf, isWellFormed } from "../core/text.js";

/** Returns what is to be kept of `value`; throws BadFrame naming `at`. `undefined` stands for what is absent. */
export type Check = (value: unknown, at: string) => unknown;

function wrong(at: string): never {
  throw new BadFrame(`${at}: missing or wrong`);
}

/** Whether an object has this key of its own. */
export function isOwn<K extends string>(value: unknown, key: K): value is Record<K, unknown> {
  return Object.prototype.hasOwnProperty.call(value, key);
}

/** Any JSON value. */
export const json: Check = (value, at) => (value === undefined ? wrong(at) : value);

/** A number within bounds. */
export function number(least: number, most: number): Check {
  return (value, at) => (typeof value === "number" && value >= least && value <= most ? value : wrong(at));
}

/** A number without fraction. */
export function integer(least: number, most: number): Check {
  const bounded = number(least, most);
  return (value, at) => (Number.isInteger(bounded(value, at)) ? value : wrong(at));
}

/** A string of so many characters. */
export function string(most: number, least = 0): Check {
  return (value, at) => {
    if (typeof value !== "string" || value.length < least || !isWellFormed(value)) return wrong(at);
    return value.length > most && charsOf(value) > most ? wrong(at) : value;
  };
}

/** A default for what is absent. */
export function or(absent: unknown, check: Check): Check {
  return (value, at) => (value === undefined ? absent : check(value, at));
}

/** Null for what is absent or null. */
export function orNull(check: Check): Check {
  return (value, at) => (value === undefined || value === null ? null : check(value, at));
}

/** An array that begins with these; further elements are left out. */
export function array(checks: readonly Check[]): Check {
  return (value, at) => (Array.isArray(value) ? checks.map((check, i) => check(value[i], at)) : wrong(at));
}

/** An object with these keys; others are left out. */
export function body(checks: Readonly<Record<string, Check>>): Check {
  return (value, at) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return wrong(at);
    const kept: Record<string, unknown> = {};
    for (const key of Object.keys(checks)) {
      kept[key] = checks[key]!(isOwn(value, key) ? value[key] : undefined, `${at}.${key}`);
    }
    return kept;
  };
}

/** Read one message by a table of kinds. Throws BadFrame. */
export function readFrame(kinds: Readonly<Record<string, readonly Check[]>>, text: string): unknown[] {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    throw new BadFrame("not JSON");
  }
  if (!Array.isArray(frame)) throw new BadFrame("not a JSON array");
  const kind: unknown = frame[0];
  if (typeof kind !== "string" || !isOwn(kinds, kind)) throw new BadFrame("no kind that is known in this direction");
  return [kind, ...kinds[kind]!.map((check, i) => check(frame[i + 1], `${kind}[${i + 1}]`))];
}
