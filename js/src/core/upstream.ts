/**
 * The client's way up: numbered messages through the outbox's window to their outcomes (PROTOCOL 3).
 *
 * - one definite outcome for each message (vectors: upstream.json);
 * - a session that was lost turns what was written into `unknown`, unless repeating is harmless, and carries the rest
 *   over (vectors: handshake.json);
 * - nothing above the server's limit is ever written (vectors: upstream.json);
 * - who waits for room hears of it, or of the end (vectors: upstream.json).
 */

import type { Effect } from "./effects.js";
import { OutboxFull } from "./errors.js";
import type { Json, UpFrame, Welcome } from "./frames.js";
import { type Message, type Outbox, type Outcome, SPAN } from "./outbox.js";
import { bytesOf } from "./text.js";

const NUMBER_BLOCK = 1024;
/** Bytes by which a frame may exceed `Message.size`: two names, escaped, and a long number. */
const NAMES = 2600;

/** Sends for one client machine. `write` takes a frame for the present link, `encode` tells how it is spelt. */
export class Upstream {
  largest = 1 << 20;
  private _reserved: number;
  private _wantingRoom = false;

  constructor(
    readonly outbox: Outbox,
    private readonly _effects: Effect[],
    private readonly _write: (frame: UpFrame) => void,
    private readonly _encode: (frame: UpFrame) => string,
  ) {
    this._reserved = outbox.nextNumber;
  }

  /** Make room for a message. Throws OutboxFull, and then announces room; RangeError when there can never be any. */
  makeRoom(size: number): void {
    try {
      for (const old of this.outbox.makeRoom(size)) this._end(old, "expired", null, "the outbox was full");
    } catch (error) {
      if (error instanceof OutboxFull) this._wantingRoom = true;
      throw error;
    }
  }

  /** Queue a message there is room for. */
  send(message: Message): void {
    this.outbox.add(message);
    if (this.outbox.durable) {
      if (message.n >= this._reserved) this._reserved = message.n + NUMBER_BLOCK;
      this._effects.push({ do: "persist", message, reserved: this._reserved });
    }
  }

  /** Write what the window lets through. */
  pump(): void {
    this.tellFloor(false);
    for (let message; (message = this.outbox.nextToWrite()); ) {
      const frame = frameOf(message);
      if (message.size + NAMES > this.largest && bytesOf(this._encode(frame)) > this.largest) {
        this._refuseTooBig(message);
        this.tellFloor(false);
      } else {
        this._write(frame);
      }
    }
  }

  /** Let the server forget the answers we have: where that is worth a frame, or where all is quiet. */
  tellFloor(idle: boolean): void {
    const floor = this.outbox.floorToTell(idle);
    if (floor !== null) this._write(["settled", floor]);
  }

  /** This session is lost: settle what may have been handled in it. */
  sessionLost(reason: string, received = 0): void {
    for (const message of this.outbox.forgetSession(received)) this._end(message, "unknown", null, reason);
  }

  /** A link is up: rewind to what the server lacks. */
  welcomed({ limits, received }: Welcome): void {
    this.largest = limits.message;
    this.outbox.welcome(received, Math.min(limits.window, SPAN), limits.window_bytes);
  }

  /** Settle sends and publications, and calls whose answer is gone; whether that was progress. */
  ack(n: number): boolean {
    const settled = this.outbox.ack(n);
    for (const message of settled) this._end(message, "handled", null, "");
    const unanswered = this.outbox.unanswered(n);
    for (const message of unanswered) this._end(message, "unknown", null, "its answer is gone");
    return settled.length + unanswered.length > 0;
  }

  /** Settle one message by the server's answer; whether that was progress. */
  settle(n: number, outcome: Outcome, body: Json): boolean {
    const message = this.outbox.settle(n);
    if (message) this._end(message, outcome, body, "");
    return message !== null;
  }

  /** Settle what ran out unsent. */
  expire(now: number): void {
    for (const message of this.outbox.expire(now)) {
      this._end(message, "expired", null, "it ran out");
    }
  }

  /** Take back a message never written; whether it could be. */
  withdraw(n: number): boolean {
    const message = this.outbox.withdraw(n);
    if (message) this._end(message, "expired", null, "withdrawn");
    return message !== null;
  }

  /** Settle everything: nothing will be sent any more. */
  giveUp(reason: string): void {
    for (const message of this.outbox.clear()) {
      this._end(message, message.written ? "unknown" : "expired", null, reason);
    }
  }

  /** Tell whoever waits for room to try again, and so to learn what has become of us. */
  wake(): void {
    if (this._wantingRoom) {
      this._wantingRoom = false;
      this._effects.push({ do: "room" });
    }
  }

  private _refuseTooBig(message: Message): void {
    this.outbox.settle(message.n);
    const body = { code: "too_big", message: `above the server's limit of ${this.largest} bytes` };
    this._end(message, "rejected", body, "never sent");
  }

  private _end(message: Message, outcome: Outcome, body: Json, reason: string): void {
    this._effects.push({ do: "settle", message, outcome, body, reason });
    if (this.outbox.durable) this._effects.push({ do: "forget", n: message.n });
    this.wake();
  }
}

function frameOf({ n, kind, event, target, data }: Message): UpFrame {
  return kind === "pub" ? [kind, n, target, event, data] : [kind, n, event, data];
}
