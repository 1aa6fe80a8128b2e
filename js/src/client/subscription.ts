/**
 * A channel as the application reads it: callbacks, or an asynchronous iterator. Several readers of one connection share
 * what comes; the channel is handled as far as the slowest of them.
 *
 * - entries come each once and in order, over any number of links, or a gap comes first
 *   (test: entries once, in order, over cuts);
 * - an item counts as handled when the callback ended or the next one is asked for
 *   (test: handled is asking for the next);
 * - what came before a refusal is handed over before the refusal (test: entries before a refusal come first);
 * - a subscription that was closed is followed no longer (test: a closed subscription is unsubscribed).
 */

import type { Gap } from "../core/effects.js";
import type { HeartlineError } from "../core/errors.js";
import type { Json } from "../core/frames.js";
import type { Arrival } from "./bus.js";
import type { Entry, Place } from "./items.js";
import { type Lane, makeLane } from "./lane.js";

/** How to follow a channel. Without `onEntry` iterate over the subscription; the other callbacks are for those with. */
export interface SubscribeOptions<T> {
  /** Behind this place (or offset, or entry); "beginning": the oldest entry kept; "now" or nothing: from now on. */
  readonly since?: Place | number | "now" | "beginning" | undefined;
  /** What the dialect's `$args` stands for; several subscriptions of a channel share the first one's. */
  readonly args?: Json | undefined;
  /** Called with each entry, one at a time; a promise is waited for. What it throws is told to "@error". */
  readonly onEntry?: ((entry: Entry<T>) => unknown) | undefined;
  /** Called where entries may be lost. Without it that is told to "@error". */
  readonly onGap?: ((gap: Gap) => unknown) | undefined;
  /** The server follows the channel for us, on this link again; `state` is its snapshot where it has one. */
  readonly onReady?: ((state: Json) => unknown) | undefined;
  /** The server refused the channel or took it away: nothing more comes. Without it that is told to "@error". */
  readonly onEnd?: ((error: HeartlineError) => unknown) | undefined;
}

/** An arrival, and how many readers have not handled it. */
interface Shared {
  readonly arrival: Arrival;
  left: number;
}

/** What a feed needs of its connection. */
export interface FeedOwner {
  handled(arrival: Arrival): void;
  unfollow(feed: Feed): void;
  wantDelivery(lane: { deliver(): void }): void;
  report(error: unknown): void;
  /** Look again: something may have come about. */
  run(): void;
  /** Resolves with what `look` returns, as soon as that is something; rejects with what it throws, and at a dead end. */
  until(look: () => unknown): Promise<any>;
}

/** One followed channel inside the connection. */
export class Feed {
  readonly readers: Subscription<unknown>[] = [];
  granted = false;
  state: Json;
  place: Place | null = null;
  /** Why nothing more comes: refused by the server, or the connection was closed. */
  over: HeartlineError | null = null;
  private readonly _pending: Shared[] = [];

  constructor(
    readonly channel: string,
    readonly owner: FeedOwner,
  ) {}

  /** An entry or a gap came. */
  arrived(arrival: Arrival): void {
    const shared = { arrival, left: this.readers.length };
    this._pending.push(shared);
    for (const reader of this.readers) reader.take(shared);
  }

  /** The server follows the channel for us. */
  subscribed(place: Place, state: Json): void {
    this.granted = true;
    this.state = state;
    this.place = this.place || place;
    for (const reader of this.readers) reader.grant();
  }

  /** One reader is done with this. */
  done(shared: Shared): void {
    shared.left--;
    while (this._pending.length && !this._pending[0]!.left) {
      const { arrival } = this._pending.shift()!;
      this.place = placeOf(arrival.item as Entry | Gap);
      this.owner.handled(arrival);
    }
  }

  /** Nothing more comes; `tell` unless that is the application's own doing. */
  end(error: HeartlineError, tell: boolean): void {
    this.over = error;
    for (const reader of this.readers) reader.end(error, tell);
  }
}

/** Behind an entry or a gap. */
export function placeOf(item: Entry | Gap): Place & { epoch: string } {
  return { epoch: item.epoch, offset: item.kind === "gap" ? item.to : item.offset };
}

/** What to ask the server for; undefined: from now on, or where an earlier process had got. */
export function placeSince(since: SubscribeOptions<unknown>["since"]): [string | null, number] | undefined {
  if (since === undefined || since === "now") return;
  const { epoch, offset } = typeof since === "object" ? since : { epoch: null, offset: since === "beginning" ? 0 : since };
  if (offset >= 0) return [epoch, offset];
  throw new RangeError("since is no place");
}

