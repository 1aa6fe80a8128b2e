/**
 * The sockets of a mini program, as bad as devices have them.
 *
 * - no more than so many at once: one above fails (test: a sixth socket fails);
 * - a dial that fails says so by an error and never closes (test: a failed dial gives an error alone);
 * - a close while connecting is ignored (test: a close while connecting is ignored);
 * - what the system cut is told late, as 1006 "interrupted" (test: the background cuts sockets);
 * - a link may end with an error and no close (test: an error without a close ends a link);
 * - a task has no way to remove a listener, and binary comes as ArrayBuffer (test: tasks are as poor as the real ones).
 */

type Listener = (event: any) => void;
type Callbacks = { success?: Listener; fail?: Listener; complete?: Listener };

/** What is used of a WebSocket class: the browser's, Node's own, or that of the package `ws`. */
export type WebSocketClass = new (url: string, protocols?: string[]) => any;

/** What the sockets need of their host. */
export interface SocketHost {
  /** Call into the application, now or when it is running again. */
  post(call: () => void, late?: number): void;
  readonly WebSocket: WebSocketClass;
  readonly strict: boolean;
  readonly most: number;
  readonly lateClose: number;
  resolve(url: string): string;
}

/** All sockets of one host. */
export class Sockets {
  /** How many dials there were. */
  dials = 0;
  private readonly _open = new Set<Task>();

  constructor(private readonly _host: SocketHost) {}

  /** Sockets that count against the limit. */
  get count(): number {
    return this._open.size;
  }

  /** `wx.connectSocket`. */
  connect(options: { url: string; protocols?: string[] } & Callbacks): object {
    const host = this._host;
    const refuse = (why: string): object => {
      const error = { errMsg: `connectSocket:fail ${why}` };
      host.post(() => (options.fail?.(error), options.complete?.(error)));
      return new Task(host, null, () => {}).api;
    };
    this.dials++;
    if (host.strict && !/^wss:/i.test(options.url)) return refuse("url not in domain list");
    if (this._open.size >= host.most) return refuse("exceed max socket connection");
    let socket: any;
    try {
      socket = new host.WebSocket(host.resolve(options.url), options.protocols ?? []);
    } catch (error) {
      return refuse(String(error));
    }
    const task = new Task(host, socket, () => this._open.delete(task));
    this._open.add(task);
    const accepted = { errMsg: "connectSocket:ok" };
    host.post(() => (options.success?.(accepted), options.complete?.(accepted)));
    return task.api;
  }

  /** The system cuts all of them; the application hears of it late. */
  cut(tell: boolean): void {
    for (const task of this._open) task.cut(tell);
    this._open.clear();
  }

  /** Each ends with an error, and no close follows. */
  fail(): void {
    for (const task of this._open) task.fail();
    this._open.clear();
  }

  /** Nothing passes any more, and nobody is told. */
  freeze(): void {
    for (const task of this._open) task.frozen = true;
  }
}

class Task {
  frozen = false;
  private _over = false;
  private readonly _listeners: Record<string, Listener[]> = { open: [], message: [], close: [], error: [] };
  readonly api: object;

  constructor(
    private readonly _host: SocketHost,
    private readonly _socket: any,
    private readonly _gone: () => void,
  ) {
    const on = (name: string) => (listener: Listener) => void this._listeners[name]!.push(listener);
    this.api = {
      send: (options: { data: unknown } & Callbacks) => this._send(options),
      close: (options: { code?: number; reason?: string } & Callbacks = {}) => this._close(options),
      onOpen: on("open"),
      onMessage: on("message"),
      onClose: on("close"),
      onError: on("error"),
    };
    if (_socket) this._attach(_socket);
  }

  fail(): void {
    this.cut(false);
    this._tell("error", { errMsg: "onError:fail connection reset" }, 0);
  }

  cut(tell: boolean): void {
    this._over = true;
    const socket = this._socket;
    if (socket.terminate) socket.terminate();
    else socket.close();
    if (tell) this._tell("close", { code: 1006, reason: "interrupted" }, this._host.lateClose);
  }

  private _attach(socket: any): void {
    let opened = false;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      opened = true;
      this._say("open", { header: {} });
    };
    socket.onmessage = ({ data }: { data: unknown }) => this._say("message", { data });
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
      this._gone();
      if (opened) this._say("close", { code, reason });
      else this._say("error", { errMsg: "onError:fail connection refused" }); // and no close
      this._over = true;
    };
  }

  private _say(name: string, event: unknown): void {
    if (!this._over && !this.frozen) this._tell(name, event, 0);
  }

  private _tell(name: string, event: unknown, late: number): void {
    this._host.post(() => this._listeners[name]!.forEach((listener) => listener(event)), late);
  }

  private _send({ data, success, fail, complete }: { data: unknown } & Callbacks): void {
    const open = this._socket?.readyState === 1 && !this._over;
    if (open && !this.frozen) this._socket.send(data);
    const result = { errMsg: open ? "sendSocketMessage:ok" : "sendSocketMessage:fail socket is not open" };
    this._host.post(() => {
      (open ? success : fail)?.(result);
      complete?.(result);
    });
  }

  private _close({ code = 1000, reason = "", success, fail, complete }: { code?: number; reason?: string } & Callbacks): void {
    const open = this._socket?.readyState === 1;
    if (open && !this.frozen) this._socket.close(code, reason);
    if (open && this.frozen) this._gone(); // it lets go of the number, and tells nobody
    const result = { errMsg: open ? "closeSocket:ok" : "closeSocket:fail socket is not open" };
    this._host.post(() => ((open ? success : fail)?.(result), complete?.(result)));
  }
}
