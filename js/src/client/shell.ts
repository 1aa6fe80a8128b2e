/**
 * The client machine in an event loop: its effects, its one timer, its links, its store.
 *
 * - effects are carried out in order, and the application's code runs only when none is left
 *   (test: callbacks see a machine at rest);
 * - one timer at most; a later deadline leaves it alone (test: the timer is left alone);
 * - nothing is left behind by closing: no timer, listener or socket (test: closing leaves nothing).
 */

import { type ClientMachine, clientMachine } from "../core/client.js";
import { Do, type Effect, type StateChange } from "../core/effects.js";
import { ConnectionClosed, GaveUp, type HeartlineError, OutboxError, OutboxFull } from "../core/errors.js";
import { OutcomeUnknown, RequestTimeout, SubscriptionRefused } from "../core/errors.js";
import { type ClientCodec, INBOX, type Json } from "../core/frames.js";
import { checkChannel, checkName } from "../core/names.js";
import type { Kind } from "../core/outbox.js";
import { makePolicy, positives } from "../core/policy.js";
import type { Saved } from "../core/saved.js";
import type { State } from "../core/states.js";
import { native } from "../dialects/native.js";
import { detectPlatform } from "../platforms/detect.js";
import { type Arrival, makeBus } from "./bus.js";
import { type Journal, makeJournal, savedOf } from "./journal.js";
import { type Link, linkOf, messageOf } from "./link.js";
import type { RequestOptions, SendOptions } from "./connection.js";
import { encodeJson, type Options } from "./options.js";
import { instanceId, nothing, type Platform, proceed, systemTimers } from "./platform.js";
import { refusalOf } from "./refusals.js";
import { Receipt } from "./receipts.js";
import { Feed, type FeedOwner, placeOf, placeSince, type SubscribeOptions, Subscription } from "./subscription.js";
import { makeWaiting } from "./waiting.js";

/** A function for each effect, which takes what comes with it. */
type Carriers = { [E in Effect as E[0]]: E extends [unknown, ...infer Rest] ? (...rest: Rest) => void : never };

/** One connection's insides. */
export type Shell = ReturnType<typeof makeShell>;

