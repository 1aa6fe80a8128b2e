/** A network without wires and a clock without time, for tests of the shell. */

import { connect, type Connection, type Options, type SmallSocket } from "heartline";
import { ManualTimers } from "heartline/testing";

type Frame = [kind: string, ...rest: any[]];

/** A socket whose other end the test is. */
export class FakeSocket implements SmallSocket {
  onopen: SmallSocket["onopen"] = null;
  onmessage: SmallSocket["onmessage"] = null;
  onclose: SmallSocket["onclose"] = null;
  onerror: SmallSocket["onerror"] = null;
  readonly sent: Frame[] = [];
  closed: { code: number | undefined; reason: string | undefined } | null = null;
  closes = 0;
  broken = false;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {}

  send(text: string): void {
    if (this.broken) throw new Error("broken");
    this.sent.push(JSON.parse(text));
  }

  close(code?: number, reason?: string): void {
    this.closes++;
    this.closed ??= { code, reason };
  }

  open(): this {
    this.onopen?.({});
    return this;
  }

  say(...frames: Frame[]): void {
    for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
  }

  /** Answer hello. */
  welcome(more: Record<string, unknown> = {}): this {
    const heartbeat = { interval: 25, timeout: 10 };
    const limits = { message: 1 << 20, window: 256, window_bytes: 1 << 20, credit: 512, credit_bytes: 1 << 18, subscriptions: 9 };
    const inbox = { epoch: "i", offset: 0 };
    this.say(["welcome", { session: "s", resumed: false, key: "k", received: 0, heartbeat, limits, inbox, ...more }]);
    return this;
  }

  /** Open and answer hello. */
  accept(more: Record<string, unknown> = {}): this {
    return this.open().welcome(more);
  }

  /** The link ends. */
  lose(code = 1006): void {
    this.onclose?.({ code, reason: "" });
  }

  /** What was said, without hello. */
  get said(): Frame[] {
    return this.sent.filter(([kind]) => kind !== "hello");
  }
}

/** Timers, sockets and connections of one test. */
export class World {
  readonly timers = new ManualTimers();
  readonly sockets: FakeSocket[] = [];
  readonly errors: unknown[] = [];

  readonly connectSocket = (url: string, protocols: string[]): FakeSocket => {
    const socket = new FakeSocket(url, protocols);
    this.sockets.push(socket);
    return socket;
  };

  get last(): FakeSocket {
    return this.sockets[this.sockets.length - 1]!;
  }

  options(more: Options = {}): Options {
    return {
      connectSocket: this.connectSocket,
      timers: this.timers,
      random: () => 0.5,
      ...more,
      on: { "@error": (error) => this.errors.push(error), ...more.on },
    };
  }

  connect(more: Options = {}): Connection {
    return connect("ws://host/", this.options(more));
  }
}

/** Let promises go on. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}