type Result<T> = IteratorResult<Entry<T> | Gap, undefined>;

/**
 * What `subscribe` returns. With `onEntry` leave it alone; otherwise iterate: `for await (const item of subscription)`
 * gives entries and gaps, told apart by `kind`. Leaving such a loop closes the subscription.
 */
export class Subscription<T = unknown> {
  private readonly _lane: Lane<Shared | (() => unknown)>;
  private _closed = false;
  private _held: Shared | undefined;

  constructor(
    private readonly _feed: Feed,
    private readonly _options: SubscribeOptions<T>,
  ) {
    this._lane = makeLane<Shared | (() => unknown)>(
      (item) => (typeof item === "function" ? item() : this._handle(item.arrival.item as Entry<T> | Gap)),
      (item) => this._done(item),
      _feed.owner.report,
    );
    _feed.readers.push(this as Subscription<unknown>);
    if (_feed.granted) this.grant();
  }

  /** Its name. */
  get channel(): string {
    return this._feed.channel;
  }

  /** Up to where the channel was handled: pass it as `since`. Null before the server has answered. */
  get place(): Place | null {
    return this._feed.place;
  }

  /** The channel's snapshot as of the last answer of the server; undefined where it has none. */
  get state(): Json {
    return this._feed.state;
  }

  /** Whether nothing more will come: closed here, or refused by the server. */
  get closed(): boolean {
    return this._closed || !!this._feed.over;
  }

  /** Wait until the server has granted the subscription. Rejects as iterating does. */
  ready(): Promise<void> {
    return this._until(() => {
      if (this._closed) throw new Error("it was closed");
      return this._feed.granted;
    });
  }

  /** The next item; the one before counts as handled. For `for await`. */
  next(): Promise<Result<T>> {
    if (this._options.onEntry) throw new TypeError("it has an onEntry");
    this._letGo();
    const { queue } = this._lane;
    return this._until(() => {
      if (queue.length) {
        this._held = queue.shift() as Shared;
        return { done: false, value: this._held.arrival.item };
      }
      return this._closed && { done: true, value: undefined };
    });
  }

  /** Leaving a loop closes the subscription. For `for await`. */
  return(): Promise<Result<T>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** For `for await`; where a runtime has no such symbol, call `next`. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Follow the channel no longer. A second call does nothing; what was not handled comes again if you return. */
  close(): void {
    if (this._closed) return;
    this._closed = true;
    const { readers, owner } = this._feed;
    readers.splice(readers.indexOf(this as Subscription<unknown>), 1);
    const rest = this._lane.queue.splice(0);
    if (readers.length) {
      this._letGo();
      rest.forEach((item) => this._done(item));
    } else {
      owner.unfollow(this._feed);
    }
    owner.run();
  }

  /** @internal An item came, or something to call behind those that came before. */
  take(item: Shared | (() => unknown)): void {
    this._lane.queue.push(item);
    if (this._options.onEntry) this._feed.owner.wantDelivery(this._lane);
  }

  /** @internal The server follows the channel for us. */
  grant(): void {
    const { onEntry, onReady } = this._options;
    const { state } = this;
    if (onEntry && onReady) this.take(() => onReady(state));
  }

  /** @internal Nothing more comes. */
  end(error: HeartlineError, tell: boolean): void {
    const { onEntry, onEnd = this._feed.owner.report } = this._options;
    if (!tell) this._lane.queue.length = 0;
    else if (onEntry) this.take(() => onEnd(error));
  }

  private _until(look: () => unknown): Promise<any> {
    const { owner } = this._feed;
    return owner.until(() => {
      const found = look();
      if (!found && this._feed.over) throw this._feed.over;
      return found;
    });
  }

  /** Done with what was handed over last. */
  private _letGo(): void {
    const held = this._held;
    this._held = undefined;
    if (held) this._feed.done(held);
  }

  private _done(item: Shared | (() => unknown)): void {
    if (typeof item !== "function") this._feed.done(item);
  }

  private _handle(item: Entry<T> | Gap): unknown {
    const { onEntry, onGap } = this._options;
    if (item.kind === "entry") return onEntry!(item);
    if (onGap) return onGap(item);
    throw new Error(`${item.channel}: a gap, and no onGap`);
  }
}
