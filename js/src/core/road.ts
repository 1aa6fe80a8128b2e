/**
 * The road to the server: which link there is, which is being dialled, and when to dial again (PROTOCOL 6, 7).
 *
 * - at most one dial is in flight, and no live link beside it but in `moving` (vectors: road.json);
 * - a link or dial is left by a drop or is told as lost, never silently (vectors: road.json);
 * - only progress or a stable time resets the back-off (vectors: road.json);
 * - a server that asks to wait is not dialled before, hints or not; the person may (vectors: road.json).
 */

import { type Random, Retry } from "./back-off.js";
import type { Clock } from "./clock.js";
import { Code, type CodeClass } from "./codes.js";
import { Deadlines, Due } from "./deadlines.js";
import type { Effect } from "./effects.js";
import type { Move } from "./frames.js";
import type { ClientPolicy } from "./policy.js";
import { checkMove, type State } from "./states.js";
import { cut } from "./text.js";

const REASON_BYTES = 120;

/** Links and dials of one client machine. `onLost` is called whenever the present link ends. */
export class Road {
  state: State = "idle";
  /** The number of the latest dial. */
  attempt = 0;
  /** The number of the present link, 0 for none. */
  link = 0;
  readonly deadlines = new Deadlines();
  readonly retry: Retry;
  private _notBefore = -Infinity;

  constructor(
    private readonly _policy: ClientPolicy,
    private readonly _random: Random,
    private readonly _effects: Effect[],
    private readonly _clock: Clock,
    private readonly _onLost: () => void,
  ) {
    this.retry = new Retry(_policy.backOff, _random);
  }

  /** Whether there is a link that is welcome. */
  get up(): boolean {
    return this.state === "open" || this.state === "moving";
  }

  /** Whether there is a link. */
  get linked(): boolean {
    return this.up || this.state === "greeting";
  }

  // dialling

  /** Dial now; with `hurry` even where a server asked to wait. A hint does nothing before that time. */
  dial(why: string, hurry = false): void {
    if (hurry) {
      this.retry.failures = 0;
      this._notBefore = -Infinity;
    }
    if (this._clock.now >= this._notBefore) {
      this.deadlines.clear(Due.RETRY);
      this._startDial("dialling", why);
    }
  }

  /** The dial brought an open socket; whether it is the one we want. */
  opened(attempt: number): boolean {
    if (!this._isDialling(attempt)) {
      if (attempt !== this.link) this.drop(attempt, Code.ABANDONED, "no longer wanted");
      return false;
    }
    if (this.state === "moving") {
      this.leave(Code.ABANDONED, "moving on");
      this.retry.left();
    }
    this.link = attempt;
    this.go("greeting", "open");
    this.deadlines.clear(Due.CONNECT);
    this.deadlines.set(Due.HELLO, this._clock.now + this._policy.helloTimeout);
    return true;
  }

  /** The dial failed. */
  failed(attempt: number, reason: string, fatal: boolean): void {
    if (!this._isDialling(attempt)) return;
    this.deadlines.clear(Due.CONNECT);
    if (this.state === "moving") this.go("open", `could not move: ${reason}`);
    else this._rest(reason, null, fatal ? "fatal" : "retry");
  }

  /** The session is on. */
  welcomed(reason: string): void {
    this.deadlines.clear(Due.HELLO);
    this.deadlines.set(Due.STABLE, this._clock.now + this._policy.backOff.stable);
    this._notBefore = -Infinity;
    this.go("open", reason);
  }

  /** The server asks us to dial again. */
  move({ after, spread }: Move): void {
    if (this.state === "open" && !this.deadlines.has(Due.MOVE)) {
      const wait = after + this._random() * spread;
      this.deadlines.set(Due.MOVE, this._clock.now + wait + this.retry.beforeMoving());
    }
  }

  // leaving

  /** The server does not want us back earlier. */
  waitAtLeast(seconds: number): void {
    this._notBefore = this._clock.now + seconds;
  }

