/** The form language: what is said and what is recognised. `protocol/vectors/dialects/forms.json` has more. */

import { expect, test } from "vitest";

import { match, read, say, uses } from "../../src/dialects/forms.js";
import * as presets from "../../src/dialects/presets.js";

const FORMS: unknown[] = [];
function walk(value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  FORMS.push(value);
  Object.values(value).forEach(walk);
}
walk(Object.values(presets));

const nested = (open: string, close: string, depth: number): string => open.repeat(depth) + close.repeat(depth);
const RUBBISH = [
  ..."|nul|[|{}|[]|null|true|0|\"\"|\"x\"|[null]|{\"a\":1}x|\u0000|\ud800|{\"__proto__\":{\"a\":1}}|{\"constructor\":1}".split("|"),
  nested("[", "]", 100_000),
  nested('{"Operator":"x","a":', "", 5000),
  nested('{"Operator":"xOK","a":', "}", 100_000).replace(":}", ":1}"),
  "x".repeat(1_000_000),
  '{"Operator":1,"ModeCode":[],"msgType":{},"type":null,"data":{},"arg":7,"event":{}}',
];

test("rubbish never throws", () => {
  for (const known of [{}, { id: 1, event: "x", data: { a: 1 }, channel: "c", args: { b: [] } }]) {
    for (const text of RUBBISH) {
      const heard = read(text);
      for (const form of FORMS) expect(typeof match(form, heard, known)).toBe("object");
    }
  }
});

test("what is rendered is recognised", () => {
  for (const data of [null, true, 0, -1.5, "", "$data", "é\ud83d\ude00", [], [1, [2]], {}, { a: { b: null } }]) {
    for (const form of [
      { op: "$event", d: "$data", n: "$id" },
      ["$id", null, "$event", { x: ["$data"] }],
      { op: "do.${event}!", id: "${id}", d: { $one_of: ["$data"] } },
      { op: "$event", "...": "$more" },
    ]) {
      const variables = { event: "toString", data, id: 7, more: { d: data } };
      const heard = read(say(form, variables)!);
      const found = match(form, heard, {})!;
      expect(found["event"]).toBe("toString");
      if ("data" in found) expect(found["data"]).toEqual(data);
      expect(match(form, heard, variables)).toEqual({});
    }
  }
});

test("fields keep their order", () => {
  const args = { baseId: 6, BusinessName: "n", memberId: 4, phone: "5", BusinessID: 2, cardId: 1 };
  expect(say(presets.card.subscribe!.say, { args })).toBe(
    '{"type":"bindCard","cardId":1,"BusinessID":2,"phone":"5","memberId":4,"BusinessName":"n","baseId":6}',
  );
  expect(say({ z: 1, "...": "$data", a: 2 }, { data: { m: 3, b: 4 } })).toBe('{"z":1,"m":3,"b":4,"a":2}');
});

test("data cannot forge a field", () => {
  const form = { Operator: "$event", "...": "$data" };
  const forged = (data: unknown) => () => say(form, { event: "Post", data });
  expect(forged({ Operator: "userLogin" })).toThrow("'Operator' belongs to the message itself");
  for (const data of [[1], 1, "x", null]) expect(forged(data)).toThrow("must be an object");
  expect(() => say({ $text: "$data" }, { data: {} })).toThrow("must be text");
  const data = JSON.parse('{"__proto__":{"Operator":"x"},"constructor":1}');
  expect(say(form, { event: "Post", data })).toBe('{"Operator":"Post","__proto__":{"Operator":"x"},"constructor":1}');
});

test("variables without a value drop their field", () => {
  expect(say({ a: "$data", b: "$param.x", c: "x-${id}", d: [1, "$data"] }, {})).toBe('{"d":[1,null]}');
  expect(say("$param.stop", { param: {} })).toBeUndefined();
  expect(say({ $text: "$data" }, {})).toBeUndefined();
  expect(say({ $one_of: ["$code", "200"] }, {})).toBe('"200"');
  expect(say("$param.a.b", { param: { a: { b: 0 } } })).toBe("0");
  expect(say("$param.a.b", { param: { a: 1 } })).toBeUndefined();
});

