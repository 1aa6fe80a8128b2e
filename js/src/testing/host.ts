/**
 * A mini program without a phone: `wx`, `App`, `Page`, `Component` and a life in front and in the background, in Node.
 * It behaves as devices do, badly, so that an application that works here is not surprised there.
 *
 * - in the background everything is held: after some seconds sockets are cut, timers and events wait until return
 *   (test: the background holds timers and events);
 * - what was killed says and does nothing any more; its storage stays (test: a killed mini program is silent);
 * - scripts see what a mini program has, and neither `window` nor `WebSocket` (test: scripts see a mini program).
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { createContext, runInContext } from "node:vm";

import { parse } from "./markup.js";
import { type Instance, Pages } from "./pages.js";
import { requesting } from "./request.js";
import { Sockets, type WebSocketClass } from "./sockets.js";
import { View } from "./view.js";

/** How a host behaves. Times in seconds, as the mini program counts them. */
export interface HostOptions {
  /** The class that makes real sockets; Node 20 has none of its own: pass that of the package `ws`. */
  readonly WebSocket?: WebSocketClass | undefined;
  /** Only wss:// may be dialled and https:// be asked, as on a device. */
  readonly strict?: boolean | undefined;
  /** Where an address really is, for tests that name a host of their own. */
  readonly resolve?: ((url: string) => string) | undefined;
  /** Sockets at once. Default 5. */
  readonly sockets?: number | undefined;
  /** From going to the background until sockets are cut and all is held. Default 5. */
  readonly background?: number | undefined;
  /** From the return until the close of a socket that was cut is told. Default 5. */
  readonly lateClose?: number | undefined;
  /** How many of the mini program's seconds pass in one: its timers and its clock are as fast. Default 1. */
  readonly speed?: number | undefined;
  /** What earlier runs of this mini program stored. */
  readonly storage?: Map<string, unknown> | undefined;
  /** Modules that scripts may require by name, as paths of files. */
  readonly modules?: Readonly<Record<string, string>> | undefined;
  /** What `wx.login` gives. */
  readonly code?: string | undefined;
}

type Listener = (event: any) => void;

const LIMIT_OF_A_KEY = 1 << 20;

/** One run of a mini program. */
export class MiniProgramHost {
  /** The `wx` of this mini program. */
  readonly wx: Record<string, any>;
  readonly storage: Map<string, unknown>;
  /** Toasts and dialogues that were shown. */
  readonly shown: { kind: string; title: string; content?: string }[] = [];
  /** What the application threw where nobody caught it. */
  readonly errors: unknown[] = [];
  readonly pages: Pages;
  private readonly _sockets: Sockets;
  private readonly _events: Record<string, Listener[]> = { show: [], hide: [], network: [] };
  private _alive = true;
  private _suspended = false;
  private _connected = true;
  private _suspending: ReturnType<typeof setTimeout> | undefined;
  private _held: (() => void)[] = [];
  private readonly _timers = new Set<ReturnType<typeof setTimeout>>();
  private readonly _loaded = new Map<string, { exports: unknown }>();
  private _context: object | null = null;
  private _speed: number;
  private _clock: [ours: number, its: number] = [Date.now(), Date.now()];
  private _root = "";

  constructor(private readonly _options: HostOptions = {}) {
    this.storage = _options.storage ?? new Map();
    this._speed = _options.speed ?? 1;
    const WebSocket = _options.WebSocket ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
    if (!WebSocket) throw new TypeError("WebSocket: this Node has none, pass that of the package ws");
    this._sockets = new Sockets({
      WebSocket,
      strict: _options.strict ?? false,
      most: _options.sockets ?? 5,
      lateClose: _options.lateClose ?? 5,
      resolve: _options.resolve ?? ((url) => url),
      post: (call, late = 0) => this._post(call, late),
    });
    this.pages = new Pages((call) => this._run(call));
    this.wx = this._wx();
  }

  // what the person and the system do

  /** Sockets that are open or being opened. */
  get sockets(): number {
    return this._sockets.count;
  }

  /** Calls of `wx.connectSocket`. */
  get dials(): number {
    return this._sockets.dials;
  }

  /** To the background. */
  hide(): void {
    this.pages.hide();
    this._fire("hide", {});
    clearTimeout(this._suspending);
    this._suspending = setTimeout(() => {
      this._suspended = true;
      this._sockets.cut(true);
    }, this._real((this._options.background ?? 5) * 1000));
  }

