// The ws package with its native add-on: an echo, and a fan-out as its documentation has it, a loop over the clients.
// /publish sends to all who follow, /follow follows, anything else echoes.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const http = createServer();
const server = new WebSocketServer({ server: http }); // no compression: its default
const followers = new Set();

server.on("connection", (socket, request) => {
  if (request.url === "/follow") {
    followers.add(socket);
    socket.on("close", () => followers.delete(socket));
  } else if (request.url === "/publish") {
    socket.on("message", (data, binary) => {
      for (const follower of followers) follower.send(data, { binary });
    });
  } else {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
  }
});

http.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  console.log(JSON.stringify({ port: http.address().port }));
});
