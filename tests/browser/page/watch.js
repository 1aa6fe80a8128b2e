/** Sees every socket the page makes and every error it leaves, before anything else runs. */

globalThis.sockets = [];
globalThis.problems = [];

globalThis.WebSocket = class extends WebSocket {
  constructor(...words) {
    super(...words);
    sockets.push(this);
  }
};
addEventListener("error", ({ message }) => problems.push(message));
addEventListener("unhandledrejection", ({ reason }) => problems.push(String(reason)));
