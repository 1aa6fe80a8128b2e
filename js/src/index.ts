/** heartline: sessions that outlive their sockets, in browsers and mini programs. Begin with `connect` or `shared`. */

// In the order that compresses best.
export {
  type KeyValue,
  keyValueStore,
  localStore,
  memoryStore,
  type MiniProgramStorage,
  miniProgramStore,
} from "./stores/key-value.js";
export { Receipt } from "./client/receipts.js";
export { indexedDBStore } from "./stores/indexed-db.js";
export { Subscription, type SubscribeOptions } from "./client/subscription.js";
export { Scope } from "./client/scope.js";
export { miniProgram, type MiniProgramApi, type SocketTask } from "./platforms/mini-program.js";
export { Connection, type RequestOptions, type SendOptions } from "./client/connection.js";
export { connect, shared } from "./client/connect.js";
export * from "./core/errors.js";
export { browser } from "./platforms/browser.js";
export type { Handler, OwnEvents, Volatile } from "./client/bus.js";
export type { Entry, Gap, Place } from "./client/items.js";
export type { Options } from "./client/options.js";
export type { Change, Store } from "./client/journal.js";
export type { ConnectSocket, Hint, Platform, SmallSocket, Timers } from "./client/platform.js";
export type { StateChange } from "./core/effects.js";
export type { ClientCodec } from "./core/frames.js";
export type { Outcome } from "./core/outbox.js";
export type { BackOff, ClientPolicy, Full, Heartbeat, OutboxLimits, PolicyOptions } from "./core/policy.js";
export type { State } from "./core/states.js";
export type * from "./dialects/spec.js";
