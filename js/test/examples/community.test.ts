/** The community mini program in the host: what existing clients of that system get wrong, as its pages show it. */

import { fileURLToPath } from "node:url";

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import { type HostOptions, MiniProgramHost } from "heartline/testing";
import { Example } from "../kit/example.js";
import { Peer } from "../kit/peer.js";
import { quiet, until } from "../kit/until.js";

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const PROJECT = file("../../../examples/community/miniprogram");
const modules = {
  heartline: file("../../dist/cjs/index.js"),
  "heartline/dialects": file("../../dist/cjs/dialects.js"),
};
const NONE = "Nobody has written anything yet.";

const hosts: MiniProgramHost[] = [];
afterEach(() => hosts.splice(0).forEach((host) => host.kill()));

function start(url: string, options: HostOptions = {}): MiniProgramHost {
  const resolve = (address: string): string => address.replace("wss://community.example/community", url);
  const host = new MiniProgramHost({ WebSocket, strict: true, modules, resolve, speed: 10, code: "ann-1", ...options });
  hosts.push(host);
  host.launch(PROJECT);
  return host;
}

const back = (host: MiniProgramHost): void => host.wx["navigateBack"]({});
const toasts = (host: MiniProgramHost): string[] => host.shown.filter(({ kind }) => kind === "toast").map(({ title }) => title);
const modals = (host: MiniProgramHost): string[] => host.shown.filter(({ kind }) => kind === "modal").map(({ title }) => title);
const titles = (host: MiniProgramHost): string[] => host.view().texts("title");

/** Write a post, as a person does. */
function post(host: MiniProgramHost, title: string): void {
  host.view().tap("Write a post");
  host.view().fire("Title", "input", { value: title });
  host.view().tap("Post");
}

describe("on the real server", () => {
  let server: Example;
  let people = 0;
  beforeAll(async () => {
    server = await Example.serve("community");
  }, 30_000);
  afterAll(() => server.end());

  const somebody = (): string => `p${++people}-1`;

  test("posts, likes and comments of others appear by themselves", async () => {
    const [ann, bob] = [start(server.url, { code: somebody() }), start(server.url, { code: somebody() })];
    await until(() => [ann, bob].every((host) => toasts(host).includes("Connected")));
    await until(() => ann.view().text.includes(NONE), "an empty page");
    post(ann, "Tea at five");
    await until(() => titles(bob)[0] === "Tea at five", "the post at bob", 3);
    bob.view().tap("Like: 0");
    await until(() => ann.view().texts("like")[0] === "♡ 1", "the like at ann", 3);
    bob.view().tap("Comments: 0");
    await until(() => bob.view().text.includes("Tea at five"), "bob post page");
    bob.view().fire("Your comment", "input", { value: "我来！" });
    bob.view().tap("Send");
    await until(() => bob.view().texts("comment").length === 1, "comment shown", 3);
    expect(bob.view().texts("comment")).toEqual(["Somebody: 我来！"]);
    await until(() => ann.view().text.includes("Comments: 1"), "the comment at ann", 3);
    back(bob);
    await until(() => bob.view().text.includes("♥ 1"), "heart", 2);
    expect([ann.errors, bob.errors, ann.dials, bob.dials]).toEqual([[], [], 1, 1]);
  });

  test("older posts come page by page, while new ones are written", async () => {
    const ann = start(server.url, { code: somebody() });
    await until(() => toasts(ann).includes("Connected"));
    for (let i = 0; i < 12; i++) post(ann, `page ${i}`);
    await until(() => titles(ann)[0] === "page 11");
    const bob = start(server.url, { code: somebody() });
    const own = (): string[] => titles(bob).filter((title) => title.startsWith("page"));
    await until(() => own().length >= 10);
    post(bob, "page 12");
    await until(() => own()[0] === "page 12");
    bob.view().tap("Older posts");
    await until(() => own().length === 13, "the rest");
    expect(own()).toEqual(Array.from({ length: 13 }, (_, i) => `page ${12 - i}`));
  });

  test("written offline, stored in order", async () => {
    const host = start(server.url, { code: somebody() });
    await until(() => toasts(host).includes("Connected"));
    host.network(false);
    for (const title of ["one", "two", "three"]) post(host, title);
    await until(() => host.view().text.includes("3 waiting to be stored"));
    await quiet(0.3);
    host.network(true);
    await until(() => titles(host)[0] === "three", "what was written");
    expect(titles(host).slice(0, 3)).toEqual(["three", "two", "one"]);
    await until(() => !host.view().text.includes("waiting"));
    expect(host.sockets).toBe(1);
  });

  test("the background cuts the socket; what was written comes after the return, in order, once", async () => {
    const host = start(server.url, { code: somebody(), background: 0.5, lateClose: 30 });
    await until(() => toasts(host).includes("Connected"));
    post(host, "before");
    host.hide();
    await quiet(0.3);
    post(host, "behind");
    host.show();
    post(host, "after");
    await until(() => titles(host)[0] === "after" && !host.view().text.includes("waiting to"), "what was written");
    expect(titles(host).slice(0, 3)).toEqual(["after", "behind", "before"]);
    await quiet(0.5); // the close of the old socket is never told, or late
    expect([host.sockets, host.dials]).toEqual([1, 2]);
  });

  test("killed, and nothing is lost", async () => {
    const code = somebody();
    const host = start(server.url, { code });
    await until(() => toasts(host).includes("Connected"));
    host.freeze(); // written to a socket that carries nothing
    for (const title of ["k one", "k two", "k three"]) post(host, title);
    await quiet(0.1);
    host.kill();
    const next = start(server.url, { code, storage: host.storage });
    await until(() => titles(next)[0] === "k three", "what was written");
    expect(titles(next).slice(0, 3)).toEqual(["k three", "k two", "k one"]);
  });

  test("the server is killed again and again; each post is stored once, in order", async () => {
    const own = await Example.serve("community");
    try {
      const host = start(own.url);
      const wanted = Array.from({ length: 5 }, (_, i) => `post ${i}`);
      for (const [i, title] of wanted.entries()) {
        await until(() => host.pages.current!.data["state"] === "open", "the connection");
        post(host, title);
        if (i % 3 === 1) {
          await quiet(i / 100);
          await own.kill();
          post(host, `${title}, at once`);
          await own.start();
        }
      }
      const all = wanted.flatMap((title, i) => (i % 3 === 1 ? [title, `${title}, at once`] : [title]));
      await until(() => titles(host)[0] === all[all.length - 1], "the last", 20);
      await until(() => !host.view().text.includes("waiting to"), "its being stored", 20);
      const next = start(own.url, { code: "bob-1" });
      await until(() => titles(next)[0] === all[all.length - 1]);
      expect(titles(next)).toEqual(all.reverse());
    } finally {
      await own.end();
    }
  }, 40_000);

  test("a login error and a ban are told, and nothing is dialled after them", async () => {
    for (const [code, title] of [
      ["mallory-1", "You are blacklisted"],
      ["nonsense", "You could not log in"],
    ] as const) {
      const host = start(server.url, { code });
      await until(() => modals(host).length);
      await quiet(1); // ten seconds
      expect([modals(host), host.dials]).toEqual([[title], 1]);
    }
  });
});

