/**
 * The road to the server: which link there is, which is being dialled, and when to dial again (PROTOCOL 6, 7).
 *
 * - at most one dial is in flight, and no live link beside it but in `moving` (vectors: road.json);
 * - a link or dial is left by a drop or is told as lost, never silently (vectors: road.json);
 * - only progress or a stable time resets the back-off (vectors: road.json);
 * - a server that asks to wait is not dialled before, hints or not; the person may (vectors: road.json).
 */

import { makeRetry, type Random } from "./back-off.js";
import { Code, type CodeClass } from "./codes.js";
import { Due, makeDeadlines } from "./deadlines.js";
import { Do, type Effect } from "./effects.js";
import type { Move } from "./frames.js";
import type { ClientPolicy } from "./policy.js";
import { checkMove, type State } from "./states.js";

const LATE = "it took too long";

/** Links and dials of one client machine. */
export type Road = ReturnType<typeof makeRoad>;

/** `onLost` is called whenever the present link ends. */
export function makeRoad(
  policy: ClientPolicy,
  random: Random,
  effects: Effect[],
  now: () => number,
  onLost: () => void,
) {
  let state: State = "idle";
  let attempt = 0; // the number of the latest dial
  let link = 0; // that of the present link
  let notBefore = -Infinity;
  const deadlines = makeDeadlines();
  const retry = makeRetry(policy.backOff, random);

  const isDialling = (): boolean => state === "dialling" || state === "moving";

  const due = (name: Due, seconds: number): void => deadlines.set(name, now() + seconds);

  /** Move, if the table allows it, and tell. To the present state: only the reason is news. */
  const go = (next: State, reason: string, code: number | null = null, retryIn: number | null = null): void => {
    const old = state;
    if (CHECKED && next !== old) checkMove(old, next);
    state = next;
    effects.push([Do.STATE, { old, new: next, reason, attempt, code, retryIn }]);
  };

  /** Leave one link or dial. */
  const drop = (which: number, code: number, reason: string): void => {
    effects.push([Do.DROP, which, code, reason]);
  };

  const startDial = (next: "dialling" | "moving", why: string): void => {
    attempt++;
    go(next, why);
    due(Due.CONNECT, policy.connectTimeout);
    effects.push([Do.DIAL, attempt]);
  };

  const endLink = (): void => {
    link = 0;
    deadlines.clear(Due.HELLO, Due.STABLE, Due.ACK, Due.FLOOR, Due.MOVE);
    onLost();
  };

  /** Leave the present link, if there is one, without a word about what comes next. */
  const leave = (code: number, reason: string): void => {
    if (link) {
      drop(link, code, reason);
      endLink();
    }
  };

  /** No link and no dial: wait, give up or accept the refusal. */
  const rest = (reason: string, code: number | null, kind: CodeClass): void => {
    if (kind === "fatal") {
      retry.left();
      return go("refused", reason, code);
    }
    const delay = Math.max(0, notBefore - now()) + retry.failed();
    const most = policy.maxAttempts;
    if (most && retry.failures >= most) return go("gave up", `${reason} (${retry.failures} attempts)`, code);
    due(Due.RETRY, delay);
    go("waiting", reason, code, delay);
  };

  /** The dial failed. */
  const failed = (which: number, reason: string, fatal = false): void => {
    if (which !== attempt || !isDialling()) return;
    deadlines.clear(Due.CONNECT);
    if (state === "moving") go("open", reason);
    else rest(reason, null, fatal ? "fatal" : "retry");
  };

  /** The present link ended. */
  const lost = (code: number, reason: string, kind: CodeClass): void => {
    endLink();
    if (state === "moving") {
      if (kind !== "fatal") {
        retry.left();
        return go("dialling", reason, code);
      }
      drop(attempt, Code.ABANDONED, reason);
      deadlines.clear(Due.CONNECT);
    }
    rest(reason, code, kind);
  };

  /** Leave the present link on our own account and go on as `kind` says. */
  const abandon = (code: number, reason: string, kind: CodeClass = "retry"): void => {
    drop(link, code, reason);
    lost(code, reason, kind);
  };

  return {
    deadlines,
    retry,
    due,
    go,
    failed,
    lost,
    abandon,

    /** Where the connection stands. */
    state: () => state,

    /** The number of the present link, 0 for none. */
    link: () => link,

    /** Whether there is a link that is welcome. */
    up: () => state === "open" || state === "moving",

    /** Dial now; with `hurry` even where a server asked to wait. A hint does nothing before that time. */
    dial(why: string, hurry = false): void {
      if (hurry) {
        retry.failures = 0;
        notBefore = -Infinity;
      }
      if (now() >= notBefore) {
        deadlines.clear(Due.RETRY);
        startDial("dialling", why);
      }
    },

    /** The dial brought an open socket; whether it is the one we want. */
    opened(which: number): boolean {
      if (which !== attempt || !isDialling()) {
        if (which !== link) drop(which, Code.ABANDONED, LATE);
        return false;
      }
      if (state === "moving") {
        leave(Code.ABANDONED, "moving");
        retry.left();
      }
      link = which;
      go("greeting", "open");
      deadlines.clear(Due.CONNECT);
      due(Due.HELLO, policy.helloTimeout);
      return true;
    },

    /** The session is on. */
    welcomed(reason: string): void {
      deadlines.clear(Due.HELLO);
      due(Due.STABLE, policy.backOff.stable);
      notBefore = -Infinity;
      go("open", reason);
    },

    /** The server asks us to dial again. */
    move({ after, spread }: Move): void {
      if (state === "open" && deadlines.at[Due.MOVE] === Infinity) {
        const wait = after + random() * spread;
        due(Due.MOVE, wait + retry.beforeMoving());
      }
    },

    /** The server does not want us back earlier. */
    waitAtLeast(seconds: number): void {
      notBefore = now() + seconds;
    },

    /** Leave everything: for good, or until somebody wants it again. */
    close(reason: string, next: "closed" | "idle"): void {
      if (isDialling()) drop(attempt, Code.ABANDONED, reason);
      leave(Code.NORMAL, reason);
      deadlines.at.fill(Infinity);
      go(next, reason);
    },

    /** One of this module's deadlines has come. Each is forgotten with the state it belongs to. */
    fire(name: Due): void {
      if (name === Due.CONNECT) {
        drop(attempt, Code.ABANDONED, LATE);
        failed(attempt, LATE);
      } else if (name === Due.HELLO) {
        abandon(Code.HELLO_TIMEOUT, LATE);
      } else if (name === Due.RETRY) {
        startDial("dialling", "retry");
      } else if (name === Due.STABLE) {
        retry.stable();
      } else if (name === Due.MOVE) {
        startDial("moving", "moving");
      }
    },
  };
}
