/** Real sockets to a real server, which tests cut, freeze and refuse. */

import { WebSocket } from "ws";

import type { SmallSocket } from "heartline";

/** Between client and server. */
export class Network {
  dials = 0;
  refusing = false;
  private _frozen = false;
  private readonly _links = new Set<Wire>();

  readonly connectSocket = (url: string, protocols: string[]): SmallSocket => {
    this.dials++;
    const wire = new Wire(this.refusing ? "ws://127.0.0.1:9" : url, protocols);
    wire.frozen = this._frozen;
    this._links.add(wire);
    wire.socket.once("close", () => this._links.delete(wire));
    return wire;
  };

  /** Open sockets. */
  get open(): number {
    return [...this._links].filter((wire) => wire.socket.readyState === WebSocket.OPEN).length;
  }

  /** Every link dies, and both sides hear of it. */
  cut(): void {
    for (const wire of this._links) wire.socket.terminate();
  }

  /** Nothing passes any more on the links there are, and nobody is told. */
  freeze(): void {
    for (const wire of this._links) wire.frozen = true;
  }
}

class Wire implements SmallSocket {
  onopen: SmallSocket["onopen"] = null;
  onmessage: SmallSocket["onmessage"] = null;
  onclose: SmallSocket["onclose"] = null;
  onerror: SmallSocket["onerror"] = null;
  frozen = false;
  readonly socket: WebSocket;

  constructor(url: string, protocols: string[]) {
    this.socket = new WebSocket(url, protocols);
    this.socket.onopen = () => this.frozen || this.onopen?.({});
    this.socket.onmessage = ({ data }) => this.frozen || this.onmessage?.({ data });
    this.socket.onerror = ({ message }) => this.frozen || this.onerror?.({ message });
    this.socket.onclose = ({ code, reason }) => this.frozen || this.onclose?.({ code, reason });
  }

  send(text: string): void {
    if (!this.frozen) this.socket.send(text);
  }

  /** A frozen link does not even close: its end is reported a minute later, if at all. */
  close(code?: number, reason?: string): void {
    if (!this.frozen) this.socket.close(code, reason);
  }
}