test.each<[unknown, string, Record<string, unknown>, object | null]>([
  [{ a: 1 }, '{"a":1,"b":2}', {}, {}],
  [{ a: 1 }, '{"a":1.0}', {}, {}],
  [{ a: 1 }, '{"a":true}', {}, null],
  [{ a: 1 }, '{"a":"1"}', {}, null],
  [{ a: null }, '{"a":null}', {}, {}],
  [{ a: null }, "{}", {}, null],
  [[1, "$data"], "[1]", {}, null],
  [[1, "$data"], "[1,2,3]", {}, null],
  [{ a: "$truthy" }, '{"a":0}', {}, null],
  [{ a: "$truthy" }, '{"a":""}', {}, null],
  [{ a: "$truthy" }, '{"a":[]}', {}, {}],
  [{ a: "$any" }, '{"a":null}', {}, {}],
  [{ a: "$any" }, "{}", {}, null],
  [{ a: "$data" }, "{}", {}, null],
  [{ a: "$event" }, "{}", {}, null],
  [{ a: "$event" }, '{"a":1}', {}, null],
  [{ a: "$data" }, "{}", { data: 1 }, null],
  [{ a: "$data", b: "$data" }, '{"a":1,"b":1}', {}, { data: 1 }],
  [{ a: "$data", b: "$data" }, '{"a":1,"b":2}', {}, null],
  [{ a: "$args" }, '{"a":{"x":1,"y":2}}', { args: { x: 1 } }, {}],
  [{ a: "$args" }, '{"a":{"y":2}}', { args: { x: 1 } }, null],
  [{ a: "$args" }, '{"a":[1,2]}', { args: [1] }, null],
  [{ a: "$args" }, '{"a":{"0":1}}', { args: [1] }, null],
  [{ a: "${event}OK" }, '{"a":"LoveOK"}', {}, { event: "Love" }],
  [{ a: "${event}OK" }, '{"a":"OK"}', {}, null],
  [{ a: "${event}OK" }, '{"a":"LoveOK"}', { event: "Like" }, null],
  [{ a: "${id}" }, '{"a":"7"}', { id: 7 }, {}],
  [{ a: { $one_of: ["200", 200] } }, '{"a":200}', {}, {}],
  [{ a: { $one_of: ["200", 200] } }, '{"a":"201"}', {}, null],
  [{ o: "$keep.openId" }, '{"o":"id"}', {}, { keep: { openId: "id" } }],
  [{ $text: "ping" }, "ping", {}, {}],
  [{ $text: "ping" }, '"ping"', {}, null],
  [{ $text: "ping" }, "pingx", {}, null],
  [{ $text: "$data" }, "", {}, { data: "" }],
  [{ a: 1, "...": "$more" }, '{"a":1,"b":2,"c":3}', {}, { more: { b: 2, c: 3 } }],
  ["$data", "[1,2]", {}, { data: [1, 2] }],
  [{ constructor: "$data" }, "{}", {}, null],
  [JSON.parse('{"__proto__":1}'), "{}", {}, null],
  [{ a: "$$data" }, '{"a":"$data"}', {}, {}],
  [{ a: "$$data" }, '{"a":"$$data"}', {}, null],
  [{ a: "cost: $5" }, '{"a":"cost: $5"}', {}, {}],
])("%j fits %s", (form, message, known, found) => {
  expect(match(form, read(message), known)).toEqual(found);
});

test("looking at forms", () => {
  const form = { a: ["$id", "x${event}", { $one_of: ["$data.b", "$$no"] }], "...": "$more" };
  expect(["id", "event", "data", "more", "no", "da", "even"].map((name) => uses(form, name))).toEqual([
    ...[true, true, true, true],
    ...[false, false, false],
  ]);
  expect(uses("$data", "data")).toBe(true);
  expect(uses(undefined, "data")).toBe(false);
});
