/**
 * Browsers, and whatever has their `WebSocket`.
 *
 * - every event that may have killed a link probes at once (test: browser events are hints).
 */

import type { Hint, Platform } from "../client/platform.js";

interface Target {
  addEventListener(type: string, listener: () => void): void;
  removeEventListener(type: string, listener: () => void): void;
}

/** A runtime with `WebSocket`, and with window and document where it has them. */
export function browser(): Platform {
  return { connectSocket: (url, protocols) => new WebSocket(url, protocols), watch: watchPage };
}

/** Tell of network and page; returns what ends this. */
export function watchPage(hint: Hint): () => void {
  const stops: (() => void)[] = [];
  const listen = (target: Target, type: string, reason: string, back: boolean): void => {
    const call = (): void => {
      if (type !== "visibilitychange" || !document.hidden) hint(reason, back);
    };
    target.addEventListener(type, call);
    stops.push(() => target.removeEventListener(type, call));
  };
  if (typeof window !== "undefined") {
    listen(window, "online", "online", true);
    listen(window, "offline", "offline", false);
    listen(window, "pageshow", "the page is shown", true);
  }
  if (typeof document !== "undefined") {
    listen(document, "visibilitychange", "the page is visible", true);
    listen(document, "freeze", "the page is frozen", false);
    listen(document, "resume", "the page is resumed", true);
  }
  const { connection } = (typeof navigator === "undefined" ? {} : navigator) as { connection?: Target };
  if (connection && "addEventListener" in connection) listen(connection, "change", "another network", true);
  return () => stops.splice(0).forEach((stop) => stop());
}
