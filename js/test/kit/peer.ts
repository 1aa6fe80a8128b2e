/** A foreign server whose faults a test chooses. It speaks what the test says, on a port that stays the same. */

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";

import { type WebSocket, WebSocketServer } from "ws";

/** One message, on the link with this number, after so many seconds. */
export interface Said {
  readonly link: number;
  readonly text: string;
  readonly at: number;
}

export class Peer {
  /** What it does with a new link: take it, refuse it, take it and drop it, or say nothing at all. */
  mode: "take" | "refuse" | "drop" | "hang" = "take";
  /** Called for each message. */
  answer: (socket: WebSocket, text: string) => void = () => {};
  /** Called for each link that was taken. */
  greet: (socket: WebSocket) => void = () => {};
  readonly said: Said[] = [];
  readonly paths: string[] = [];
  readonly closes: { link: number; code: number }[] = [];
  /** Links that were asked for. */
  asked = 0;
  private _links = 0;
  private readonly _began = Date.now();
  private readonly _hanging: (() => void)[] = [];
  private readonly _streams = new Set<Duplex>();
  private readonly _sockets = new WebSocketServer({ noServer: true });
  private readonly _server: Server = createServer((_, response) => response.writeHead(404).end());

  private constructor() {
    this._server.on("upgrade", (request, stream, head) => this._upgrade(request, stream, head));
  }

  /** A running one. */
  static async start(): Promise<Peer> {
    const peer = new Peer();
    await new Promise<void>((resolve) => peer._server.listen(0, "127.0.0.1", () => resolve()));
    return peer;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this._server.address() as AddressInfo).port}/`;
  }

  /** Links that are open now. */
  get open(): WebSocket[] {
    return [...this._sockets.clients].filter((socket) => socket.readyState === 1);
  }

  /** All texts that were heard, without some. */
  texts(without = ""): string[] {
    return this.said.map(({ text }) => text).filter((text) => text !== without);
  }

  /** Say something on every link. */
  say(text: string): void {
    for (const socket of this.open) socket.send(text);
  }

  /** What hung is answered now. */
  unhang(): void {
    for (const take of this._hanging.splice(0)) take();
  }

  /** Every link dies without a word. */
  cut(): void {
    for (const socket of this._sockets.clients) socket.terminate();
  }

  stop(): void {
    this.cut();
    this._streams.forEach((stream) => stream.destroy());
    this._server.close();
  }

  private _upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    this.asked++;
    stream.on("error", () => {});
    this._streams.add(stream);
    stream.once("close", () => this._streams.delete(stream));
    const take = (): void => {
      if (!stream.destroyed) this._sockets.handleUpgrade(request, stream, head, (socket) => this._take(socket, request.url ?? ""));
    };
    if (this.mode === "refuse") stream.destroy();
    else if (this.mode === "hang") this._hanging.push(take);
    else take();
  }

  private _take(socket: WebSocket, path: string): void {
    const link = ++this._links;
    this.paths.push(path);
    socket.on("error", () => {});
    socket.on("close", (code) => this.closes.push({ link, code }));
    socket.on("message", (data) => {
      const text = String(data);
      this.said.push({ link, text, at: (Date.now() - this._began) / 1000 });
      this.answer(socket, text);
    });
    if (this.mode === "drop") socket.terminate();
    else this.greet(socket);
  }
}
