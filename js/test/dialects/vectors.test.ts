import { readdirSync, readFileSync } from "node:fs";

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

  const { dialect: made, ...known } = presets;

  test.each(Object.entries(known))("the preset %s", (name, preset) => {
    expect(checkDialect(preset).name).toBe(name);
    const path = new URL(`../../../protocol/dialects/${name}.json`, import.meta.url);
    const { about, ...file } = JSON.parse(readFileSync(path, "utf8"));
    expect(about).toBeTypeOf("string"); // which is not shipped
    expect({ ...preset, speak: undefined }).toEqual(file);
    expect(made(file)).toEqual(preset);
  });

  test("every file is a preset", () => {
    const files = readdirSync(new URL("../../../protocol/dialects/", import.meta.url));
    expect(Object.keys(known).sort()).toEqual(files.map((file) => file.replace(".json", "")).sort());
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
