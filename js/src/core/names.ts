/**
 * Names of channels and events (PROTOCOL 1.4).
 *
 * - names that begin with `@` never reach an application under its own name (test: names with @ belong to the protocol).
 */

const NAME = /^(?!@)[^\0-\x1f\x7f\ud800-\udfff]{1,255}$/u;

/** Return `name` if an application may use it; throw TypeError naming `argument`. */
export function checkName(name: unknown, argument: string): string {
  if (typeof name === "string" && NAME.test(name)) return name;
  throw new TypeError(`${argument} must be a name`);
}

/** Return `name` if a client may follow it: an application's channel, or one of the protocol's but the inbox. */
export function checkChannel(name: string): string {
  checkName(name.replace(/^@(?=.)/, ""), "channel");
  return name;
}