  /** Leave the present link on our own account and go on as `kind` says. */
  abandon(code: number, reason: string, kind: CodeClass = "retry"): void {
    this.drop(this.link, code, reason);
    this.lost(code, reason, kind);
  }

  /** The present link ended. */
  lost(code: number, reason: string, kind: CodeClass): void {
    this._endLink();
    if (this.state === "moving") {
      if (kind !== "fatal") {
        this.retry.left();
        this.go("dialling", reason, code);
        return;
      }
      this.drop(this.attempt, Code.ABANDONED, "no longer wanted");
      this.deadlines.clear(Due.CONNECT);
    }
    this._rest(reason, code, kind);
  }

  /** Leave the present link, if there is one, without a word about what comes next. */
  leave(code: number, reason: string): void {
    if (this.link) {
      this.drop(this.link, code, reason);
      this._endLink();
    }
  }

  /** Leave everything: for good, or (`idle`) until somebody wants it again. */
  close(reason: string, state: "closed" | "idle" = "closed"): void {
    if (this.state === "dialling" || this.state === "moving") this.drop(this.attempt, Code.ABANDONED, reason);
    this.leave(Code.NORMAL, reason);
    this.deadlines.clearAll();
    this.go(state, reason);
  }

  // timers

  /** One of this module's deadlines has come. */
  fire(due: Due): void {
    if (due === Due.CONNECT) {
      this.drop(this.attempt, Code.ABANDONED, "the dial took too long");
      this.failed(this.attempt, "the dial took too long", false);
    } else if (due === Due.HELLO && this.state === "greeting") {
      this.abandon(Code.HELLO_TIMEOUT, "no welcome in time");
    } else if (due === Due.RETRY && this.state === "waiting") {
      this._startDial("dialling", "retry");
    } else if (due === Due.STABLE) {
      this.retry.stable();
    } else if (due === Due.MOVE && this.state === "open") {
      this._startDial("moving", "the server asked to move");
    }
  }

  // small things

  /** Leave one link or dial; the reason is cut to what a close frame takes. */
  drop(attempt: number, code: number, reason: string): void {
    this._effects.push({ do: "drop", attempt, code, reason: cut(reason, REASON_BYTES) });
  }

  /** Move, if the table allows it, and tell. */
  go(next: State, reason: string, code: number | null = null, retryIn: number | null = null): void {
    const old = this.state;
    checkMove(old, next);
    this.state = next;
    this._tell(old, reason, code, retryIn);
  }

  /** Say something about the connection that moves nothing. */
  tell(reason: string): void {
    this._tell(this.state, reason, null, null);
  }

  private _tell(old: State, reason: string, code: number | null, retryIn: number | null): void {
    const change = { old, new: this.state, reason, attempt: this.attempt, code, retryIn };
    this._effects.push({ do: "state", change });
  }

  private _isDialling(attempt: number): boolean {
    return attempt === this.attempt && (this.state === "dialling" || this.state === "moving");
  }

  private _startDial(state: "dialling" | "moving", why: string): void {
    this.attempt++;
    this.go(state, why);
    this.deadlines.set(Due.CONNECT, this._clock.now + this._policy.connectTimeout);
    this._effects.push({ do: "dial", attempt: this.attempt });
  }

  private _endLink(): void {
    this.link = 0;
    this.deadlines.clear(Due.HELLO, Due.STABLE, Due.ACK, Due.FLOOR, Due.MOVE);
    this._onLost();
  }

  /** No link and no dial: wait, give up or accept the refusal. */
  private _rest(reason: string, code: number | null, kind: CodeClass): void {
    if (kind === "fatal") {
      this.retry.left();
      this.go("refused", reason, code);
      return;
    }
    const delay = Math.max(0, this._notBefore - this._clock.now) + this.retry.failed();
    const most = this._policy.maxAttempts;
    if (most !== null && this.retry.failures >= most) {
      this.go("gave up", `${reason} (attempt ${this.retry.failures} of ${most})`, code);
      return;
    }
    this.deadlines.set(Due.RETRY, this._clock.now + delay);
    this.go("waiting", reason, code, delay);
  }
}
