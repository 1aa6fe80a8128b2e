/**
 * The echo system's server as it is found in the field: Node and `ws`, and nothing of heartline.
 *
 *     node examples/echo/node_server.mjs [port]        (8002; 0 for any; `npm ci` in js/ brings `ws`)
 *
 * It sends {"ModeCode":"message",…} and {"ModeCode":"heart_beat",…} back to who sent them, written anew and as text, and
 * is silent on everything else. It looks after nobody: a client that is gone without a word stays in its list.
 */

import { createRequire } from "node:module";

const { WebSocketServer } = createRequire(new URL("../../js/package.json", import.meta.url))("ws");
const port = Number(process.argv[2] ?? 8002);
const server = new WebSocketServer({ port, host: "127.0.0.1" });

server.on("listening", () => console.log(`ws://127.0.0.1:${server.address().port}/`));
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data) => {
    let message;
    try {
      message = JSON.parse(data.toString());
    } catch {
      return;
    }
    if (message?.ModeCode === "message" || message?.ModeCode === "heart_beat") socket.send(JSON.stringify(message));
  });
});