  /** To the foreground: what was held is told first. */
  show(): void {
    clearTimeout(this._suspending);
    this._suspended = false;
    this._fire("show", { path: this.pages.current?.route ?? "", query: {} });
    this.pages.show();
    for (const call of this._held.splice(0)) call();
  }

  /** The network goes or comes. Going, it takes the sockets with it, and nobody is told of that. */
  network(isConnected: boolean): void {
    this._connected = isConnected;
    if (!isConnected) this._sockets.freeze();
    this._fire("network", { isConnected, networkType: isConnected ? "wifi" : "none" });
  }

  /** Every socket is cut, and the application hears of it late. */
  cut(): void {
    this._sockets.cut(true);
  }

  /** Every socket ends with an error and no close, as on some devices. */
  fail(): void {
    this._sockets.fail();
  }

  /** Nothing passes on the sockets there are, and nobody is told. */
  freeze(): void {
    this._sockets.freeze();
  }

  /** The system ends the mini program: nothing of it runs any more. Pass its storage to the next. */
  kill(): void {
    this._alive = false;
    clearTimeout(this._suspending);
    this._timers.forEach((timer) => clearTimeout(timer));
    this._sockets.cut(false);
  }

  // scripts

  /** Run a project: `app.json`, `app.js`, and the page it begins with. */
  launch(folder: string): Instance {
    this._root = resolve(folder);
    const config = JSON.parse(readFileSync(join(this._root, "app.json"), "utf8")) as { pages: string[] };
    this.require(join(this._root, "app.js"));
    this.pages.launch();
    this._fire("show", { path: config.pages[0], query: {} });
    return this.open(config.pages[0]!);
  }

