import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import * as presets from "heartline/dialects";
import { checkDialect } from "heartline/testing";
import { checkFormCase, formCases, play, scenarios, specCases } from "./vectors.js";

const named = (cases: any[]): [string, any][] => cases.map((one) => [one.name, one]);

describe("forms", () => {
  test.each(named(formCases()))("%s", (_name, given) => checkFormCase(given));
});

describe("specs", () => {
  test.each(named(specCases()))("%s", (_name, { dialect, refused }) => {
    if (refused) expect(() => checkDialect(dialect)).toThrow(TypeError);
    else expect(checkDialect(dialect)).toBe(dialect);
  });

  test.each(Object.entries(presets))("the preset %s", (name, preset) => {
    expect(checkDialect(preset).name).toBe(name);
    const file = new URL(`../../../protocol/dialects/${name}.json`, import.meta.url);
    expect(preset).toEqual(JSON.parse(readFileSync(file, "utf8")));
  });
});

describe("scenarios", () => {
  test.each(named(scenarios()))("%s", (_name, scenario) => play(scenario));

  test("a wrong expectation fails", () => {
    const [scenario] = scenarios();
    scenario.steps[0].expect = [];
    expect(() => play(scenario)).toThrow("step 1");
  });
});
