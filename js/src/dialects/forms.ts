/**
 * Forms: JSON values with variables in them, which spell a message and recognise one (protocol/DIALECTS.md §2).
 *
 * - a message that does not fit is no match, whatever it is, and never an error (test: rubbish never throws);
 * - what was rendered matches its own form, and gives the variables back (test: what is rendered is recognised);
 * - the order of fields is the form's (test: fields keep their order);
 * - data never overwrites a field that the form spells (test: data cannot forge a field).
 */

import type { Json } from "../core/frames.js";

/** Whatever JSON holds; a text that begins with `$` is a variable. */
export type Form = Json;

/** What variables stand for; one that is absent or undefined has no value. */
export type Vars = Readonly<Record<string, Json>>;

/** What variables stand for in a message. */
export type Found = Record<string, any>;

/** One message as it came: its text, and its value where it is JSON. */
export type Heard = [text: string, value: any];

const own = Object.prototype.hasOwnProperty;
const REST = "...";
const WHOLE = /^\$([a-z_]+(?:\.[\w-]+)*)$/;
const INSIDE = /\$\{([a-z_]+(?:\.[\w-]+)*)\}/;
/** Of other variables the field may be absent: rendered without a value they drop it. */
const NEEDED = /^(id|event|channel|any|truthy)\b/;

/** Take a message apart. Rubbish has no value. */
export function read(text: string): Heard {
  try {
    return [text, JSON.parse(text)];
  } catch (_) {
    return [text, undefined];
  }
}

/** One message's text; undefined where the form comes to nothing. Throws TypeError for data that cannot be said so. */
export function say(form: Form, vars: Vars): string | undefined {
  const text = textForm(form);
  const value = render(text || form, vars);
  if (!text) return JSON.stringify(value);
  if (typeof value === "string" || value === undefined) return value;
  throw new TypeError("data must be text");
}

/** What the form's unknown variables stand for in this message; null when it does not fit. */
export function match(form: Form, [text, value]: Heard, known: Vars): Found | null {
  const found = {};
  const whole = textForm(form);
  try {
    return (whole ? fits(whole, text, known, found) : value !== undefined && fits(form, value, known, found)) ? found : null;
  } catch (_) {
    return null; // nested deeper than the stack
  }
}

/** The form of the whole text, where this is one. */
function textForm(form: any): string | undefined {
  return Object(form).$text;
}

/** A text in a form: what stands before its variable, that with its path, what stands behind; whether that is all. */
function parse(form: string): [before: string, path: string, after: string, whole: boolean] {
  const whole = WHOLE.exec(form);
  const found = form.startsWith("$$") ? null : whole || INSIDE.exec(form);
  if (!found) return [form.replace(/^\$\$/, "$"), "", "", false];
  const { index } = found;
  return [form.slice(0, index), found[1]!, form.slice(index + found[0].length), !!whole];
}

function lookup(value: any, path: string): any {
  for (const step of path.split(".")) value = Object(value)[step];
  return value;
}

function render(form: any, vars: Vars): any {
  if (typeof form === "string") {
    const [before, path, after, whole] = parse(form);
    if (!path) return before;
    const value = lookup(vars, path);
    return whole || value === undefined ? value : before + textOf(value) + after;
  }
  if (Array.isArray(form)) return form.map((one) => render(one, vars)); // in JSON what is nothing is null here
  if (!isTree(form)) return form;
  if (form.$one_of) return render(form.$one_of, vars).find((one: Json) => one !== undefined);
  const fields = Object.create(null); // a field may be called __proto__
  const names = Object.keys(form);
  for (const name of names) {
    const value = render(form[name], vars);
    if (name !== REST) {
      fields[name] = value; // in JSON what is nothing is no field
    } else if (value !== undefined) {
      if (!isTree(value) || Array.isArray(value)) throw new TypeError("data must be an object: its fields go into the message");
      for (const field of Object.keys(value)) {
        if (names.includes(field)) throw new TypeError(`data: the field '${field}' belongs to the message itself`);
        fields[field] = value[field];
      }
    }
  }
  return fields;
}

/** Without `known` a form is taken literally. */
function fits(form: any, value: any, known?: Vars, found?: Found): boolean {
  if (known && typeof form === "string") return textFits(form, value, known, found!);
  if (!isTree(form)) return form === value;
  if (known && form.$one_of) return form.$one_of.some((one: Form) => fits(one, value, known, found));
  if (!isTree(value) || Array.isArray(value) !== Array.isArray(form)) return false;
  if (Array.isArray(form) && form.length !== value.length) return false;
  const names = Object.keys(form);
  const named = names.filter((name) => name !== REST);
  if (named[0] && !named.some((name) => own.call(value, name))) return false;
  return names.every((name) => {
    const inner = form[name];
    if (known && name === REST) {
      const rest = JSON.parse(JSON.stringify(value));
      for (const field of names) delete rest[field];
      return fits(inner, rest, known, found);
    }
    if (own.call(value, name)) return fits(inner, value[name], known, found);
    if (!known || typeof inner !== "string") return false;
    const [, path, , whole] = parse(inner);
    return whole && !NEEDED.test(path) && lookup(known, path) === undefined;
  });
}

function textFits(form: string, value: any, known: Vars, found: Found): boolean {
  const [before, path, after, whole] = parse(form);
  if (!path) return value === before;
  if (path === "any") return true;
  if (path === "truthy") return !!value;
  if (!whole || path === "event") {
    if (typeof value !== "string" || value.length < before.length + after.length + (whole ? 0 : 1)) return false;
    if (!value.startsWith(before) || !value.endsWith(after)) return false;
    value = value.slice(before.length, value.length - after.length);
  }
  let wanted = lookup(known, path);
  if (wanted === undefined) wanted = lookup(found, path);
  if (wanted !== undefined) return whole ? fits(wanted, value) : textOf(wanted) === value;
  const steps = path.split(".");
  const last = steps.pop()!;
  let place = found;
  for (const step of steps) place = place[step] = place[step] || {};
  place[last] = value;
  return true;
}

/** Whether a variable occurs in a form. */
export function uses(form: Form, name: string): boolean {
  return RegExp(`[^$]\\$\\{?${name}\\b`).test(JSON.stringify(form));
}

/** A value as it stands inside a text. */
export function textOf(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function isTree(value: any): boolean {
  return Object(value) === value;
}
