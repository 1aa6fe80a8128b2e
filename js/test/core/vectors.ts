/** Reads and plays `protocol/vectors`, as its README describes them. */

import { readFileSync, readdirSync } from "node:fs";

import { type ClientMachine, clientMachine } from "../../src/core/client.js";
import { Do, type Effect } from "../../src/core/effects.js";
import { BadFrame, ConnectionClosed, OutboxFull } from "../../src/core/errors.js";
import { makePolicy } from "../../src/core/policy.js";
import type { Saved } from "../../src/core/saved.js";
import { native, UP } from "../../src/dialects/native.js";
import { readFrame } from "../../src/dialects/schema.js";

type Any = any;

const FOLDER = new URL("../../../protocol/vectors/", import.meta.url);
const LIMITS = {
  message: 1048576,
  window: 256,
  window_bytes: 1048576,
  credit: 512,
  credit_bytes: 262144,
  subscriptions: 1000,
};

export function codecCases(): Any[] {
  return JSON.parse(readFileSync(new URL("codec.json", FOLDER), "utf8"));
}

export function scenarios(): Any[] {
  const files = readdirSync(new URL("client/", FOLDER)).filter((name) => name.endsWith(".json"));
  return files.sort().flatMap((name) => JSON.parse(readFileSync(new URL(`client/${name}`, FOLDER), "utf8")));
}

/** Write out `$for`, `$i`, `$repeat` and `$limits`. */
export function expand(value: Any, i?: number): Any {
  if (Array.isArray(value)) {
    return value.flatMap((inner) => {
      if (inner === null || typeof inner !== "object" || !("$for" in inner)) return [expand(inner, i)];
      const [first, last] = inner.$for;
      return Array.from({ length: last - first + 1 }, (_, k) => expand(inner.of, first + k));
    });
  }
  if (value !== null && typeof value === "object") {
    if ("$repeat" in value) return value.$repeat[0].repeat(value.$repeat[1]);
    if ("$limits" in value) return { ...LIMITS, ...value.$limits };
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, expand(inner, i)]));
  }
  const match = i !== undefined && typeof value === "string" && /^\$i([+-]\d+)?$/.exec(value);
  return match ? i! + Number(match[1] ?? 0) : value;
}

/** What a codec case holds, read; throws BadFrame. */
export function readCase(given: Any): unknown {
  const expanded = expand(given.text);
  let text: string;
  if ("base64" in given) {
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(given.base64, "base64"));
    } catch {
      throw new BadFrame("not UTF-8"); // the socket's own business
    }
  } else {
    text = typeof expanded === "string" ? expanded : expanded.join("");
  }
  const frame = given.direction === "up" ? readFrame(UP, text) : native.decode(text);
  return JSON.parse(JSON.stringify(frame)); // without what is undefined
}

/** Whether two JSON values are the same: numbers by value and within 1e-6. */
export function same(one: Any, other: Any): boolean {
  if (typeof one === "number" && typeof other === "number") return one === other || Math.abs(one - other) <= 1e-6;
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((inner, i) => same(inner, other[i]));
  }
  if (isObject(one) && isObject(other)) {
    const keys = Object.keys(one);
    return (
      keys.length === Object.keys(other).length &&
      keys.every((key) => Object.prototype.hasOwnProperty.call(other, key) && same(one[key], other[key]))
    );
  }
  return one === other;
}

function isObject(value: unknown): value is Record<string, Any> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Play one scenario; throws at the first step that does not do what is written. */
export function play(scenario: Any): void {
  const draws: number[] = [...(scenario.random ?? [])];
  const random = (): number => {
    if (!draws.length) throw new Error("a number was drawn that the scenario does not have");
    return draws.shift()!;
  };
  const { policy = {} } = scenario;
  let now = 0;
  const machine = clientMachine(
    makePolicy({
      heartbeat: policy.heartbeat,
      backOff: policy.back_off,
      outbox: policy.outbox,
      connectTimeout: policy.connect_timeout,
      helloTimeout: policy.hello_timeout,
      maxAttempts: policy.max_attempts,
    }),
    native,
    random,
    scenario.instance ?? "me",
    () => now,
    scenario.saved ? savedOf(scenario.saved) : null,
  );
  for (const [i, step] of expand(scenario.steps).entries()) {
    const where = `${scenario.name}, step ${i + 1} (${step.do} at ${step.at})`;
    now = step.at;
    const returned = input(machine, step);
    const done: Any = { expect: machine.drain().map(neutral), deadline: finite(machine.nextDeadline()), returns: returned };
    for (const what of ["expect", "deadline", "returns"]) {
      // There is no word "room" here: a shell looks whether there is room, after every input.
      const wanted = what === "expect" ? step.expect.filter(([name]: Any[]) => name !== "room") : (step[what] ?? null);
      if (!same(done[what] ?? null, wanted)) {
        throw new Error(`${where}: ${what} is ${JSON.stringify(done[what])}, not ${JSON.stringify(wanted)}`);
      }
    }
  }
  if (draws.length) throw new Error(`${scenario.name}: ${draws} were never drawn`);
}

