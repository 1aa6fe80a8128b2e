import { afterEach, expect, test, vi } from "vitest";

import { browser, connect, miniProgram } from "heartline";
import { detectPlatform } from "../../src/platforms/detect.js";
import { FakeSocket } from "../kit/fake.js";

afterEach(() => vi.unstubAllGlobals());

test("browser events are hints", () => {
  const page = new EventTarget();
  const doc = Object.assign(new EventTarget(), { hidden: false });
  const connection = new EventTarget();
  vi.stubGlobal("window", page);
  vi.stubGlobal("document", doc);
  vi.stubGlobal("navigator", { connection });
  const hints: [string, boolean][] = [];
  const stop = browser().watch!((reason, back) => hints.push([reason, back]));
  for (const type of ["online", "offline", "pageshow"]) page.dispatchEvent(new Event(type));
  for (const type of ["visibilitychange", "freeze", "resume"]) doc.dispatchEvent(new Event(type));
  doc.hidden = true;
  doc.dispatchEvent(new Event("visibilitychange"));
  connection.dispatchEvent(new Event("change"));
  expect(hints.map(([, back]) => back)).toEqual([true, false, true, true, false, true, true]);
  stop();
  page.dispatchEvent(new Event("online"));
  expect(hints).toHaveLength(7);
});

test("which platform is found", () => {
  const made: string[] = [];
  vi.stubGlobal(
    "WebSocket",
    class extends FakeSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        made.push(url);
      }
    },
  );
  vi.stubGlobal("wx", { connectSocket: () => undefined }); // that of a page in WeChat's browser, or a polyfill
  const conn = connect("ws://host/");
  expect(made).toEqual(["ws://host/"]);
  void conn.close();
  let tasks = 0;
  vi.stubGlobal("wx", { connectSocket: () => void tasks++, onAppShow() {} });
  detectPlatform().connectSocket("wss://host/", []);
  expect([tasks, made.length]).toEqual([1, 1]);
});

test("a stripped uni, in a browser, means the browser's own sockets", () => {
  const made: string[] = [];
  vi.stubGlobal(
    "WebSocket",
    class extends FakeSocket {
      constructor(url: string, protocols: string[]) {
        super(url, protocols);
        made.push(url);
      }
    },
  );
  const given: string[] = [];
  const task = { onOpen() {}, onMessage() {}, onClose() {}, onError() {}, send() {}, close() {} };
  miniProgram({ connectSocket: ({ url }) => (given.push(url), task) }).connectSocket("ws://one/", []);
  miniProgram({} as never).connectSocket("ws://two/", []);
  expect([given, made]).toEqual([["ws://one/"], ["ws://two/"]]);
});
