/**
 * A heartline.1 server to the client machine, a client of its own kind to a foreign server (protocol/DIALECTS.md §4).
 *
 * It lives over all links of one connection. Give it the machine's frames (`up`), what the socket brings (`heard`), the
 * end of a link (`lost`), and call `tick` at `nextDeadline()`.
 *
 * - beats keep the dialect's own time, and nothing of one link is said on the next (vectors: client-*.json);
 * - what was written and not confirmed is said again or never, as its delivery says (vectors: client-*.json);
 * - where a server numbers and keeps nothing, gaps say that something may be missing (vectors: client-*.json);
 * - whatever a server says throws nothing (test: rubbish on the wire).
 */

import { type Cursor, type DownFrame, type Hello, INBOX, type Json, type Place, type UpFrame } from "../core/frames.js";
import type { Kind } from "../core/outbox.js";
import { dataOf, failureOf, nameOf, present } from "./answers.js";
import { type Form, type Found, type Heard, match, read, say, uses, type Vars } from "./forms.js";
import { makeLogs } from "./logs.js";
import type { Delivery, Dialect, Request, Send, Subscribe } from "./spec.js";

/** What is done for it, at once. */
export interface Host {
  /** Write this message to the link. */
  write(text: string): void;
  /** Give the machine this frame, as if its server had sent it. The machine does not answer before this input is over. */
  down(frame: DownFrame): void;
  /** Leave the link, whose other end is gone. */
  leave(reason: string): void;
  /** Ping as RFC 6455 has it, where that is possible; tell `pong` when it is answered. */
  ping?(payload: string): void;
}

/** Of message n: whether it may be said again, and its channel. */
export type Note = (n: number) => [again: boolean, channel: string];

export type Translator = ReturnType<typeof makeTranslator>;

const LONGEST_WAIT = 30;
const DAY = 86400;
/** Seconds for which a probe that is out serves for a ping of the machine. */
const FRESH = 1;
/** Seconds after which one is said to confirm messages. */
const CONFIRM_AFTER = 0.1;
const MOST_OUT = 8;
const MOST_EARLY = 1000;
const NOTHING = "there is nothing to say";

const enum Stage {
  NONE,
  LOGIN,
  OPEN,
}

/** What was said and has to be answered; `mark`: the last message before it; `t`: the machine's ping. */
interface Probe {
  readonly id: number;
  readonly at: number;
  readonly mark: number;
  t: number | string | undefined;
}

/** A message the machine may still ask about. */
interface Message {
  readonly n: number;
  readonly again: boolean;
  readonly part: Send | Request;
  known: Found;
  mark: number;
  due: number;
  outcome?: DownFrame;
}

/** Where a subscription stands; one that the server ended is asked for again when it is due. */
const enum Followed {
  ENDED,
  ASKED,
  ON,
}

interface Follow {
  readonly r: number;
  readonly channel: string;
  at: Place | undefined;
  readonly known: Found;
  stage: Followed;
  due: number;
  saidAgain: boolean;
  tries: number;
}

/**
 * One connection's translator. `epoch` names this process's count of offsets, and its made-up session; `wall` gives the
 * milliseconds since 1970, `now` the seconds of the connection's clock.
 */
