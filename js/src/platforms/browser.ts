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
  const listen = (target: Target | undefined, type: string, call: () => void): void => {
    target?.addEventListener(type, call);
    stops.push(() => target?.removeEventListener(type, call));
  };
  const page = typeof window === "undefined" ? undefined : window;
  const doc = typeof document === "undefined" ? undefined : document;
  const { connection } = (typeof navigator === "undefined" ? {} : navigator) as { connection?: Partial<Target> };
  listen(page, "online", () => hint("online", true));
  listen(page, "offline", () => hint("offline", false));
  listen(page, "pageshow", () => hint("the page is shown", true));
  listen(doc, "visibilitychange", () => doc!.hidden || hint("the page is visible", true));
  listen(doc, "freeze", () => hint("the page is frozen", false));
  listen(doc, "resume", () => hint("the page is resumed", true));
  if (connection?.addEventListener) listen(connection as Target, "change", () => hint("another network", true));
  return () => stops.forEach((stop) => stop());
}
