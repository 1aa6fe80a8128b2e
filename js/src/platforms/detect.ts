/**
 * Which runtime this is, where nobody said so.
 *
 * - a mini program is known by its own marks, never by the absence of `WebSocket` (test: which platform is found).
 */

import type { Platform } from "../client/platform.js";
import { browser } from "./browser.js";
import { miniProgram, type MiniProgramApi } from "./mini-program.js";

declare const wx: unknown;
declare const uni: unknown;

/** The platform of this runtime: a mini program by its `wx` or `uni`, else a browser. */
export function detectPlatform(): Platform {
  const found = [typeof wx === "object" && wx, typeof uni === "object" && uni].find(
    // The `wx` of a page inside WeChat's browser is something else.
    (api) => api && "connectSocket" in (api as object) && "onAppShow" in (api as object),
  );
  return found ? miniProgram(found as MiniProgramApi) : browser();
}
