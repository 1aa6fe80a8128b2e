/**
 * A translator around the client machine: to the shell of a connection it is a machine like any other.
 *
 * `heartline/dialects` brings it, inside of the dialects themselves, so that those who speak heartline.1 do not load it.
 *
 * - what the translator concludes from its own saying is no proof that anybody is there (vectors: client-*.json);
 * - what a login gave to keep outlives the process, where there is a store (test: what a login gave is kept).
 */

import { Code } from "../core/codes.js";
import { Do, type Effect } from "../core/effects.js";
import type { ClientCodec, DownFrame, UpFrame } from "../core/frames.js";
import type { PolicyOptions } from "../core/policy.js";
import type { Dialect, Machine, Spoken } from "./spec.js";
import { makeTranslator } from "./translator.js";

/** How `dialect` is spoken on the links of one connection. */
export function speak(dialect: Dialect, options: PolicyOptions & { params?: object | undefined }): Spoken {
  const { delay: base = 1, cap = 30, stable = 10, attempts: maxAttempts = null } = dialect.reconnect || {};
  const { heartbeat, params = {} } = options;
  const spoken = heartbeat ? Object.assign({}, dialect, { beat: Object.assign({}, dialect.beat, heartbeat) }) : dialect;
  return {
    options: Object.assign({ maxAttempts }, options, {
      backOff: Object.assign({ base, cap, stable, least: 0.5 }, options.backOff),
    }),
    protocols: dialect.subprotocol ? [dialect.subprotocol] : [],
    machine: (make, epoch, now, keep) => around(make, spoken, params as Record<string, unknown>, epoch, now, keep),
  };
}

/** From here on a close code means what its server means by it, which we do not know. */
const FIRST_OF_NOBODY = 4000;

/** Frames as they are. */
const itself = (frame: unknown): any => frame;
const codec: ClientCodec = { protocols: [], encode: itself, decode: itself };

function around<M extends Machine>(
  make: (codec: ClientCodec) => M,
  dialect: Dialect,
  params: Readonly<Record<string, unknown>>,
  epoch: string,
  now: () => number,
  keep: Readonly<Record<string, unknown>> | undefined,
): M {
  const machine = make(codec);
  const note = (n: number): [boolean, string] => {
    const { idempotent, target } = machine.outbox.messages.get(n)!;
    return [idempotent, target];
  };
  const effects: Effect[] = [];
  let on = 0; // the link it is on
  let proof = false; // what it does is what the other end said, and does not follow from saying something
  const translator = makeTranslator(dialect, params, epoch, note, now, Date.now, {
    write: (text) => void effects.push([Do.TRANSMIT, on, text]),
    down: (frame) => machine.received(on, frame as DownFrame, proof),
    leave(reason) {
      translator.lost();
      effects.push([Do.DROP, on, Code.PEER_SILENT, reason]);
      machine.lost(on, Code.PEER_SILENT, reason);
    },
  });
  if (keep) translator.restore(keep);
  let kept = translator.kept();

  /** This link is gone, or is about to be left. */
  const left = (attempt: number): void => {
    if (attempt === on) translator.lost();
  };

  /** What the machine wants, said otherwise. */
  const take = (effect: Effect): void => {
    if (effect[0] === Do.TRANSMIT) {
      const [, attempt, frame] = effect;
      on = attempt;
      return translator.up(frame as unknown as UpFrame);
    }
    if (effect[0] === Do.DROP) {
      const [, attempt, code] = effect;
      if (code === Code.NORMAL) translator.goodbye();
      left(attempt);
    }
    if (effect[0] === Do.SETTLE) {
      const { code, message } = Object(effect[3]) as { code?: string; message: string };
      if (code === "unknown") effect = [Do.SETTLE, effect[1], code, null, message];
    }
    effects.push(effect);
  };

  const own: Machine = {
    outbox: machine.outbox,

    drain() {
      for (let wanted; (wanted = machine.drain()).length; ) wanted.forEach(take);
      return effects.splice(0);
    },
    nextDeadline: () => Math.min(machine.nextDeadline(), translator.nextDeadline()),
    tick() {
      machine.tick();
      translator.tick();
    },
    received(attempt, text) {
      const words = typeof text === "string";
      machine.alive(attempt, words);
      proof = true;
      if (words && !translator.heard(text)) effects.push([Do.IGNORED]);
      proof = false;
      if (translator.kept() !== kept) effects.push([Do.KEEP, (kept = translator.kept())]);
    },
    alive: machine.alive,
    lost(attempt, code, reason) {
      left(attempt);
      machine.lost(attempt, code, reason, code >= FIRST_OF_NOBODY);
    },
    send(kind, event, data, options = {}) {
      const delivery = translator.check(kind, event, JSON.parse(data), options.target || "");
      const { idempotent = delivery === "at_least_once" } = options;
      return machine.send(kind, event, data, Object.assign({}, options, { idempotent }));
    },
    withdraw(n) {
      const unwritten = machine.withdraw(n);
      if (!unwritten) translator.forget(n);
      return unwritten;
    },
    subscribe(channel, place, args) {
      translator.follow(channel, args);
      machine.subscribe(channel, place);
    },
  };
  return Object.assign({}, machine, own);
}
