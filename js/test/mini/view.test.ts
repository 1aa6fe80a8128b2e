/** Pages as a person sees them, pages made by Component, and plain requests. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

import { afterEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { type HostOptions, MiniProgramHost } from "heartline/testing";
import { parse, show } from "../../src/testing/markup.js";

const PROJECT = fileURLToPath(new URL("../kit/view", import.meta.url));
const undo: (() => void)[] = [];
afterEach(() => undo.splice(0).forEach((call) => call()));

function start(options: HostOptions = {}): MiniProgramHost {
  const host = new MiniProgramHost({ WebSocket, strict: true, ...options });
  undo.push(() => host.kill());
  return host;
}

async function until(met: () => unknown): Promise<void> {
  for (const end = Date.now() + 5000; !met(); ) {
    if (Date.now() > end) throw new Error("it did not come about in time");
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe("what is on the screen", () => {
  test("a person sees the page and taps", () => {
    const host = start();
    host.launch(PROJECT);
    expect(host.view().text).toBe("Add nobody 0* 1* Send Ask");
    expect(() => host.view().tap("Add")).toThrow("disabled");
    for (const value of ["Ann", "Bob"]) {
      host.view().fire("Name", "input", { value });
      host.view().tap("Add");
      if (value === "Ann") expect(host.view().text).toBe("Add one 0 1 Ann 0* 1* Send Ask");
    }
    expect(host.view().texts("name")).toEqual(["0 1 Ann", "1 2 Bob"]);
    expect(host.view().find("first-true")).toHaveLength(1);
    host.view().tap("send it");
    expect(host.view().text).toContain("many: 2 0 1 Ann 1 2 Bob 0* 1* Send sent Ask");
    expect(() => host.view().tap("Bob")).toThrow('nothing here says "Bob"');
    expect(host.errors).toEqual([]);
  });

  test("markup that is not understood throws", () => {
    for (const bad of ["<view>", "</view>", "<view></text>", "<view x=1></view>", "<template is='a'/>", "<wxs></wxs>", "<view><"]) {
      expect(() => parse(bad)).toThrow(SyntaxError);
    }
    expect(() => show(parse("<view>{{1 +}}</view>"), {})).toThrow(SyntaxError);
  });

  test("only the data are in reach of an expression", () => {
    const [shown] = show(parse("<view a='{{process}}' b='{{x.y}}' c='{{ok ? 1 : 2}}' d=\"{{'s'}}t\" e/>"), { x: { y: null }, ok: 1 });
    const { attributes } = shown as unknown as { attributes: ReadonlyMap<string, unknown> };
    expect([...attributes.values()]).toEqual([undefined, null, 1, "st", "true"]);
  });
});

test("a page made by Component is attached before it loads, and detached after it unloads", () => {
  const host = start();
  host.launch(PROJECT);
  const page = host.open("pages/parts?id=3");
  expect(page["seen"]()).toEqual(["created", "attached", "load 3 7 pages/parts", "show", "ready"]);
  host.open("pages/form");
  host.wx["navigateBack"]({});
  host.hide();
  host.show();
  host.wx["navigateBack"]({});
  expect(page["seen"]().slice(5)).toEqual(["onHide", "hide", "show", "onHide", "hide", "show", "unload", "detached"]);
  expect(host.errors).toEqual([]);
});

test("requests succeed whatever the status, and fail without a network or a domain", async () => {
  const server = createServer(({ url, method }, response) => {
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ url, method }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  undo.push(() => server.close());
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const host = start({ resolve: (url) => url.replace("https://mini.example", address) });
  const page = host.launch(PROJECT);
  const ask = async (): Promise<unknown> => {
    host.view().tap("Ask");
    await until(() => !page.data["busy"]);
    return page.data["answer"];
  };
  expect(await ask()).toEqual([404, { url: "/asked?q=a+b", method: "GET" }]);
  host.network(false);
  expect(await ask()).toBe("request:fail the network is down");
  host.network(true);
  const answers: unknown[] = [];
  const errors: string[] = [];
  const ended = (): number => answers.length + errors.length;
  const request = (options: object): void =>
    host.wx["request"]({ fail: ({ errMsg }: any) => errors.push(errMsg), success: ({ data }: any) => answers.push(data), ...options });
  request({ url: "http://mini.example/" });
  request({ url: "https://mini.example/posted", method: "POST", data: { a: 1 }, dataType: "text" });
  host.wx["request"]({ url: "https://mini.example/", fail: ({ errMsg }: any) => errors.push(errMsg) }).abort();
  await until(() => ended() === 3);
  expect(answers).toEqual(['{"url":"/posted","method":"POST"}']);
  expect(errors[0]).toBe("request:fail url not in domain list");
  expect(errors[1]).toContain("aborted");
});