export function makeTranslator(
  dialect: Dialect,
  params: Vars,
  epoch: string,
  note: Note,
  now: () => number,
  wall: () => number,
  { write, down, leave, ping: pingOut }: Host,
) {
  const { beat, login, subscribe, events = [], opening = [], request } = dialect;
  const { items, stale_after: staleAfter } = subscribe || ({} as Subscribe);
  const { interval = beat ? 25 : DAY, timeout = beat ? 10 : DAY, by, say: beatForm, answer, quiet } = beat || {};
  const byServer = by === "server";
  const says = !byServer && beatForm !== undefined;
  const beats = says && answer !== undefined;
  const proves = beats || (!!pingOut && !!beat && beat.probe !== false);
  const param = Object.assign({}, dialect.params, params);
  const args = new Map<string, Json>();
  let keep: Readonly<Record<string, Json>> = {};
  let lastId = 0;
  // this link
  let stage = Stage.NONE;
  let resumed = false;
  let floor = 1;
  let cursors: Cursor[] = [];
  const early: Heard[] = [];
  // messages
  const messages = new Map<number, Message>();
  const waiting: Message[] = [];
  const unproven: Message[] = [];
  let highest = 0;
  let mark = 0;
  // channels
  const follows = new Map<string, Follow>();
  const leaving: Found[] = [];
  // the heartbeat
  const out: Probe[] = [];
  let due = Infinity;
  let confirm = Infinity;
  let silent = Infinity;
  let late = false;

  // saying and hearing

  /** Values for a form that is said; null counts as absent. */
  const values = (more: Found): Found =>
    Object.assign({}, dialect.defaults, { param, keep, now_ms: wall() }, present(more));

  /** Whether there was anything to say. Throws TypeError for data that cannot be said so. */
  const speak = (form: Form, more: Found = { id: ++lastId }): boolean => {
    const text = form === undefined ? form : say(form, values(more));
    if (text !== undefined) write(text as string);
    return text !== undefined;
  };

  /** As `speak`: what is wrong, "" where it was said. */
  const trySpeak = (form: Form, more: Found): string => {
    try {
      return speak(form, more) ? "" : NOTHING;
    } catch (error) {
      return (error as Error).message;
    }
  };

  const hear = (form: Form, heard: Heard, known?: Found): Found | null =>
    form === undefined || form === null ? null : match(form, heard, Object.assign({ param }, known));

  const logs = makeLogs(epoch, down);
  const inbox = logs.of(INBOX);

  // the login

  const begin = ({ session, floor: least, cursors: wanted = [], login: payload }: Hello): void => {
    lost();
    resumed = session === epoch;
    if (!resumed) {
      messages.clear();
      highest = 0;
    }
    floor = least;
    forgetBelow();
    cursors = wanted;
    stage = Stage.LOGIN;
    listen();
    if (says) due = beat!.first ? now() : now() + interval;
    const given = login && ((payload !== null && payload !== undefined) || !uses(login.say, "login"));
    const wrong = given ? trySpeak(login!.say, { login: payload, id: ++lastId }) : NOTHING;
    if (wrong && wrong !== NOTHING) refuse("login_refused", `login: ${wrong}`, false);
    if (wrong || login!.ok === undefined) welcome();
    tickBeat();
  };

  const refuse = (code: string, message: string, retry: number | false): void => {
    stage = Stage.NONE;
    down(["refused", { code, message, retry }]);
  };

  /** Whether a verdict on the login is awaited. It is carried out; what comes before it is kept for later. */
  const judged = (heard: Heard): boolean => {
    if (stage === Stage.OPEN) return false;
    const { ok, later, refused, banned } = login!;
    const accepted = hear(ok, heard);
    if (accepted) {
      if (accepted.keep) keep = Object.assign({}, keep, accepted.keep);
      welcome();
      return true;
    }
    for (const [verdict, forms = []] of [
      ["later", later],
      ["login_refused", refused],
      ["banned", banned],
    ] as const) {
      for (const form of forms) {
        const found = hear(form, heard);
        if (!found) continue;
        const { code, message } = failureOf(found, "");
        const why = message && code ? `${message} (${code})` : message || code;
        if (verdict !== "later") refuse(verdict, why, false);
        else refuse(code || verdict, why, found.retry > 0 ? Math.min(found.retry, DAY) : 0);
        return true;
      }
    }
    if (early.length < MOST_EARLY) early.push(heard);
    return true;
  };

  const welcome = (): void => {
    if (!stage) return;
    stage = Stage.OPEN;
    const [, , place] = cursors.find(([, channel]) => channel === INBOX) || [];
    logs.resume(inbox, place);
    down([
      "welcome",
      {
        session: epoch,
        resumed,
        received: resumed ? Math.min(floor - 1, highest) : 0,
        heartbeat: { interval, timeout },
        limits: logs.limits,
        inbox: { epoch, offset: inbox.offset },
        key: resumed ? null : "-",
        expires_in: null,
        time: 0,
        server: "",
      },
    ]);
    if (resumed && inbox.offset) logs.gap(inbox);
    for (const form of opening) speak(form);
    for (const [r, channel, at] of cursors) if (channel !== INBOX) follow(r, channel, at);
    const kept = early.splice(0);
    for (const heard of kept) take(heard);
    if (kept.length === MOST_EARLY) logs.gap(inbox);
  };

  /** Hear one message; whether it was understood. */
  const take = (heard: Heard): boolean => {
    if (heardBeat(heard) || judged(heard) || heardOfFollows(heard) || answered(true, heard)) return true;
    return [answered(false, heard), heardItems(heard), heardEvent(heard)].includes(true);
  };

  // the heartbeat

  /** Something came: what only shows that it is quiet begins anew. */
  const listen = (): void => {
    if (byServer) silent = now() + interval + timeout;
    if (quiet && says) due = now() + interval;
    late = false;
  };

  const heardBeat = (heard: Heard): boolean => {
    if (byServer) {
      const found = hear(beatForm, heard);
      return !!found && (speak(answer, found), true);
    }
    if (!hear(answer, heard)) return false;
    if (beat!.after_answer) due = now() + interval;
    probed(({ id }) => hear(answer, heard, { id }));
    return true;
  };

  /** One of the probes that are out was answered: what was said before it has arrived. */
  const probed = (which: (probe: Probe) => unknown): void => {
    const i = out.findIndex(which);
    if (i < 0) return;
    const { mark: before, t } = out.splice(0, i + 1)[i]!;
    while (unproven.length && unproven[0]!.mark <= before) settle(unproven.shift()!, "reply", null);
    if (unproven.length && !out.length) confirmSoon();
    if (t !== undefined) down(["pong", t]);
  };

  const confirmSoon = (): void => {
    confirm = Math.min(confirm, now() + CONFIRM_AFTER);
  };

  /** The machine wants to know whether the other end is there. Where nothing can show that, nobody is declared dead. */
  const ping = (t: number | string): void => {
    const last = out[out.length - 1];
    if (!proves) down(["pong", t]);
    else if (!last || (last.t !== t && (last.t !== undefined || now() - last.at >= FRESH))) probe(t);
    else last.t = t;
  };

  const probe = (t?: number | string): void => {
    const id = ++lastId;
    if (out.push({ id, at: now(), mark, t }) > MOST_OUT) out.shift();
    if (beats) speak(beatForm, { id });
    else pingOut!(`${id}`);
  };

  const tickBeat = (): void => {
    if (confirm <= now()) {
      confirm = Infinity;
      if (!out.length) probe();
    }
    if (due <= now()) {
      if (beat!.after_answer) due = now() + interval + timeout;
      else due = (now() - due < interval ? due : now()) + interval;
      if (beats) probe();
      else speak(beatForm);
    }
    const over = now() - silent;
    if (over >= 0) {
      silent = now() + timeout;
      if (late || over <= Math.max(1, timeout / 2)) {
        silent = Infinity;
        leave("nothing was heard from the server");
      }
      late = true;
    }
  };

  // messages

  const forgetBelow = (): void => {
    for (const n of messages.keys()) if (n < floor) messages.delete(n);
  };

  const partOf = (kind: Kind): Send | Request | null | undefined => (kind === "call" ? request : dialect.send);

  /** Say a message, or tell what became of it. */
  const send = (kind: Kind, n: number, channel: string, event: string, data: Json): void => {
    let message = messages.get(n)!;
    if (!message) {
      const part = partOf(kind)!;
      const [again, target] = note(n);
      const known = { event, data, channel: channel || target || null };
      message = { n, again, part, known, mark: 0, due: Infinity };
      if (!part) return fail(message, "unspelt", "this dialect has no such message");
      messages.set(n, message);
    } else if (message.outcome) {
      return down(message.outcome);
    } else if (!message.again) {
      return fail(message, "unknown", "its link ended before anything confirmed it");
    }
    const { part, again } = message;
    const followed = follows.get(message.known.channel);
    message.known = present(Object.assign(message.known, { id: ++lastId, sub: followed && followed.known.id }));
    highest = Math.max(highest, n);
    const wrong = trySpeak(part.say, message.known);
    if (wrong) return fail(message, "invalid", wrong);
    message.mark = ++mark;
    const { ok, within = 30 } = part as Send;
    if (ok !== undefined) {
      if (!again && part !== request) message.due = now() + within;
      waiting.push(message);
    } else if (again && proves) {
      unproven.push(message);
      confirmSoon();
    } else {
      settle(message, "reply", null);
    }
  };

  /** Whether this message answers a request, or confirms or refuses another message; then that is settled. */
  const answered = (calls: boolean, heard: Heard): boolean =>
    waiting.some((message, i) => {
      const { part, known } = message;
      if ((part === request) !== calls) return false;
      const found = hear(part.ok, heard, known);
      const refused = found || hear(part.no, heard, known);
      if (!refused) return false;
      waiting.splice(i, 1);
      if (found) settle(message, "reply", calls ? dataOf(part.ok, "reply", found, heard) : null);
      else settle(message, "fail", failureOf(refused));
      return true;
    });

  const fail = (message: Message, code: string, why: string): void => settle(message, "fail", { code, message: why });

  const settle = (message: Message, kind: "reply" | "fail", body: any): void => {
    if (!message.outcome) down((message.outcome = [kind, message.n, body]));
  };

  // channels

  const follow = (r: number, channel: string, at: Place | undefined): void => {
    const known = present({ channel, args: args.get(channel) });
    const one = { r, channel, at, known, stage: Followed.ASKED, due: Infinity, saidAgain: false, tries: 0 };
    logs.resume(logs.of(channel), at);
    follows.set(channel, one);
    ask(one);
  };

  const ask = (one: Follow): void => {
    if (!subscribe) return deny(one, { code: "unspelt", message: "this dialect has no subscriptions" });
    one.known.id = one.known.sub = ++lastId;
    one.stage = Followed.ASKED;
    one.due = now() + (staleAfter || Infinity);
    const wrong = trySpeak(subscribe.say, one.known);
    if (wrong) return deny(one, { code: "invalid", message: wrong });
    if (subscribe.ok === undefined) grant(one);
  };

  /** The server follows it; what came between the last link and this one is missing. */
  const grant = (one: Follow, state?: Json): void => {
    const { r, channel, at } = one;
    const log = logs.of(channel);
    const ok = { epoch, offset: log.offset, expires_in: null };
    one.stage = Followed.ON;
    down(["ok", r, state === undefined ? ok : Object.assign(ok, { state })]);
    if (at) logs.gap(log, at[0] === null || at[0] === epoch ? at[1] : 0);
  };

  const deny = ({ r, channel }: Follow, why: { code: string; message: string }): void => {
    follows.delete(channel);
    down(["no", r, why]);
  };

  const unfollow = (channel: string): void => {
    const one = follows.get(channel);
    follows.delete(channel);
    if (!one || !one.stage || subscribe!.leave === undefined) return;
    one.known.id = ++lastId;
    speak(subscribe!.leave, one.known);
    leaving.push(one.known);
  };

  /** Whether this message is about a subscription, and no item of one; then it is dealt with. */
  const heardOfFollows = (heard: Heard): boolean => {
    if (!subscribe) return false;
    const i = leaving.findIndex((known) => hear(subscribe.left, heard, known));
    if (i >= 0) return !!leaving.splice(i, 1);
    return [...follows.values()].some((one) => {
      const { known, stage: before } = one;
      if (!before) return false;
      const granted = hear(subscribe.ok, heard, known);
      const refused = granted || hear(subscribe.no, heard, known);
      if (granted) {
        if (before === Followed.ASKED) grant(one, granted.reply);
      } else if (refused) {
        const { code, message } = failureOf(Object.assign({ why: refused.error }, refused));
        deny(one, { code, message });
      } else {
        if (!hear(subscribe.ended, heard, known)) return false;
        one.stage = Followed.ENDED;
        one.due = now() + Math.min(2 ** one.tries++, LONGEST_WAIT);
      }
      return true;
    });
  };

  /** Hand an item to every subscription that it belongs to; whether there was one. */
  const heardItems = (heard: Heard): boolean => {
    let ours = false;
    for (const one of follows.values()) {
      const found = one.stage ? hear(items, heard, one.known) : null;
      if (!found) continue;
      ours = true;
      if (one.stage === Followed.ASKED) grant(one);
      one.tries = 0;
      one.saidAgain = false;
      if (staleAfter) one.due = now() + staleAfter;
      const name = nameOf(found.event === undefined ? "message" : found.event);
      if (name) logs.hand(logs.of(one.channel), name, dataOf(items, "data", found, heard), heard);
    }
    return ours;
  };

  const heardEvent = (heard: Heard): boolean =>
    events.some(({ match: form, name }) => {
      const found = hear(form, heard);
      const event = found && nameOf(name || found.event);
      if (event) logs.hand(inbox, event, dataOf(form, "data", found!, heard), heard);
      return event;
    });

  /** Ask again for what was ended, or has not come. */
  const tickFollows = (): void => {
    for (const one of [...follows.values()]) {
      if (one.due > now()) continue;
      if (one.stage) {
        if (one.saidAgain) {
          one.due = Infinity;
          return leave(`no data for '${one.channel}'`);
        }
        one.saidAgain = true;
      }
      one.at = [epoch, logs.of(one.channel).offset];
      ask(one);
    }
  };

  /** The link is gone, or was left. */
  const lost = (): void => {
    stage = Stage.NONE;
    due = confirm = silent = Infinity;
    mark = 0;
    follows.clear();
    for (const list of [out, waiting, unproven, leaving, early]) list.length = 0;
  };

  const check = (form: Form, given: Found): void => {
    if (say(form, values(Object.assign({ id: 1, sub: 1 }, given))) === undefined) throw new TypeError(NOTHING);
  };

  const spelt = <T>(part: T | null | undefined, what: string): T => {
    if (part) return part;
    throw new TypeError(`the dialect '${dialect.name}' spells no ${what}`);
  };

  return {
    lost,

    /** What `$keep` stands for. */
    kept: () => keep,

    restore(kept: Readonly<Record<string, Json>>): void {
      keep = kept;
    },

    nextDeadline: (): number =>
      stage ? Math.min(due, confirm, silent, ...[...waiting, ...follows.values()].map((one) => one.due)) : Infinity,

    /** How messages of a kind are delivered. Throws TypeError where the dialect cannot spell this one. */
    check(kind: Kind, event: string, data: Json, channel: string): Delivery | undefined {
      const part = spelt(partOf(kind), kind);
      if (uses(part.say, "channel") === !channel) throw new TypeError(`channel: there is ${channel ? "none" : "one"} in this dialect`);
      check(part.say, { event, data, channel });
      return part.delivery;
    },

    /** What a channel is subscribed with. Throws TypeError where the dialect cannot spell it. */
    follow(channel: string, given: Json): void {
      check(spelt(subscribe, "sub").say, { channel, args: given });
      args.set(channel, given);
    },

    /** One frame of the machine. A hello begins a link. */
    up(frame: UpFrame): void {
      if (frame[0] === "hello") return begin(frame[1]);
      if (stage !== Stage.OPEN) return;
      switch (frame[0]) {
        case "call":
        case "send":
          return send(frame[0], frame[1], "", frame[2], frame[3]);
        case "pub":
          return send(...frame);
        case "ping":
          return ping(frame[1]);
        case "at":
          return logs.handled(logs.of(frame[1]), frame[2]);
        case "settled":
          floor = frame[1];
          return forgetBelow();
        case "sub":
          return follow(frame[1], frame[2], frame[3]);
        case "unsub":
          unfollow(frame[2]);
      }
    },

    /** One message of the server; whether it was understood. */
    heard(text: string): boolean {
      if (!stage) return true;
      listen();
      return take(read(text));
    },

    /** The pong to a ping that was asked for. */
    pong(payload: string): void {
      if (!stage) return;
      listen();
      if (!beats) probed(({ id }) => payload === `${id}`);
    },

    /** Do what is due. */
    tick(): void {
      if (!stage) return;
      for (const message of waiting.filter((one) => one.due <= now())) {
        waiting.splice(waiting.indexOf(message), 1);
        fail(message, "unknown", "nothing confirmed it in time");
      }
      tickFollows();
      tickBeat();
    },

    /** The link is about to be closed on purpose. */
    goodbye(): void {
      if (stage === Stage.OPEN) speak(dialect.goodbye);
    },

    /** Nobody waits for the reply to message n any more: it is settled, but keeps its place. */
    forget(n: number): void {
      const message = messages.get(n);
      if (message && message.part === request) fail(message, "unknown", "no reply in time");
    },
  };
}
