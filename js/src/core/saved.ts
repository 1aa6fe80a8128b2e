/** What a durable client keeps over a crash. What was stored is taken as written, because nobody knows better. */

import type { Json, Place } from "./frames.js";
import type { Kind } from "./outbox.js";

/** A message as it is stored. `data` is JSON text. */
export interface SavedMessage {
  readonly n: number;
  readonly kind: Kind;
  readonly event: string;
  readonly data: string;
  readonly target?: string;
  readonly idempotent?: boolean;
}

/** The session (with its key, or neither), its unsettled messages in rising order, and how far each channel was handled. */
export interface Saved {
  readonly session?: string | null;
  readonly key?: string | null;
  readonly nextNumber?: number;
  readonly messages?: readonly SavedMessage[];
  readonly cursors?: Readonly<Record<string, Place>>;
  /** What the last login gave to keep, where a dialect has such. */
  readonly keep?: Readonly<Record<string, Json>>;
}
