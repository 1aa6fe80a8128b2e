/** What arrives, as an application sees it, and the places in a channel. */

import type { EntryItem, Gap } from "../core/effects.js";

/** One entry of a channel, each once and in order. */
// The data is what the application says it is.
export interface Entry<T = unknown> extends Omit<EntryItem, "data"> {
  readonly data: T;
}

/** A place in a channel: behind `offset` of this `epoch`. An entry and a gap are such places, too. */
export interface Place {
  readonly epoch: string | null;
  readonly offset: number;
}

export type { Gap };
