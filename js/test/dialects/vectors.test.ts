import { describe, expect, test } from "vitest";

import { checkForm, formCases, play, scenarios } from "./vectors.js";

const named = (cases: any[]): [string, any][] => cases.map((one) => [one.name, one]);

describe("forms", () => {
  // whether something is a form at all is checked where dialects are made: by the types, and in Python
  test.each(named(formCases().filter(({ allowed }) => !allowed)))("%s", (_name, given) => checkForm(given));
});

describe("scenarios", () => {
  test.each(named(scenarios()))("%s", (_name, scenario) => play(scenario));

  test("a wrong expectation fails", () => {
    const [scenario] = scenarios();
    scenario.steps[0].expect = [];
    expect(() => play(scenario)).toThrow("step 1");
  });
});
