/**
 * Dialects, and what speaks them. Those known by name are the files of `protocol/dialects`: nothing is copied by hand.
 */

import cardFile from "../../../protocol/dialects/card.json" with { type: "json" };
import communityFile from "../../../protocol/dialects/community.json" with { type: "json" };
import echoFile from "../../../protocol/dialects/echo.json" with { type: "json" };
import heartFile from "../../../protocol/dialects/heart.json" with { type: "json" };
import okxFile from "../../../protocol/dialects/okx.json" with { type: "json" };
import phoenixFile from "../../../protocol/dialects/phoenix.json" with { type: "json" };
import plainFile from "../../../protocol/dialects/plain.json" with { type: "json" };
import tradesFile from "../../../protocol/dialects/trades.json" with { type: "json" };
import { speak } from "./interpreter.js";
import type { Dialect } from "./spec.js";

/** A dialect that can be spoken, out of its value. What is made of one of those below by spreading can be already. */
export function dialect(value: object): Dialect {
  return Object.assign({ speak }, value) as Dialect;
}

/** Text ping and pong; everything else is a message. */
export const heart = /* @__PURE__ */ dialect(heartFile as object);
/** An identity at open, then a card is bound; nothing answers the beat. */
export const card = /* @__PURE__ */ dialect(cardFile as object);
/** Messages and heartbeats in one envelope, both echoed by the server. */
export const echo = /* @__PURE__ */ dialect(echoFile as object);
/** One subscription object, then pushed positions; nothing answers the beat. */
export const trades = /* @__PURE__ */ dialect(tradesFile as object);
/** Operators: a login with the platform's code, then requests and events. */
export const community = /* @__PURE__ */ dialect(communityFile as object);
/** OKX v5 streams. */
export const okx = /* @__PURE__ */ dialect(okxFile as object);
/** Phoenix channels, serializer 2.0.0. */
export const phoenix = /* @__PURE__ */ dialect(phoenixFile as object);
/** Any JSON. */
export const plain = /* @__PURE__ */ dialect(plainFile as object);
