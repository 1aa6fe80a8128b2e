// Socket.IO as its page on performance advises: the native add-on, WebSocket only, the first request let go.
// With --recovery connections get back what they missed.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  ...(process.argv.includes("--recovery") && {
    connectionStateRecovery: { maxDisconnectionDuration: 2 * 60 * 1000, skipMiddlewares: true },
  }),
});

io.engine.on("connection", (raw) => {
  raw.request = null;
});

io.on("connection", (socket) => {
  socket.on("echo", (text, answer) => answer(text));
  socket.on("join", (answer) => {
    socket.join("bench");
    answer("j");
  });
  socket.on("publish", (text, answer) => {
    io.to("bench").emit("m", text);
    answer("p");
  });
});

http.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  console.log(JSON.stringify({ port: http.address().port }));
});
