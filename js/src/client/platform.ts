/**
 * What the client needs of the place it runs in: sockets, and news about network and foreground.
 *
 * An adapter is one object of this interface; the socket's handlers are called as a browser's `WebSocket` calls them.
 */

/** A handler that takes what a platform gives, which may be more than is named here. */
type On<E> = { bivarianceHack(event: E): void }["bivarianceHack"] | null;

/** One socket. A browser's `WebSocket` is one. Handlers are set right after it was made. */
export interface SmallSocket {
  /** Send one text message. May throw. */
  send(text: string): void;
  /** Leave, also while connecting. `code` is 1000 or from 4000 to 4999. */
  close(code?: number, reason?: string): void;
  onopen: On<unknown>;
  onmessage: On<{ readonly data: unknown }>;
  /** It ended. May come late, or never after an error. */
  onclose: On<{ readonly code?: number; readonly reason?: string }>;
  /** It failed: this alone ends a socket. */
  onerror: On<unknown>;
}

/** Open a socket. May throw: a SyntaxError or SecurityError says that it will never work. */
export type ConnectSocket = (url: string, protocols: string[]) => SmallSocket;

/** Something happened to the network or the page. `back`: it is there again, so dial now where one waits. */
export type Hint = (reason: string, back: boolean) => void;

/** One kind of runtime. */
export interface Platform {
  readonly connectSocket: ConnectSocket;
  /** Tell of every change that may have killed a link or brought the network back; returns what ends this. */
  watch?(hint: Hint): () => void;
}

/** Time and timers, in seconds. */
export interface Timers {
  /** Seconds since any moment; goes on while the machine sleeps. */
  now(): number;
  /** Call `then` in so many seconds; returns what prevents it. */
  after(seconds: number, then: () => void): () => void;
}

const LONGEST = 2 ** 31 - 1;

/** The runtime's own. The wall clock, because others stand still in suspended machines; jumps are the machine's care. */
export const systemTimers: Timers = {
  now: () => Date.now() / 1000,
  after(seconds, then) {
    const timer = setTimeout(then, Math.min(Math.max(seconds * 1000, 1), LONGEST));
    return () => clearTimeout(timer);
  },
};

/**
 * Go on with a value that is there or comes: `then` or `or` is called once, at once where that is possible. Returns what
 * that returned, or a promise of it.
 */
export function proceed<T>(make: () => T | PromiseLike<T>, then: (value: T) => unknown, or: (error: unknown) => unknown): unknown {
  let value: T | PromiseLike<T>;
  try {
    value = make();
  } catch (error) {
    return or(error);
  }
  return isThenable(value) ? value.then(then, or) : then(value);
}

/** Whether a value is a promise of one. */
export function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof Object(value).then === "function";
}

/** Do nothing. */
export function nothing(): void {}

/** Random for each process. */
export function instanceId(): string {
  return `${Math.random()}${Math.random()}`;
}
