/** Dialects that are known by name. They are data, the files of `protocol/dialects`, and nothing is copied by hand. */

import cardFile from "../../../protocol/dialects/card.json" with { type: "json" };
import communityFile from "../../../protocol/dialects/community.json" with { type: "json" };
import echoFile from "../../../protocol/dialects/echo.json" with { type: "json" };
import heartFile from "../../../protocol/dialects/heart.json" with { type: "json" };
import okxFile from "../../../protocol/dialects/okx.json" with { type: "json" };
import phoenixFile from "../../../protocol/dialects/phoenix.json" with { type: "json" };
import plainFile from "../../../protocol/dialects/plain.json" with { type: "json" };
import tradesFile from "../../../protocol/dialects/trades.json" with { type: "json" };
import type { Dialect } from "./spec.js";

/** Text ping and pong; everything else is a message. */
export const heart: Dialect = heartFile as Dialect;
/** An identity at open, then a card is bound; nothing answers the beat. */
export const card: Dialect = cardFile as Dialect;
/** Messages and heartbeats in one envelope, both echoed by the server. */
export const echo: Dialect = echoFile as Dialect;
/** One subscription object, then pushed positions; nothing answers the beat. */
export const trades: Dialect = tradesFile as Dialect;
/** Operators: a login with the platform's code, then requests and events. */
export const community: Dialect = communityFile as Dialect;
/** OKX v5 streams. */
export const okx: Dialect = okxFile as Dialect;
/** Phoenix channels, serializer 2.0.0. */
export const phoenix: Dialect = phoenixFile as Dialect;
/** Any JSON. */
export const plain: Dialect = plainFile as Dialect;
