import { dialect, echo } from "heartline/dialects";
import { connect, type Connection, type Entry, Rejected, shared, type StateChange } from "heartline";

const conn: Connection = connect("wss://host/", { login: async () => ({ token: "t" }), maxAttempts: 3, outbox: { messages: 5 } });
const post: Promise<{ id: number }> = conn.request<{ id: number }>("posts.create", { title: "x" }, { timeout: 5 });
const stop: () => void = conn.on("@state", (change: StateChange) => change.new === "open");
conn.on<{ n: number }>("tick", ({ n }, item) => n + (item?.kind === "entry" ? item.offset : 0));
for await (const item of conn.subscribe<number>("trades", { since: "beginning" })) {
  const n: number = item.kind === "entry" ? item.data : item.to;
  const entry: Entry<number> | null = item.kind === "entry" ? item : null;
  void [n, entry?.offset];
}
conn.send("e").handled().catch((error) => error instanceof Rejected && error.code);
connect("wss://host/", { dialect: { ...echo, reconnect: { delay: 2 } }, params: { room: 1 } });
connect("wss://host/", { dialect: dialect({ name: "mine", send: { say: "$data" } }) });
const scope = shared("wss://host/").scope();
scope.close();
// @ts-expect-error a part that no dialect has
dialect.sned;
// @ts-expect-error a state that does not exist
conn.state === "connected";
// @ts-expect-error full has two values
connect("wss://host/", { outbox: { full: "wait" } });
void [post, stop];
