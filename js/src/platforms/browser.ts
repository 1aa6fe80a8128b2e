/**
 * Browsers, and whatever has their `WebSocket`.
 *
 * - every event that may have killed a link probes at once (test: browser events are hints).
 */

import { type Hint, nothing, type Platform } from "../client/platform.js";

interface Target {
  addEventListener(type: string, listener: () => void): void;
  removeEventListener(type: string, listener: () => void): void;
}

/** A runtime with `WebSocket`, and with window and document where it has them. */
export function browser(): Platform {
  return { connectSocket: (url, protocols) => new WebSocket(url, protocols), watch: watchPage };
}

/** What happens to a page, and whether the network may be back after it. */
const NEWS: readonly (readonly [target: () => unknown, type: string, back: boolean])[] = [
  [() => window, "online", true],
  [() => window, "offline", false],
  [() => window, "pageshow", true],
  [() => document, "visibilitychange", true],
  [() => document, "freeze", false],
  [() => document, "resume", true],
  [() => (navigator as { connection?: Target }).connection, "change", true],
];

/** Tell of network and page, as far as they are there; returns what ends this. */
export function watchPage(hint: Hint): () => void {
  const stops = NEWS.map(([find, type, back]) => {
    const call = (): void => {
      if (type !== "visibilitychange" || !document.hidden) hint(type, back);
    };
    try {
      const target = find() as Target;
      target.addEventListener(type, call);
      return () => target.removeEventListener(type, call);
    } catch (_) {
      return nothing; // this runtime has none of it
    }
  });
  return () => stops.forEach((stop) => stop());
}
