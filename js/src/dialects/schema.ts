/**
 * Small checks out of which the shape of a message is put together.
 *
 * - what is wrong is named by its place, never by its value (test: reasons repeat nothing).
 */

import { BadFrame } from "../core/errors.js";

/** Returns what is to be kept of `value`, or throws. `undefined` stands for what is absent. */
export type Check = (value: any) => unknown;

/** Whether an object has this key of its own. */
export function isOwn<K extends string>(value: unknown, key: K): value is Record<K, unknown> {
  return Object.prototype.hasOwnProperty.call(value, key);
}

/** A value for which this is true. */
export function where(fits: (value: any) => boolean): Check {
  return (value) => {
    if (fits(value)) return value;
    throw new TypeError(); // `readFrame` says where
  };
}

/** Any JSON value. */
export const json = where((value) => value !== undefined);

/** A number within bounds. */
export function number(least: number, most: number): Check {
  return where((value) => typeof value === "number" && value >= least && value <= most);
}

/** A number without fraction. */
export function integer(least: number, most = 2 ** 53 - 1): Check {
  return where((value) => Number.isInteger(value) && value >= least && value <= most);
}

/** A string of so many characters, none of which is half of a surrogate pair. */
export function string(most: number | "", least = 0): Check {
  const shape = new RegExp(`^[^\\ud800-\\udfff]{${least},${most}}$`, "u");
  return where((value) => typeof value === "string" && shape.test(value));
}

/** A default for what is absent. */
export function or(absent: unknown, check: Check): Check {
  return (value) => (value === undefined ? absent : check(value));
}

/** Null for what is absent or null. */
export function orNull(check: Check): Check {
  return or(null, (value) => (value === null ? value : check(value)));
}

/** An array that begins with these; further elements are left out. */
export function array(checks: readonly Check[]): Check {
  return (value) => {
    list(value);
    return checks.map((check, i) => check(value[i]));
  };
}

/** Any array. */
export const list = where(Array.isArray);

/** An object with these keys; others are left out. */
export function body(checks: Readonly<Record<string, Check>>): Check {
  const object = where((value) => Object(value) === value && !Array.isArray(value));
  return (value) => {
    object(value);
    const kept: Record<string, unknown> = {};
    for (const key of Object.keys(checks)) kept[key] = checks[key]!(value[key]);
    return kept;
  };
}

/** Read one message by a table of kinds. Throws BadFrame. */
export function readFrame(kinds: Readonly<Record<string, readonly Check[]>>, text: string): unknown[] {
  let at = "message";
  try {
    const frame = JSON.parse(text);
    const kind = list(frame) && frame[0];
    const checks = Object.keys(kinds).includes(kind) && kinds[kind]!;
    const checked = (checks as Check[]).map((check, i) => {
      at = `${kind}[${i + 1}]`;
      return check(frame[i + 1]);
    });
    return [kind, ...checked];
  } catch (_) {
    throw new BadFrame(`${at}: unknown, or wrong`);
  }
}
