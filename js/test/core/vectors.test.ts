import { describe, expect, test } from "vitest";

import { BadFrame } from "../../src/core/errors.js";
import { bytesOf } from "../../src/core/text.js";
import { codecCases, expand, play, readCase, same, scenarios } from "./vectors.js";

describe("scenarios", () => {
  test.each(scenarios().map((scenario) => [scenario.name, scenario]))("%s", (_name, scenario) => {
    play(scenario);
  });

  test("a wrong expectation fails", () => {
    const [scenario] = structuredClone(scenarios());
    scenario.steps[0].expect = [];
    expect(() => play(scenario)).toThrow("step 1");
  });

  test("draws are counted", () => {
    const [scenario] = structuredClone(scenarios());
    scenario.random = [...(scenario.random ?? []), 0.5];
    expect(() => play(scenario)).toThrow("never drawn");
  });
});

describe("codec", () => {
  test.each(codecCases().map((given) => [given.name, given]))("%s", (_name, given) => {
    let frame: unknown;
    try {
      frame = readCase(given);
    } catch (error) {
      expect(error).toBeInstanceOf(BadFrame);
      expect(bytesOf((error as Error).message)).toBeLessThanOrEqual(120);
      expect(given.refused).toBe(true);
      return;
    }
    expect(given.refused).toBeUndefined();
    expect(same(frame, expand(given.frame)), JSON.stringify(frame)).toBe(true);
  });
});
