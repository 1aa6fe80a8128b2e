/** Reads and plays `protocol/vectors/dialects`, as protocol/DIALECTS.md §5 describes them. */

import { readFileSync, readdirSync } from "node:fs";

import { match, read, say } from "../../src/dialects/forms.js";
import * as presets from "../../src/dialects/presets.js";
import type { Dialect } from "../../src/dialects/spec.js";
import { type Host, makeTranslator } from "../../src/dialects/translator.js";
import { checkForm } from "../../src/testing/check.js";
import { expand, same } from "../core/vectors.js";

type Any = any;

const FOLDER = new URL("../../../protocol/vectors/dialects/", import.meta.url);

function load(name: string): Any[] {
  return JSON.parse(readFileSync(new URL(name, FOLDER), "utf8"));
}

/** Every case of forms.json. */
export const formCases = (): Any[] => load("forms.json");

/** Every case of spec.json. */
export const specCases = (): Any[] => load("spec.json");

/** Every scenario of client-*.json. */
export function scenarios(): Any[] {
  const files = readdirSync(FOLDER).filter((name) => name.startsWith("client-"));
  return files.sort().flatMap(load);
}

/** Do one case of forms.json; throws where something else comes of it. */
export function checkFormCase({ name, form, variables, message, base64, known = {}, text, refused, found, allowed }: Any): void {
  const must = (held: boolean, otherwise: unknown): void => {
    if (!held) throw new Error(`${name}: ${JSON.stringify(otherwise)}`);
  };
  if (allowed) {
    let wrong = false;
    try {
      checkForm(form, "form", allowed);
    } catch {
      wrong = true;
    }
    must(wrong === refused, wrong);
  } else if (variables) {
    let said: unknown;
    try {
      said = say(form, variables) ?? null;
    } catch (error) {
      must(refused && error instanceof TypeError, String(error));
      return;
    }
    must(!refused && said === text, said);
  } else {
    const bytes = base64 ? Buffer.from(base64, "base64").toString() : message;
    const caught = match(form, read(bytes), known);
    must(same(caught, found), caught);
  }
}

export function dialectOf(written: Any): Dialect {
  const known = presets as Record<string, Dialect>;
  if (typeof written === "string") return known[written]!;
  if (!("like" in written)) return written;
  const { like, ...rest } = written;
  return { ...known[like]!, ...rest };
}

/** Play one scenario; throws at the first step that does not do what is written. */
export function play(scenario: Any): void {
  const { messages = {}, args = {} } = scenario.notes ?? {};
  let at = 0;
  const outputs: Any[] = [];
  const host: Host = {
    write: (text) => outputs.push(["say", text]),
    down: (frame) => outputs.push(["down", JSON.parse(JSON.stringify(frame))]),
    leave: () => outputs.push(["leave"]),
  };
  if (scenario.can_ping ?? true) host.ping = (payload) => outputs.push(["ping", payload]);
  const translator = makeTranslator(
    dialectOf(scenario.dialect),
    scenario.params ?? {},
    scenario.epoch ?? "e",
    (n) => [messages[n]?.again ?? false, messages[n]?.channel ?? ""],
    () => at,
    () => Math.round(at * 1000),
    host,
  );
  translator.restore(scenario.keep ?? {});
  for (const channel of Object.keys(args)) translator.follow(channel, args[channel]);
  let proven = false; // the shell's own
  for (const [i, step] of expand(scenario.steps).entries()) {
    const { frame, payload, text, json, n } = step;
    let ignored = false;
    at = step.at;
    switch (step.do) {
      case "up":
        if (frame[0] === "hello") proven = false;
        translator.up(frame);
        break;
      case "heard":
        proven = true;
        ignored = !translator.heard(text ?? JSON.stringify(json));
        break;
      case "pong":
        proven = true;
        translator.pong(payload);
        break;
      case "tick":
        translator.tick();
        break;
      case "goodbye":
        translator.goodbye();
        break;
      case "lost":
        translator.lost();
        break;
      case "forget":
        translator.forget(n);
        break;
      default:
        throw new Error(`no input ${step.do}`);
    }
    const deadline = translator.nextDeadline();
    const done: Any = {
      expect: withoutWords(outputs.splice(0)),
      deadline: deadline === Infinity ? null : deadline,
      ignored: ignored || undefined,
      kept: step.kept && translator.kept(),
      proven: "proven" in step ? proven : undefined,
    };
    step.expect = withoutWords(step.expect);
    for (const what of ["expect", "deadline", "ignored", "kept", "proven"]) {
      if (!same(done[what], step[what])) {
        const where = `${scenario.name}, step ${i + 1} (${step.do} at ${at})`;
        throw new Error(`${where}: ${what} is ${JSON.stringify(done[what])}, not ${JSON.stringify(step[what])}`);
      }
    }
  }
}

/** Why data does not fit is told in the words of the language. */
function withoutWords(outputs: Any[] = []): Any[] {
  return outputs.map((output) =>
    output[0] === "down" && output[1][2]?.code === "invalid" ? ["down", [...output[1].slice(0, 2), "invalid"]] : output,
  );
}