  /** Open a page: "pages/list/list?id=7". */
  open(url: string): Instance {
    const [path = "", query = ""] = url.replace(/^\//, "").split("?");
    if (!this.pages.knows(path)) {
      this.pages.loading = path;
      this.require(join(this._root, `${path}.js`));
    }
    return this.pages.open(path, Object.fromEntries(new URLSearchParams(query)));
  }

  /** What the person sees of the page on top, or of another one. */
  view(page: Instance | null = this.pages.current): View {
    if (!page) throw new Error("no page is open");
    const markup = parse(readFileSync(join(this._root, `${page.route}.wxml`), "utf8"));
    return new View(page, markup, (target, name, event) => this.pages.call(target, name, event));
  }

  /** Run one script as a module of the mini program; returns what it exports. */
  require(file: string): any {
    const known = this._loaded.get(file);
    if (known) return known.exports;
    const module = { exports: {} };
    this._loaded.set(file, module);
    const source = `(function (exports, require, module) {${readFileSync(file, "utf8")}\n})`;
    this._context ??= createContext(this._globals());
    const run = runInContext(source, this._context, { filename: file }) as (...names: unknown[]) => void;
    run(module.exports, (name: string) => this.require(this._resolve(name, file)), module);
    return module.exports;
  }

  private _resolve(name: string, from: string): string {
    if (/^[./]/.test(name)) {
      const path = name[0] === "/" ? join(this._root, name) : resolve(dirname(from), name);
      return path.endsWith(".js") ? path : `${path}.js`;
    }
    return this._options.modules?.[name] ?? createRequire(from).resolve(name);
  }

  private _globals(): Record<string, unknown> {
    const { wx, pages } = this;
    return {
      wx,
      console,
      Date: dateBy(() => this._now),
      global: {}, // an object of its own, not the scope, as on a device
      App: (options: object) => pages.app(options),
      Page: (options: object) => pages.define(options),
      Component: (options: object) => pages.defineComponent(options as never),
      Behavior: (options: object) => options,
      getApp: () => pages.application,
      getCurrentPages: () => [...pages.stack],
      setTimeout: (call: () => void, ms = 0) => this._setTimer(call, ms, false),
      setInterval: (call: () => void, ms = 0) => this._setTimer(call, ms, true),
      clearTimeout: (timer: never) => this._clearTimer(timer),
      clearInterval: (timer: never) => this._clearTimer(timer),
    };
  }

  // time and events

  private _setTimer(call: () => void, ms: number, again: boolean): ReturnType<typeof setTimeout> {
    const timer = again
      ? setInterval(() => this._post(call, 0), this._real(ms))
      : setTimeout(() => {
          this._timers.delete(timer);
          this._post(call, 0);
        }, this._real(ms));
    this._timers.add(timer);
    return timer;
  }

  /** How many of its seconds pass in one of ours. Timers that are set already keep their moments. */
  get speed(): number {
    return this._speed;
  }

  set speed(speed: number) {
    this._clock = [Date.now(), this._now];
    this._speed = speed;
  }

  /** The mini program's time, in milliseconds. */
  private get _now(): number {
    const [ours, its] = this._clock;
    return its + (Date.now() - ours) * this._speed;
  }

  /** Milliseconds of the machine for those of the mini program. */
  private _real(ms: number): number {
    return ms / this._speed;
  }

  private _clearTimer(timer: ReturnType<typeof setTimeout>): void {
    clearTimeout(timer);
    this._timers.delete(timer);
  }

  private _post(call: () => void, late: number): void {
    if (late && !this._suspended) {
      this._setTimer(call, late * 1000, false);
    } else if (this._suspended) {
      this._held.push(() => this._post(call, late));
    } else {
      this._run(call);
    }
  }

  private _run(call: () => void): void {
    if (!this._alive) return;
    try {
      call();
    } catch (error) {
      this.errors.push(error);
    }
  }

  private _fire(name: string, event: unknown): void {
    for (const listener of [...this._events[name]!]) this._run(() => listener(event));
    if (name !== "network") this.pages.call(this.pages.application, name === "show" ? "onShow" : "onHide", event);
  }

  // wx

  private _wx(): Record<string, any> {
    const { storage, shown, pages } = this;
    const done = (options: any, result: object): void => {
      this._post(() => (options?.success?.(result), options?.complete?.(result)), 0);
    };
    const set = (key: string, data: unknown): void => {
      const text = JSON.stringify(data ?? "");
      if (text.length > LIMIT_OF_A_KEY) throw new Error("setStorage:fail entry size limit reached");
      storage.set(key, JSON.parse(text));
    };
    const info = { platform: "devtools", SDKVersion: "3.9.0", system: "test", language: "en", windowWidth: 375, windowHeight: 667 };
    return {
      connectSocket: (options: any) => this._sockets.connect(options),
      request: requesting({
        strict: this._options.strict ?? false,
        resolve: this._options.resolve ?? ((url) => url),
        post: (call) => this._post(call, 0),
        connected: () => this._connected,
      }),
      ...this._subscriptions(),
      getStorageSync: (key: string) => storage.get(key) ?? "",
      setStorageSync: set,
      removeStorageSync: (key: string) => void storage.delete(key),
      clearStorageSync: () => storage.clear(),
      getStorageInfoSync: () => ({ keys: [...storage.keys()], currentSize: 1, limitSize: 10240 }),
      setStorage: (options: any) => (set(options.key, options.data), done(options, {})),
      getStorage: (options: any) => done(options, { data: storage.get(options.key) ?? "" }),
      removeStorage: (options: any) => (storage.delete(options.key), done(options, {})),
      login: (options: any) => done(options, { code: this._options.code ?? "code", errMsg: "login:ok" }),
      getNetworkType: (options: any) => done(options, { networkType: this._connected ? "wifi" : "none" }),
      showToast: (options: any) => (shown.push({ kind: "toast", title: options.title }), done(options, {})),
      showModal: (options: any) => {
        shown.push({ kind: "modal", title: options.title, content: options.content });
        done(options, { confirm: true, cancel: false });
      },
      navigateTo: (options: any) => (this.open(options.url), done(options, {})),
      redirectTo: (options: any) => (pages.back(), this.open(options.url), done(options, {})),
      switchTab: (options: any) => (pages.clear(), this.open(options.url), done(options, {})),
      navigateBack: (options: any) => (pages.back(), done(options, {})),
      nextTick: (call: () => void) => this._setTimer(call, 0, false),
      canIUse: () => true,
      getSystemInfoSync: () => ({ ...info }),
      getWindowInfo: () => ({ ...info }),
      getDeviceInfo: () => ({ ...info }),
      getAppBaseInfo: () => ({ ...info }),
    };
  }

  private _subscriptions(): Record<string, (listener: Listener) => void> {
    const api: Record<string, (listener: Listener) => void> = {};
    for (const [name, suffix] of [
      ["show", "AppShow"],
      ["hide", "AppHide"],
      ["network", "NetworkStatusChange"],
    ] as const) {
      api[`on${suffix}`] = (listener) => void this._events[name]!.push(listener);
      api[`off${suffix}`] = (listener) => {
        this._events[name] = this._events[name]!.filter((other) => listener && other !== listener);
      };
    }
    return api;
  }
}

/** The class `Date` with another clock. */
function dateBy(now: () => number): typeof Date {
  return class extends Date {
    constructor(...given: any[]) {
      super(...((given.length ? given : [now()]) as [number]));
    }

    static override now(): number {
      return now();
    }
  } as typeof Date;
}