const finite = (at: number): number | null => (at === Infinity ? null : at);

function input(machine: ClientMachine, step: Any): Any {
  const text = (value: Any): string => JSON.stringify(value ?? null);
  try {
    switch (step.do) {
      case "connect":
        return void machine.connect();
      case "send": {
        const { target, expires_in: expiresIn, idempotent } = step;
        return machine.send(step.kind, step.event, text(step.data), { target, expiresIn, idempotent });
      }
      case "withdraw":
        return machine.withdraw(step.n);
      case "subscribe": {
        const place = step.offset === undefined ? undefined : [step.epoch ?? null, step.offset];
        return void machine.subscribe(step.channel, place as Any);
      }
      case "unsubscribe":
        return void machine.unsubscribe(step.channel);
      case "handled":
        return void machine.handled(step.channel, step.epoch, step.offset, step.size);
      case "retry_now":
        return void machine.retryNow();
      case "hint":
        return void machine.hint(step.reason);
      case "login":
        return void machine.login(step.payload);
      case "close":
        return void machine.close();
      case "end":
        return void machine.close(true);
      case "opened":
        return void machine.opened(step.attempt, step.login);
      case "failed":
        return void machine.failed(step.attempt, step.reason, step.fatal);
      case "lost":
        return void machine.lost(step.attempt, step.code, step.reason);
      case "alive":
        return void machine.alive(step.attempt);
      case "received":
        return void machine.received(step.attempt, step.text ?? text(step.frame));
      case "persisted":
        return void machine.persisted(step.n);
      case "forgotten":
        return void machine.forgotten(step.n);
      case "remembered":
        return void machine.remembered(step.session);
      case "tick":
        return void machine.tick();
    }
  } catch (error) {
    if (error instanceof OutboxFull) return "outbox full";
    if (error instanceof ConnectionClosed) return "closed";
    throw error;
  }
  throw new Error(`no input ${step.do}`);
}

function savedOf(saved: Any): Saved {
  return {
    session: saved.session ?? null,
    key: saved.key ?? null,
    nextNumber: saved.next_number ?? 1,
    messages: (saved.messages ?? []).map((m: Any) => ({ ...m, data: JSON.stringify(m.data ?? null) })),
    cursors: saved.cursors ?? {},
  };
}

/** The names of effects in the vectors, in the order of `Do`. */
const NAMES =
  "dial transmit drop persist forget remember move_cursor forget_cursor settle arrived volatile subscribed unsubscribed renew state";

/** One effect as the vectors write it. */
function neutral(effect: Effect): Any[] {
  const name = NAMES.split(" ")[effect[0]]!;
  switch (effect[0]) {
    case Do.TRANSMIT:
      return [name, effect[1], transmitted(effect[2])];
    case Do.DROP:
      return [name, effect[1], effect[2]];
    case Do.PERSIST:
      return [name, effect[1].n, effect[2]];
    case Do.SETTLE:
      return [name, effect[1].n, effect[2], effect[3]];
    case Do.ARRIVED: {
      const [, item] = effect;
      return item.kind === "entry"
        ? ["entry", item.channel, item.epoch, item.offset, item.event, item.data]
        : ["lost", item.channel, item.epoch, item.after, item.to, item.reason];
    }
    case Do.STATE: {
      const [, change] = effect;
      return [name, change.old, change.new, change.code, change.retryIn];
    }
    default:
      return [name, ...effect.slice(1).filter((part) => part !== undefined)];
  }
}

/** A frame that was written; in a hello what is null or empty is as good as absent. */
function transmitted(payload: string): Any {
  const frame = JSON.parse(payload);
  if (frame[0] === "hello") {
    frame[1] = Object.fromEntries(
      Object.entries(frame[1]).filter(([, value]) => !["null", "[]", "{}"].includes(JSON.stringify(value))),
    );
  }
  return frame;
}