describe("on a server of the field", () => {
  let peer: Peer;
  let verdict: object;
  beforeEach(async () => {
    peer = await Peer.start();
    verdict = { Operator: "LoginOK", openId: "o-7" };
    peer.answer = (socket, text) => {
      const said = JSON.parse(text);
      const answers: Record<string, object> = {
        Heart: { Operator: "HeartOK" },
        userLogin: verdict,
        GetInvitation: { Operator: "GetInvitationOK", data: [], serverTime: 1 },
        CreateInvitation: { Operator: "CreateInvitationOK", data: { id: 1, time: 1, Table: said.Table, love: 0, commentCount: 0 } },
        LoveInvitation: { Operator: "LoveInvitationOK" },
      };
      const answer = answers[said.Operator];
      if (answer) socket.send(JSON.stringify(answer));
    };
  });
  afterEach(() => peer.stop());

  const said = (operator: string): any[] => peer.texts().map((text) => JSON.parse(text)).filter((one) => one.Operator === operator);
  const connected = (host: MiniProgramHost, times = 1): Promise<void> =>
    until(() => toasts(host).filter((title) => title === "Connected").length >= times, "the connection");

  test("each link logs in once, the second with the open id it was given, and so does the next process", async () => {
    const host = start(peer.url);
    await connected(host);
    peer.cut();
    await connected(host, 2);
    await quiet(0.2);
    const info = { nickName: "", avatarUrl: "" };
    const first = { Operator: "userLogin", userCode: "ann-1", userInfo: info };
    expect(said("userLogin")).toEqual([first, { ...first, userOpenId: "o-7" }]);
    expect(JSON.parse(peer.texts()[0]!)).toEqual(first); // nothing is said before it
    host.kill();
    const next = start(peer.url, { storage: host.storage });
    await connected(next);
    expect(said("userLogin")[2]).toEqual({ ...first, userOpenId: "o-7" });
  });

  test("five pages are one socket with one beat, and the last page out closes it", async () => {
    const host = start(peer.url, { speed: 100 });
    for (let i = 0; i < 4; i++) host.open("pages/list/list");
    await connected(host);
    await until(() => said("Heart").length === 2, "two beats");
    expect([host.dials, host.sockets, peer.asked]).toEqual([1, 1, 1]);
    const [one, two] = peer.said.filter(({ text }) => text.includes("Heart")).map(({ at }) => at * 100);
    expect(two! - one!).toBeGreaterThan(25); // two beats in a row, on a busy machine, and not one of each page
    for (let i = 0; i < 4; i++) back(host);
    await quiet(0.1);
    expect(peer.open).toHaveLength(1);
    back(host);
    await until(() => peer.closes.length);
    expect(peer.closes).toEqual([{ link: 1, code: 1000 }]);
    await quiet(1);
    expect([peer.asked, host.sockets]).toEqual([1, 0]);
  });

  test("several posts while offline open one socket, and go out in the order of writing", async () => {
    const host = start(peer.url);
    await connected(host);
    peer.mode = "refuse";
    peer.cut();
    await until(() => toasts(host).includes("Connection closed"));
    const wanted = Array.from({ length: 10 }, (_, i) => `post ${i}`);
    for (const title of wanted) post(host, title);
    peer.mode = "take";
    await until(() => said("CreateInvitation").length === 10);
    await quiet(0.3);
    expect(said("CreateInvitation").map(({ Table }) => Table)).toEqual(wanted);
    expect(peer.open).toHaveLength(1);
    expect(new Set(said("CreateInvitation").map(({ clientId }) => clientId)).size).toBe(10);
  });

  test("all five sockets are taken: nothing is lost, it waits for one", async () => {
    const host = start(peer.url, { speed: 20 });
    await connected(host);
    peer.mode = "refuse";
    peer.cut();
    await until(() => toasts(host).includes("Connection closed"));
    peer.mode = "take";
    const others = Array.from({ length: 5 }, () => host.wx["connectSocket"]({ url: "wss://community.example/community" }));
    post(host, "patience");
    await until(() => peer.open.length === 5 && host.dials > 7, "two dials that fail");
    expect(said("CreateInvitation")).toEqual([]);
    others[0].close({});
    await until(() => said("CreateInvitation").length === 1);
  });

  test("after a drop it connects without being asked to, and the late close of the old socket breaks nothing", async () => {
    const host = start(peer.url, { lateClose: 20 });
    await connected(host);
    host.cut(); // the server hears of it, the mini program only later
    host.network(true);
    await connected(host, 2);
    await quiet(2.5);
    expect([host.dials, host.sockets, peer.open.length]).toEqual([2, 1, 1]);
    post(host, "still here");
    await until(() => said("CreateInvitation").length === 1);
  });

  test("a link that carries nothing is found by the beat", async () => {
    const host = start(peer.url, { speed: 100 });
    await connected(host);
    host.freeze();
    await connected(host, 2);
    expect(host.sockets).toBe(1);
  });

  test("two requests in flight get their own answers", async () => {
    const asked: number[] = [];
    const { answer } = peer;
    peer.answer = (socket, text) => {
      const { Operator, id } = JSON.parse(text);
      if (Operator !== "GetInvitation" || !id) return answer(socket, text);
      if (asked.push(id) < 2) return;
      for (const one of asked) {
        const data = [{ id: one, time: 1, Table: `post ${one}`, love: 0, commentCount: 0, comments: [] }];
        socket.send(JSON.stringify({ Operator: "GetInvitationOK", data, serverTime: 1 }));
      }
    };
    const host = start(peer.url);
    await connected(host);
    const one = host.open("pages/post/post?id=1");
    const two = host.open("pages/post/post?id=2");
    await until(() => one.data["post"] && two.data["post"]);
    expect([one.data["post"].Table, two.data["post"].Table]).toEqual(["post 1", "post 2"]);
  });

  test("a ban is told, also after a reconnect", async () => {
    const host = start(peer.url);
    await connected(host);
    verdict = { Operator: "BanLogin", msg: "rude" };
    peer.cut();
    await until(() => modals(host).length);
    await quiet(1);
    expect([modals(host), peer.asked, peer.open.length]).toEqual([["You are blacklisted"], 2, 0]);
  });

  test("operators named like methods call nothing, and rubbish harms nothing", async () => {
    const host = start(peer.url);
    await connected(host);
    for (const name of ["toString", "constructor", "__proto__", "hasOwnProperty", "reload", "@state", ""]) {
      peer.say(JSON.stringify({ Operator: name, data: [1] }));
    }
    const { post: _post, ...rubbish } = { post: 0, a: "not json", b: "null", c: "[]", d: "5", e: '{"Operator":5}', f: "[".repeat(9000) };
    for (const one of Object.values(rubbish)) peer.say(String(one));
    peer.say(JSON.stringify({ Operator: "InvitationChanged", what: "love", id: 99, love: 3 }));
    post(host, "still here");
    await until(() => said("CreateInvitation").length === 1);
    await until(() => !host.view().text.includes("waiting"));
    expect([host.errors, host.dials]).toEqual([[], 1]);
  });

  test("toasts say what happened: connected, closed, an error", async () => {
    peer.mode = "refuse";
    const host = start(peer.url);
    await until(() => toasts(host).includes("Connection error"));
    peer.mode = "take";
    await connected(host);
    peer.mode = "refuse";
    peer.cut();
    await until(() => toasts(host).includes("Connection closed"));
    peer.mode = "take";
    await connected(host, 2);
    expect(toasts(host)).toEqual(["Connection error", "Connected", "Connection closed", "Connected"]);
  });
});
