/** The row filter of the trades example, as the page and the uni-app project use it. */

import { describe, expect, test } from "vitest";

import { arrange, signalsOf, split } from "../../../examples/trades/page/rows.js";

const own1 = { orderid: 1, flwsig: false, sigtraderid: 0 };
const of7 = { orderid: 2, flwsig: true, sigtraderid: 7 };
const own2 = { orderid: 3, flwsig: false };
const of9 = { orderid: 4, flwsig: true, sigtraderid: 9 };
const of7too = { orderid: 5, flwsig: true, sigtraderid: 7 };
const ROWS = [own1, of7, own2, of9, of7too];

describe("normal mode", () => {
  test("followed first, then own; rows keep their order", () => {
    expect(arrange(ROWS)).toEqual([of7, of9, of7too, own1, own2]);
  });

  test("with a signal id only the followed rows of that signal", () => {
    expect(arrange(ROWS, 7)).toEqual([of7, of7too]);
    expect(arrange(ROWS, 9)).toEqual([of9]);
    expect(arrange(ROWS, 8)).toEqual([]);
  });

  test("no signal id, id 0", () => {
    for (const none of [undefined, null, 0, "", "0", " ", -1, NaN, Infinity, "abc", {}, false]) {
      expect(arrange(ROWS, none)).toEqual([of7, of9, of7too, own1, own2]);
    }
  });
});

describe("split mode", () => {
  test("arr1: followed, arr2: own", () => {
    expect(split(ROWS)).toEqual({ arr1: [of7, of9, of7too], arr2: [own1, own2] });
  });

  test("of that id if it is above 0; own rows stay", () => {
    expect(split(ROWS, 7)).toEqual({ arr1: [of7, of7too], arr2: [own1, own2] });
    expect(split(ROWS, 8)).toEqual({ arr1: [], arr2: [own1, own2] });
    for (const none of [undefined, 0, "0", -7]) expect(split(ROWS, none).arr1).toEqual([of7, of9, of7too]);
  });
});

describe("what servers push", () => {
  test("ids as text and as numbers are the same", () => {
    const text = { flwsig: true, sigtraderid: "7" };
    expect(arrange([text, of9], "7")).toEqual([text]);
    expect(arrange([text, of7], 7)).toEqual([text, of7]);
  });

  test("flwsig alone decides: a followed row without a signal is followed, a row without flwsig is own", () => {
    const bare = { orderid: 6 };
    const nobody = { orderid: 7, flwsig: true };
    const own = { orderid: 8, flwsig: false, sigtraderid: 7 };
    expect(split([bare, nobody, own])).toEqual({ arr1: [nobody], arr2: [bare, own] });
    expect(split([bare, nobody, own], 7)).toEqual({ arr1: [], arr2: [bare, own] });
    for (const odd of [1, "true", null, {}]) expect(split([{ flwsig: odd }]).arr1).toEqual([]);
  });

  test("rubbish in a push is left out, and throws nothing", () => {
    expect(arrange([null, 1, "x", [], of7, undefined, true], 7)).toEqual([of7]);
    for (const rubbish of [null, undefined, 1, "rows", true, { length: 2 }]) {
      expect(arrange(rubbish, 7)).toEqual([]);
      expect(split(rubbish)).toEqual({ arr1: [], arr2: [] });
    }
    const forged = JSON.parse('{"__proto__": {"flwsig": true}, "orderid": 9}') as object;
    expect(split([forged]).arr1).toEqual([]);
  });

  test("the push itself is not changed", () => {
    const before = JSON.stringify(ROWS);
    arrange(ROWS, 7);
    split(ROWS).arr1.pop();
    expect(JSON.stringify(ROWS)).toBe(before);
  });

  test("the signals there are to choose from", () => {
    expect(signalsOf([of9, ...ROWS, { flwsig: true, sigtraderid: "8" }, { flwsig: true }])).toEqual([7, 8, 9]);
    expect(signalsOf(null)).toEqual([]);
  });
});
