/** For tests of applications: a mini program without a phone, and a clock that stands still. */

export { MiniProgramHost, type HostOptions } from "./host.js";
export type { Instance, Pages } from "./pages.js";
export type { Shown } from "./markup.js";
export { View } from "./view.js";
export type { WebSocketClass } from "./sockets.js";
export { ManualTimers } from "./timers.js";
export { checkDialect } from "./check.js";
