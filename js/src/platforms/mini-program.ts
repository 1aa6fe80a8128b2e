/**
 * Mini programs: `wx` of WeChat, `uni` of uni-app, and others that were made after them.
 *
 * Their sockets are tasks without a way to remove a listener; `success` of `connectSocket` says nothing; a dial may fail
 * with an error alone, a close may come seconds late, and a close before open may be ignored.
 *
 * - the global socket listeners are never used: they know one socket (test: tasks, never the global listeners);
 * - a socket that opens after it was left is closed again (test: a left dial is closed);
 * - a `uni` that was stripped of its sockets, in a browser, means the browser's own (test: a stripped uni).
 */

import { type Hint, isThenable, type Platform, type SmallSocket } from "../client/platform.js";
import { browser, watchPage } from "./browser.js";

/** The socket of a mini program. */
export interface SocketTask {
  send(options: { data: string; fail?: (error: { errMsg: string }) => void }): void;
  close(options: { code?: number; reason?: string }): void;
  onOpen(listener: () => void): void;
  onMessage(listener: (event: { data: string | ArrayBuffer }) => void): void;
  onClose(listener: (event: { code: number; reason: string }) => void): void;
  onError(listener: (error: { errMsg: string }) => void): void;
}

type Listen = (listener: (event: any) => void) => void;

/** What is used of `wx`, `uni` or the like. */
export interface MiniProgramApi {
  connectSocket(options: {
    url: string;
    protocols: string[];
    fail: (error: { errMsg: string }) => void;
    complete: () => void;
  }): unknown;
  onAppShow?: Listen;
  offAppShow?: Listen;
  onAppHide?: Listen;
  offAppHide?: Listen;
  onNetworkStatusChange?: Listen;
  offNetworkStatusChange?: Listen;
}

/** The runtime of a mini program, or of uni-app anywhere: pass `wx` or `uni`. */
export function miniProgram(api: MiniProgramApi): Platform {
  // uni-app's builds for browsers leave out of `uni` what the application itself does not name.
  if (!api.connectSocket && typeof WebSocket === "function") return browser();
  return {
    connectSocket: (url, protocols) => taskSocket(api, url, protocols),
    watch(hint) {
      const stops = [watchApp(api, hint), watchPage(hint)]; // a page is there where uni-app runs in a browser
      return () => stops.forEach((stop) => stop());
    },
  };
}

function taskSocket(api: MiniProgramApi, url: string, protocols: string[]): SmallSocket {
  let task: SocketTask | null = null;
  let left: { code?: number; reason?: string } | null = null;
  // its handlers are there before anything happens
  const socket = {
    send: (data) => task!.send({ data, fail }),
    close(code: number, reason: string) {
      left = { code, reason };
      if (task) task.close(left);
    },
  } as SmallSocket;
  function fail(error: unknown): void {
    void Promise.resolve().then(() => socket.onerror && socket.onerror(error)); // never before the handlers are set
  }
  const attach = (made: unknown): void => {
    if (!made) return fail({});
    task = made as SocketTask;
    if (left) task.close(left);
    task.onOpen(() => (left ? task!.close(left) : socket.onopen!({})));
    task.onMessage((event) => socket.onmessage!(event));
    task.onClose((event) => socket.onclose!(event || {}));
    task.onError(fail);
  };
  // With `complete` uni-app returns a task and no promise; some H5 builds of others return a promise.
  const made = api.connectSocket({ url, protocols, fail, complete() {} });
  if (isThenable(made)) made.then(attach, fail);
  else attach(made);
  return socket;
}

function watchApp(api: MiniProgramApi, hint: Hint): () => void {
  const listen = (name: "AppShow" | "AppHide" | "NetworkStatusChange", back: (event: any) => boolean): (() => void) => {
    const call = (event: unknown): void => hint(name, back(event));
    const on = api[`on${name}`];
    const off = api[`off${name}`];
    if (on) on.call(api, call);
    return () => off && off.call(api, call);
  };
  const stops = [
    listen("AppShow", () => true),
    listen("AppHide", () => false),
    listen("NetworkStatusChange", (event) => event.isConnected),
  ];
  return () => stops.forEach((stop) => stop());
}
