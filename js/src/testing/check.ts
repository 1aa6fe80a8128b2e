/**
 * Whether a value is a dialect (protocol/DIALECTS.md §3), for the tests of who makes one: the client itself believes it.
 *
 * - what can be no dialect throws TypeError naming the field (vectors: spec.json, forms.json).
 */

import type { Dialect } from "../dialects/spec.js";

type Any = any;
/** Throws unless `value` may stand at `where`. */
type Check = (value: Any, where: string) => void;

const ALWAYS = ["id", "now_ms", "param", "keep", "more"];
const HEARD = ["any", "truthy"];
const SENDING = [...ALWAYS, "event", "data", "channel", "sub"];
const FOLLOWING = [...ALWAYS, "channel", "args", "sub"];
const REFUSAL = ["code", "why", "error", "retry", ...HEARD];

const WHOLE = /^\$([a-z_]+)(?:\.[\w-]+)*$/;
const INSIDE = /\$\{([a-z_]+)(?:\.[\w-]+)*\}/g;

function wrong(where: string, expected: string): never {
  throw new TypeError(`${where}: expected ${expected}`);
}

const isObject = (value: unknown): value is Record<string, Any> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Throw unless `form` is a form whose variables are all among those allowed. */
export function checkForm(form: unknown, where: string, allowed: readonly string[]): void {
  checkShape(form, where, true);
  for (const name of variablesOf(form)) {
    if (!allowed.includes(name)) wrong(where, `other variables than $${name}, which has no meaning here`);
  }
}

function checkShape(form: unknown, where: string, top: boolean): void {
  if (typeof form === "string") {
    if ((form.match(INSIDE) ?? []).length > 1) wrong(where, "one ${variable} at most inside a text");
    if (/^\$(?!\$)/.test(form) && !WHOLE.test(form) && form.search(INSIDE) < 0) {
      wrong(where, "a variable; a text that begins with $ is written $$…");
    }
  } else if (Array.isArray(form)) {
    form.forEach((inner, i) => checkShape(inner, `${where}[${i}]`, false));
  } else if (isObject(form)) {
    for (const name of Object.keys(form)) {
      const inner = form[name];
      const special = name === "$text" || name === "$one_of";
      if (special && Object.keys(form).length !== 1) wrong(where, `${name} alone in its object`);
      if (name === "$text" && !(top && typeof inner === "string")) wrong(where, "$text to be the whole message, and text");
      if (name === "$one_of" && !(Array.isArray(inner) && inner.length)) wrong(where, "$one_of with a list of forms");
      checkShape(inner, `${where}.${name}`, false);
    }
  } else if (form !== null && !["boolean", "number"].includes(typeof form)) {
    wrong(where, "JSON");
  }
}

function variablesOf(form: unknown): string[] {
  if (typeof form === "string") {
    if (form.startsWith("$$")) return [];
    const whole = WHOLE.exec(form);
    return whole ? [whole[1]!] : [...form.matchAll(INSIDE)].map(([, name]) => name!);
  }
  return typeof form === "object" && form !== null ? Object.values(form).flatMap(variablesOf) : [];
}

function isLone(form: Any): boolean {
  const text = isObject(form) && "$text" in form ? form["$text"] : form;
  return typeof text === "string" && WHOLE.test(text);
}

const form =
  (...allowed: string[][]): Check =>
  (value, where) =>
    checkForm(value, where, allowed.flat());
const listOf =
  (check: Check): Check =>
  (value, where) =>
    Array.isArray(value) ? value.forEach((one, i) => check(one, `${where}[${i}]`)) : wrong(where, "a list");
const oneOf =
  (...choices: unknown[]): Check =>
  (value, where) =>
    choices.includes(value) || wrong(where, choices.map((choice) => JSON.stringify(choice)).join(" or "));
const text =
  (most: number): Check =>
  (value, where) =>
    (typeof value === "string" && value && [...value].length <= most) || wrong(where, `a text of 1 to ${most} characters`);
const orNull =
  (check: Check): Check =>
  (value, where) =>
    value === null || check(value, where);
const seconds: Check = (value, where) =>
  (typeof value === "number" && value > 0 && value < Infinity) || wrong(where, "seconds above 0");