/** Make them, and begin. */
export function makeShell(url: string, options: Options) {
  const { connectSocket, timers = systemTimers, store, login, random = Math.random, trace, dialect, codec = native } = options;
  const now = (): number => timers.now();
  const platform: Platform = options.platform || (connectSocket ? { connectSocket } : detectPlatform());
  const feeds = new Map<string, Feed>();
  const receipts = new Map<number, Receipt>();
  const links = new Map<number, Link>();
  const dirty = new Set<{ deliver(): void }>();
  const spoken = dialect && dialect.speak!(dialect, options); // made by `dialect` of heartline/dialects
  const policy = makePolicy(spoken ? spoken.options : options);
  let machine: ClientMachine | null = null; // while the store is being read
  let early: (() => void)[] = []; // what waits for it
  let unsent = 0; // messages among that
  let closing = false; // closed by the person before it was there
  let held = false;
  let last: StateChange | null = null;
  let restored: Receipt[] = [];
  let journal: Journal | null = null;
  let generation = 0;
  let gone: Promise<void> = Promise.resolve(); // the store may be loaded again
  let reserved = 0;
  let dialling = 0;
  let running = false;
  let delivering = false;
  let wakeAt = Infinity;
  let stopWake = nothing;
  let stopWatch = nothing;

  const tell = (what: string, details: object): void => {
    if (trace) trace(now(), what, details as Record<string, unknown>);
  };

  const bus = makeBus((arrival) => handled(arrival), tell);

  const report = (error: unknown): void => bus.report(error);

  const storageFailed = (error: unknown): void => {
    void Promise.resolve().then(() => report(new OutboxError(error))); // handlers may not be there yet
  };

  const state = (): State => (closing ? "closed" : machine ? machine.state() : "idle");

  /** Why nothing can be sent: closed or refused for good. A new error each time. */
  const refusal = (): HeartlineError | null => {
    const current = state();
    if (current === "closed") return new ConnectionClosed();
    if (current !== "refused") return null;
    return refusalOf(last!);
  };

  /** Why waiting makes no sense: as `refusal`, or nobody dials any more. */
  const deadEnd = (): HeartlineError | null => (state() === "gave up" ? new GaveUp(last!.reason) : refusal());

  const { after, until, look } = makeWaiting(timers, deadEnd);

  // the drain

  /** Carry out what the machine wants and hand over what came. Call it after every input. */
  const run = (): void => {
    if (running || !machine) return;
    running = true;
    try {
      do {
        for (let effects; (effects = machine.drain()).length; ) effects.forEach(carry);
      } while (journal && journal.flush());
    } finally {
      running = false;
    }
    arm();
    deliver();
    look();
  };

  /** Call when there is a machine: now, as a rule. */
  const ready = (call: (made: ClientMachine) => void): void => {
    if (machine) call(machine);
    else early.push(() => call(machine!));
    run();
  };

  /** Have the application's code called when the drain is done. */
  const wantDelivery = (lane: { deliver(): void }): void => {
    dirty.add(lane);
    if (!running && !delivering) void Promise.resolve().then(deliver);
  };

  const deliver = (): void => {
    if (delivering) return;
    delivering = true;
    for (const lane of dirty) {
      dirty.delete(lane);
      lane.deliver();
    }
    delivering = false;
  };

  const arm = (): void => {
    const at = machine!.nextDeadline();
    if (at >= wakeAt) return;
    stopWake();
    wakeAt = at;
    stopWake = after(at - now(), () => {
      wakeAt = Infinity;
      machine!.tick();
      run();
    });
  };

  // links

  const dial = (attempt: number): void => {
    tell("client.dial", { attempt });
    const dialler = machine!;
    dialling = attempt;
    const failed = (reason: string, fatal = false): void => {
      dialler.failed(attempt, reason, fatal);
      run();
    };
    getLogin(
      (payload) => {
        if (dialler !== machine || attempt !== dialling) return;
        try {
          const link = linkOf(platform.connectSocket(url, [...(spoken || codec).protocols]), {
            opened() {
              dialler.opened(attempt, payload);
              run();
            },
            received(data) {
              dialler.received(attempt, data);
              run();
            },
            ended(code, reason, opened) {
              links.delete(attempt);
              if (!opened) return failed(reason);
              dialler.lost(attempt, code, reason);
              run();
            },
          });
          links.set(attempt, link);
        } catch (error) {
          failed(messageOf(error), /^S(yntax|ecurity)Error$/.test((error as Error).name));
        }
      },
      (error) => failed(`login: ${messageOf(error)}`),
    );
  };

  const getLogin = (then: (payload: Json) => void, or: (error: unknown) => void): unknown =>
    proceed<Json>(() => (typeof login === "function" ? login() : login), then, or);

  // effects

  const keep = (key: string, value: unknown, after?: () => void): void => {
    if (journal) journal.put(key, value ? JSON.stringify(value) : null, after);
  };

  const put = (arrival: Arrival): void => {
    if (bus.put(arrival)) wantDelivery(bus.lane);
  };

  const changed = (change: StateChange): void => {
    last = change;
    tell("client.state", change);
    wantDelivery({ deliver: () => bus.emit("@state", change) });
    if (change.old === change.new) return;
    const over = change.new === "closed";
    if (over || change.new === "refused") endCalls();
    const error = deadEnd();
    if (error) receipts.forEach((receipt) => receipt.wake(error));
    if (over) feeds.forEach((feed) => feed.end(error!, false));
    if (over) feeds.clear();
  };

  /** Nothing can be sent any more: what was never written ends, and nobody waits for the reply of the rest. */
  const endCalls = (): void => {
    const error = refusal()!;
    for (const { n, written, kind } of machine!.outbox.messages.values()) {
      const receipt = receipts.get(n);
      if (kind === "call") {
        receipts.delete(n);
        if (receipt) receipt.fail(written ? new OutcomeUnknown(error.message) : error);
      }
      if (state() === "refused") machine!.withdraw(n); // one that is closed kept it, or ended it
    }
  };

  const carriers: Carriers = {
    [Do.DIAL]: dial,
    [Do.TRANSMIT](attempt, payload) {
      const link = links.get(attempt);
      if (link) link.send(payload);
    },
    [Do.DROP](attempt, code, reason) {
      const link = links.get(attempt);
      if (link) link.leave(code, reason);
      links.delete(attempt);
      if (attempt === dialling) dialling = 0;
    },
    [Do.PERSIST]({ n, kind, event, data, target, idempotent }, next) {
      const owner = machine!;
      if (next !== reserved) keep("n", (reserved = next));
      keep(`m${n}`, { n, kind, event, data, target, idempotent }, () => owner.persisted(n));
    },
    [Do.FORGET](n) {
      const owner = machine!;
      keep(`m${n}`, null, () => owner.forgotten(n));
    },
    [Do.REMEMBER](session, key) {
      const owner = machine!;
      keep("s", session && [session, key], () => owner.remembered(session));
    },
    [Do.MOVE_CURSOR]: (channel, epoch, offset) => keep(`c${channel}`, [epoch, offset]),
    [Do.FORGET_CURSOR]: (channel) => keep(`c${channel}`, null),
    [Do.SETTLE]({ n }, outcome, body, reason) {
      const receipt = receipts.get(n);
      receipts.delete(n);
      if (receipt) receipt.settle(outcome, body, reason);
    },
    [Do.ARRIVED](item, size) {
      const feed = feeds.get(item.channel);
      if (feed) feed.arrived({ item, size });
      else if (item.channel === INBOX) put({ item, size });
    },
    [Do.VOLATILE]: (channel, event, data) => put({ item: { kind: "volatile", channel, event, data }, size: 0 }),
    [Do.SUBSCRIBED](channel, epoch, offset, snapshot) {
      const feed = feeds.get(channel);
      if (feed) feed.subscribed({ epoch, offset }, snapshot);
    },
    [Do.UNSUBSCRIBED](channel, code, message) {
      const feed = feeds.get(channel);
      feeds.delete(channel);
      if (feed) feed.end(new SubscriptionRefused(channel, code, message), true);
    },
    [Do.RENEW]() {
      const owner = machine!;
      getLogin((payload) => {
        owner.login(payload);
        run();
      }, report);
    },
    [Do.STATE]: changed,
    [Do.KEEP]: (value) => keep("k", value),
    [Do.IGNORED]: () => tell("client.ignored", {}),
  };

  const carry = ([what, ...rest]: Effect): void => (carriers[what] as (...rest: unknown[]) => void)(...rest);

  // up

  /** See `Connection.send`. */
  const queue = (kind: Kind, event: string, data: unknown, target: string, { expires, delivery }: SendOptions): Receipt => {
    checkName(event, "event");
    const text = encodeJson("data", data);
    if (expires !== undefined) positives({ expires });
    const refused = refusal();
    if (refused) throw refused;
    const late = !machine;
    if (late && unsent++ >= policy.outbox.messages) throw new OutboxFull(--unsent, 0);
    const receipt = new Receipt(event, deadEnd);
    ready((there) => {
      unsent = 0;
      if (receipt.outcome) return; // taken back before the store was read
      try {
        const idempotent = delivery && delivery === "at_least_once";
        receipt.n = there.send(kind, event, text, { target, expiresIn: expires, idempotent });
        receipts.set(receipt.n, receipt);
      } catch (error) {
        if (!late) throw error;
        receipt.fail(error);
      }
    });
    return receipt;
  };

  /** See `Connection.request`. */
  const request = (event: string, data: unknown, { timeout = 30, delivery, channel = "" }: RequestOptions): Promise<any> =>
    new Promise((resolve, reject) => {
      if (timeout !== Infinity) positives({ timeout });
      const receipt = queue("call", event, data, channel, { delivery });
      const stop = after(timeout, () => {
        // Nobody waits for it any more: withdraw it if it was never written.
        const { n } = receipt;
        if (n !== null && !receipts.delete(n)) return;
        if (n === null || machine!.withdraw(n)) receipt.settle("expired", null, "not in time");
        else receipt.fail(new RequestTimeout("no reply in time", n));
        run();
      });
      receipt.wait(true).then(
        (reply) => (stop(), resolve(reply)),
        (error) => (stop(), reject(error)),
      );
    });

  // channels

  /** The application is done with an item. */
  const handled = ({ item, size }: Arrival): void => {
    if (item.kind === "volatile") return;
    const { epoch, offset } = placeOf(item);
    machine!.handled(item.channel, epoch, offset, size);
    run();
  };

  const owner: FeedOwner = {
    handled,
    wantDelivery,
    report,
    run,
    until,
    unfollow(feed) {
      const { channel } = feed;
      if (feeds.get(channel) !== feed) return;
      feeds.delete(channel);
      ready((made) => made.unsubscribe(channel));
    },
  };

  /** See `Connection.subscribe`. */
  const follow = <T>(channel: string, options: SubscribeOptions<T>): Subscription<T> => {
    checkChannel(channel);
    const place = placeSince(options.since);
    if (state() === "closed") throw refusal()!;
    let feed = feeds.get(channel);
    if (!feed) {
      const made = new Feed(channel, owner);
      feeds.set(channel, (feed = made));
      if (place && place[0] !== null) made.place = { epoch: place[0], offset: place[1] };
      const late = !machine;
      ready((there) => {
        if (feeds.get(channel) !== made) return;
        try {
          there.subscribe(channel, place, options.args);
        } catch (error) {
          feeds.delete(channel);
          if (!late) throw error;
          made.end(error as HeartlineError, true);
        }
      });
    } else if (place || channel[0] === "@") {
      throw new RangeError(`channel: ${channel} is followed already`);
    }
    return new Subscription<T>(feed, options);
  };

  // life

  /** Make a machine, out of what the store holds; that of a connection that was closed is over. */
  const begin = (): void => {
    const mine = ++generation;
    machine = last = null;
    closing = false;
    const made = (saved: Saved | null): void => {
      if (mine !== generation) return;
      const { name = "heartline-js", version } = options;
      const id = instanceId();
      const make = (spelling: ClientCodec): ClientMachine => clientMachine(policy, spelling, random, id, now, saved, { name, version });
      machine = spoken ? spoken.machine(make, id, now, saved ? saved.keep : undefined) : make(codec);
      reserved = 0;
      restored = [...machine.outbox.messages.values()].map(({ n, event, data }) => {
        const receipt = new Receipt(event, deadEnd, JSON.parse(data));
        receipt.n = n;
        receipts.set(n, receipt);
        return receipt;
      });
      early.splice(0).forEach((call) => call());
      if (closing) void close();
      else hold(held);
    };
    if (!store) return made(null);
    proceed(
      () => (mine > 1 ? gone.then(() => store.load()) : store.load()),
      (kept) => {
        journal = makeJournal(store, storageFailed, run);
        made(savedOf(kept, storageFailed));
      },
      (error) => {
        storageFailed(error);
        made(null);
      },
    );
  };

  /** Watch network and page while somebody holds the connection. */
  const watch = (): void => {
    stopWatch();
    stopWatch = (held && platform.watch && platform.watch(hint)) || nothing;
  };

  /** Somebody holds the connection, or nobody does. */
  const hold = (now: boolean): void => {
    held = now;
    watch();
    if (!machine) return;
    if (held) {
      machine.connect();
    } else {
      machine.rest();
    }
    run();
  };

  /** Leave at once and for good. Resolves when the store has kept what it was given. */
  const close = (end = false): Promise<void> => {
    held = false;
    closing = !machine;
    if (!machine) return gone;
    machine.close(end);
    watch();
    run();
    stopWake();
    wakeAt = Infinity;
    bus.lane.queue.length = 0;
    if (journal) gone = journal.idle().then(() => store!.close && store!.close());
    journal = null;
    return gone;
  };

  /** Something happened to network or page. Timers that are late are judged first. */
  const hint = (reason: string, back: boolean): void => {
    if (!machine) return;
    machine.tick();
    if (back || state() !== "waiting") machine.hint(reason);
    run();
  };

  begin();

  return {
    policy,
    until,
    bus,
    state,
    ready,
    queue,
    request,
    follow,
    begin,
    hold,
    close,
    hint,

    /** Messages that have no outcome yet. */
    pending: () => (machine ? machine.outbox.messages.size : unsent),

    /** Null while the store is being read. */
    machine: () => machine,

    /** Whether somebody holds the connection. */
    held: () => held,

    /** Receipts of what an earlier process left in the store. */
    restored: () => restored,
  };
}
