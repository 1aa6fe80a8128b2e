/**
 * Close codes, as `protocol/close_codes.json` lists them.
 *
 * - code and data file agree in number, name and class (test: codes equal the data file);
 * - every code from 0 to 4999 has a class (test: every code has a class).
 */

/** What a client does after a close (PROTOCOL 6.1). */
export type CodeClass = "retry" | "login" | "fatal";

/** The close codes a client names; the meaning of each is in `protocol/close_codes.json`. */
export const enum Code {
  NORMAL = 1000,
  WEBSOCKET_ERROR = 1002,
  UNSUPPORTED_DATA = 1003,
  ABNORMAL = 1006,
  POLICY = 1008,
  PEER_SILENT = 4000,
  HELLO_TIMEOUT = 4003,
  REFUSED_FOR_NOW = 4006,
  ABANDONED = 4007,
  BAD_FRAME = 4200,
  LOGIN_REFUSED = 4201,
  REPLACED = 4202,
  ENDED = 4203,
  NOT_YOUR_SESSION = 4204,
  TOO_MANY_SESSIONS = 4205,
}

/** The words in `refused` that name a fatal close code, in the order of the codes from 4200 on. */
export const REFUSALS: readonly string[] = [
  "bad_frame",
  "login_refused",
  "replaced",
  "ended",
  "not_your_session",
  "too_many_sessions",
];

/** What a client does after a link ended with `code`. */
export function classify(code: number): CodeClass {
  if (code >= 4100 && code < 4200) return "login";
  if ((code >= 4200 && code < 4300) || [1003, 1007, 1008, 1009].includes(code)) return "fatal";
  return "retry";
}