const flag: Check = (value, where) => typeof value === "boolean" || wrong(where, "true or false");
const attempts: Check = (value, where) => (Number.isInteger(value) && value > 0) || wrong(where, "a number above 0");
const any: Check = (value, where) => typeof value === "string" || wrong(where, "text");
const values: Check = (value, where) => isObject(value) || wrong(where, "an object");
const delivery = oneOf("at_most_once", "at_least_once");

/** An object with these fields and no others; `needed` are those it must have. */
const fields =
  (checks: Record<string, Check>, ...needed: string[]): Check =>
  (value, where) => {
    if (!isObject(value)) wrong(where, "an object");
    for (const name of needed) if (value[name] === undefined) wrong(`${where}.${name}`, "a value");
    for (const name of Object.keys(value)) {
      const check = Object.prototype.hasOwnProperty.call(checks, name) ? checks[name]! : wrong(`${where}.${name}`, "no such field");
      if (value[name] !== undefined) check(value[name], `${where}.${name}`);
    }
  };

const dialect = fields(
  {
    name: text(64),
    about: any,
    subprotocol: orNull(any),
    beat: orNull(
      fields({
        say: form(ALWAYS),
        answer: form(ALWAYS, HEARD),
        by: oneOf("client", "server"),
        interval: seconds,
        timeout: seconds,
        first: flag,
        quiet: flag,
        after_answer: flag,
        probe: flag,
      }),
    ),
    login: orNull(
      fields(
        {
          say: form(ALWAYS, ["login"]),
          ok: form(ALWAYS, HEARD, ["data"]),
          later: listOf(form(REFUSAL, ["id"])),
          refused: listOf(form(REFUSAL, ["id"])),
          banned: listOf(form(REFUSAL, ["id"])),
        },
        "say",
      ),
    ),
    opening: listOf(form(ALWAYS)),
    send: orNull(
      fields({ say: form(SENDING), ok: form(SENDING, HEARD), no: form(SENDING, REFUSAL), delivery, within: seconds }, "say"),
    ),
    request: orNull(
      fields(
        { say: form(SENDING), ok: form(SENDING, HEARD, ["reply"]), no: form(SENDING, REFUSAL), delivery },
        "say",
        "ok",
      ),
    ),
    subscribe: orNull(
      fields(
        {
          say: form(FOLLOWING),
          ok: form(FOLLOWING, HEARD, ["reply"]),
          no: form(FOLLOWING, REFUSAL),
          leave: form(FOLLOWING),
          left: form(FOLLOWING, HEARD),
          items: form(FOLLOWING, HEARD, ["event", "data"]),
          ended: form(FOLLOWING, REFUSAL),
          stale_after: orNull(seconds),
        },
        "say",
      ),
    ),
    events: listOf(fields({ match: form(["event", "data", "channel"], HEARD), name: orNull(text(255)) }, "match")),
    goodbye: form(ALWAYS),
    reconnect: fields({ delay: seconds, cap: seconds, attempts: orNull(attempts), stable: seconds }),
    params: values,
    defaults: values,
    speak: (value, where) => typeof value === "function" || wrong(where, "what `dialect` puts there"),
  },
  "name",
);

/** Return `value` if it is a dialect; throw TypeError naming the field that is wrong. */
export function checkDialect(value: unknown): Dialect {
  dialect(value, "dialect");
  const { beat, request, subscribe, events = [], reconnect } = value as Any;
  const { say, answer, by, after_answer } = beat ?? {};
  if (say === undefined && answer !== undefined) wrong("beat.answer", "beat.say beside it");
  if (say === undefined && by === "server") wrong("beat.say", "what the server says");
  if (isLone(say)) wrong("beat.say", "more than one variable, which every message fits");
  if (isLone(answer)) wrong("beat.answer", "more than one variable, which every message fits");
  if (after_answer && say !== undefined && answer === undefined) wrong("beat.after_answer", "beat.answer beside it");
  if (request && variablesOf(request.ok).includes("id") && !variablesOf(request.say).includes("id")) {
    wrong("request.ok", "no $id, which request.say does not tell the other end");
  }
  if (subscribe?.stale_after != null && subscribe.items === undefined) wrong("subscribe.stale_after", "subscribe.items beside it");
  for (const { match, name } of events) {
    if (name == null && !variablesOf(match).includes("event")) wrong("events.name", "a name, where match has no $event");
  }
  if (reconnect && (reconnect.cap ?? 30) < (reconnect.delay ?? 1)) wrong("reconnect.cap", "no less than reconnect.delay");
  return value as Dialect;
}
