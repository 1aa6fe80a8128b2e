/** Servers of other wires than ours, as they are in the field: Node and `ws`, on a real port. */

import { createServer, type Server as NetServer, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

import { WebSocket, WebSocketServer } from "ws";

import { connect, type Connection, type Dialect, type Options } from "heartline";
import { Network } from "./network.js";

/** What a server does with a message of a client. */
export type Answer = (client: Client, message: any, text: string) => void;

/** One client of such a server. */
export class Client {
  /** What it said: values where it was JSON, else text. */
  readonly said: any[] = [];
  code = 0;

  constructor(
    readonly socket: WebSocket,
    readonly url: string,
    readonly headers: Readonly<Record<string, unknown>>,
  ) {}

  say(message: unknown): void {
    this.socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }
}

/** A server of one wire, which dies, comes back, and falls silent, as the test wants it. */
export class Foreign {
  readonly clients: Client[] = [];
  /** It accepts and answers nothing. */
  silent = false;
  /** It closes what it accepts, at once. */
  dropping = false;
  private _server: WebSocketServer | null = null;
  private _port = 0;

  constructor(private readonly _answer: Answer) {}

  static async start(answer: Answer): Promise<Foreign> {
    const server = new Foreign(answer);
    await server.begin();
    return server;
  }

  get url(): string {
    return `ws://127.0.0.1:${this._port}/`;
  }

  /** Clients whose socket is open. */
  get open(): Client[] {
    return this.clients.filter(({ socket }) => socket.readyState === WebSocket.OPEN);
  }

  get last(): Client {
    return this.clients[this.clients.length - 1]!;
  }

  /** All that all clients said, in order of clients. */
  get said(): any[] {
    return this.clients.flatMap(({ said }) => said);
  }

  /** Listen, on the port it had. */
  async begin(): Promise<void> {
    const server = new WebSocketServer({ port: this._port, host: "127.0.0.1" });
    this._server = server;
    server.on("connection", (socket, request) => {
      const client = new Client(socket, request.url!, request.headers);
      this.clients.push(client);
      socket.on("error", () => {});
      socket.on("close", (code) => (client.code = code));
      socket.on("message", (data) => {
        const text = data.toString();
        let message: unknown = text;
        try {
          message = JSON.parse(text);
        } catch {
          // text it is
        }
        client.said.push(message);
        if (!this.silent) this._answer(client, message, text);
      });
      if (this.dropping) socket.terminate();
    });
    await new Promise((resolve) => server.once("listening", resolve));
    this._port = (server.address() as AddressInfo).port;
  }

  /** Every link dies without a word. */
  cut(): void {
    for (const { socket } of this.clients) socket.terminate();
  }

  /** Gone, until `begin`. */
  async die(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this._server!.close(resolve));
  }
}

/** A port that accepts and then says nothing at all. */
export async function hole(): Promise<{ url: string; sockets: Set<Socket>; close(): void }> {
  const sockets = new Set<Socket>();
  const server: NetServer = createServer((socket) => {
    sockets.add(socket);
    socket.resume();
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `ws://127.0.0.1:${port}/`,
    sockets,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** One test's connections and servers; all are closed behind it. */
export class Bench {
  readonly network = new Network();
  readonly errors: unknown[] = [];
  private readonly _ends: (() => unknown)[] = [];

  async server(answer: Answer): Promise<Foreign> {
    const server = await Foreign.start(answer);
    this._ends.push(() => server.die());
    return server;
  }

  /** Connect quickly: beats and waits are a fraction of what the dialect says. */
  connect(url: string, dialect: Dialect, more: Options = {}): Connection {
    const conn = connect(url, {
      dialect,
      connectSocket: this.network.connectSocket,
      heartbeat: { interval: 0.2, timeout: 0.1 },
      backOff: { base: 0.05, cap: 0.1 },
      ...more,
      on: { "@error": (error) => this.errors.push(error), "@gap": () => {}, ...more.on },
    });
    this._ends.push(() => conn.close());
    return conn;
  }

  onEnd(end: () => unknown): void {
    this._ends.push(end);
  }

  async end(): Promise<void> {
    for (const end of this._ends.splice(0).reverse()) await end();
  }
}

/** Wait for something to be so; fails after a while. */
export async function until(met: () => unknown, what = String(met), within = 4): Promise<void> {
  const last = Date.now() + within * 1000;
  while (!met()) {
    if (Date.now() > last) throw new Error(`never so: ${what}`);
    await pause(0.005);
  }
}

/** Let real time pass, where what must not happen has to be given the chance. */
export function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

// the wires

/** S0: text ping and pong; whatever else comes goes back to all. */
export const heartServer: Answer = (client, _message, text) => client.say(text === "ping" ? "pong" : `you said ${text}`);

/** S2: both kinds of messages are echoed. */
export const echoServer: Answer = (client, message) => {
  if (message && ["message", "heart_beat"].includes(message.ModeCode)) client.say(message);
};

/** S1: an identity is acknowledged once, bindings are stored by card, beats go unanswered. */
export function cardServer(bindings: Map<string, unknown>): Answer {
  return (client, message) => {
    if (message.type === "heartBeat") return;
    if (message.type === "bindCard") {
      bindings.set(message.cardId, message);
      client.say({ type: "bindCard_ack", cardId: message.cardId });
    } else if (message.token === "wrong") {
      client.say({ code: "403", success: false, msgType: "auth_ack", msg: "who are you" });
    } else {
      client.say({ code: "200", success: true, msgType: "auth_ack" });
    }
  };
}

/** S3: who subscribes gets positions; beats go unanswered. */
export const tradesServer: Answer = (client, message) => {
  if (message.type === "subscribe") client.say({ Code: 200, data: [{ id: message.id }] });
};

/** S4: operators. */
export function communityServer(): Answer & { posts: any[]; banned: boolean } {
  const posts: any[] = [];
  const answer: Answer = (client, message) => {
    switch (message.Operator) {
      case "Heart":
        return client.say({ Operator: "HeartOK" });
      case "userLogin":
        if (server.banned) return client.say({ Operator: "BanLogin" });
        if (message.userCode === "bad") return client.say({ Operator: "LoginError", msg: "no such code" });
        return client.say({ Operator: "LoginOK", openId: message.userOpenId ?? `open-${message.userCode}` });
      case "CreateInvitation":
        return void posts.push(message);
      case "GetInvitation":
        return client.say({ Operator: "GetInvitationOK", data: [message.id], serverTime: 1 });
      case "CreateInvitationComment":
        return client.say({ Operator: "CreateInvitationCommentOK", data: message.text });
      case "LoveInvitation":
        return client.say({ Operator: "LoveInvitationOK" });
    }
  };
  const server = Object.assign(answer, { posts, banned: false });
  return server;
}
