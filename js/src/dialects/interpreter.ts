/**
 * A translator in the shell of a connection: which link it is on, what is written, what is kept.
 *
 * `heartline/dialects` brings it, inside of the dialects themselves, so that those who speak heartline.1 do not load it.
 *
 * - what the translator concludes from its own saying is no proof that anybody is there (vectors: client-*.json);
 * - what a login gave to keep outlives the process, where there is a store (test: keeps what a login gave).
 */

import type { ClientCodec } from "../core/frames.js";
import type { PolicyOptions } from "../core/policy.js";
import type { Dialect, Speech, SpeechHost } from "./spec.js";
import { makeTranslator, type Translator } from "./translator.js";

/** Speak `dialect` on the links of one connection. */
export function speak(dialect: Dialect, options: PolicyOptions & { params?: object | undefined }, host: SpeechHost): Speech {
  const { delay: base = 1, cap = 30, stable = 10, attempts: maxAttempts = null } = dialect.reconnect || {};
  const { subprotocol } = dialect;
  const { heartbeat, params = {} } = options;
  const spoken = heartbeat ? Object.assign({}, dialect, { beat: Object.assign({}, dialect.beat, heartbeat) }) : dialect;
  const itself = (frame: unknown): any => frame;
  let translator!: Translator;
  let on = 0; // the link it is on
  let kept: object = {};

  /** Do what the translator wants. `proof`: it is what the other end said, and not what follows from saying something. */
  const carry = (attempt: number, proof: boolean): void => {
    for (const output of translator.drain()) {
      if (typeof output === "string") {
        host.write(attempt, output);
      } else if (output[0] === "leave") {
        left(attempt);
        host.leave(attempt, output[1]);
      } else if (output[0] !== "ping") {
        host.give(attempt, output, proof);
      }
    }
  };

  /** This link is gone, or is about to be left. */
  const left = (attempt: number): void => {
    if (attempt === on) translator.lost();
  };

  return {
    options: Object.assign({ maxAttempts }, options, {
      backOff: Object.assign({ base, cap, stable, least: 0.5 }, options.backOff),
    }),
    codec: { protocols: subprotocol ? [subprotocol] : [], encode: itself, decode: itself } as ClientCodec,
    left,

    begin(epoch) {
      on = 0;
      translator = makeTranslator(spoken, params as Record<string, unknown>, epoch, host.note, Date.now);
    },
    restore(keep) {
      translator.restore((kept = keep));
    },
    check: (kind, event, data, channel) => translator.check(kind, event, data, channel),
    args: (channel, args) => translator.follow(channel, args),
    up(attempt, frame, now) {
      on = attempt;
      translator.up(frame, now);
      carry(attempt, false);
    },
    heard(attempt, text, now) {
      const understood = translator.heard(text, now);
      carry(attempt, true);
      if (translator.kept() !== kept) host.keep((kept = translator.kept()));
      return understood;
    },
    goodbye(attempt, now) {
      translator.goodbye(now);
      carry(attempt, false);
    },
    forget(n) {
      translator.forget(n);
      carry(on, false);
    },
    nextDeadline: () => translator.nextDeadline(),
    tick(now) {
      translator.tick(now);
      carry(on, false);
    },
  };
}
