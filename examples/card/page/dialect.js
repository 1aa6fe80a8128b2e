import { card } from "/heartline.js";

/** Seconds without an answer to the binding until it is said again; after as many more the link is given up. */
export const STALE_AFTER = 8;

/**
 * Nothing answers this wire's beat, and a browser shows a page no protocol pings: a frozen link would stay "open" for
 * ever. But the server answers bindings, and binding twice binds once. So the binding is the page's watchdog as well, and
 * whatever the server says satisfies it.
 */
export const dialect = {
  ...card,
  subscribe: { ...card.subscribe, items: { msgType: "$any" }, stale_after: STALE_AFTER },
};
