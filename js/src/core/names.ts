/**
 * Names of channels and events (PROTOCOL 1.4).
 *
 * - names that begin with `@` never reach an application under its own name (test: names with @ belong to the protocol).
 */

import { charsOf, isWellFormed } from "./text.js";

/** Return `name` if an application may use it; throw TypeError or RangeError naming `argument`. */
export function checkName(name: unknown, argument: string): string {
  if (typeof name !== "string") throw new TypeError(`${argument} must be a string, not ${typeof name}`);
  if (!name || name[0] === "@" || charsOf(name) > 255 || /[\0-\x1f\x7f]/.test(name) || !isWellFormed(name)) {
    throw new RangeError(
      `${argument} must have 1 to 255 characters, no control characters and not begin with '@'`,
    );
  }
  return name;
}

/** Return `name` if a client may follow it: an application's channel, or one of the protocol's but the inbox. */
export function checkChannel(name: unknown, argument: string): string {
  if (typeof name === "string" && name.length > 1 && name[0] === "@") {
    checkName(name.slice(1), argument);
    return name;
  }
  return checkName(name, argument);
}
