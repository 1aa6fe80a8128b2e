/**
 * One socket from its dial to its end, as the machine wants it told.
 *
 * - a socket says once that it ended, whatever the platform says (test: error alone ends a link);
 * - one that was left says nothing any more, and is closed also where it opens late (test: a left dial is closed).
 */

import type { SmallSocket } from "./platform.js";

/** What is told of a socket. */
export interface LinkEvents {
  opened(): void;
  received(data: unknown): void;
  ended(code: number, reason: string, opened: boolean): void;
}

/** One attempt's socket. */
export interface Link {
  /** Write one text message. What cannot be written ends the link. */
  send(text: string): void;
  /** Leave, also while dialling; whatever it still says does not matter. */
  leave(code: number, reason: string): void;
}

const CODES_OF_APPLICATIONS = 3000;
const LONGEST_REASON = 40; // characters, which are 120 bytes at most
const LOST = "the connection was lost";

/** Listen to a socket that was just made. */
export function linkOf(socket: SmallSocket, events: LinkEvents): Link {
  let opened = false;
  let over = false;
  let farewell: [code: number, reason: string] = [1000, ""];
  const close = (): void => {
    try {
      socket.close(...farewell);
    } catch (_) {
      // it is gone, or will be closed when it opens
    }
  };
  const end = (code: number, reason: string): void => {
    if (over) return;
    over = true;
    events.ended(code, reason, opened);
  };
  const fail = (event: unknown): void => {
    end(1006, messageOf(event) || LOST);
    close(); // some platforms keep it, and count it, until they are told
  };
  socket.onopen = () => {
    if (over) return close();
    opened = true;
    events.opened();
  };
  socket.onmessage = ({ data }) => {
    if (!over) events.received(data);
  };
  socket.onclose = ({ code, reason }) => end(code || 1006, reason || LOST);
  socket.onerror = fail;
  return {
    send(text) {
      try {
        socket.send(text);
      } catch (error) {
        fail(error);
      }
    },
    leave(code, reason) {
      over = true;
      farewell = [code < CODES_OF_APPLICATIONS && code !== 1000 ? 4200 : code, reason.slice(0, LONGEST_REASON)];
      close();
    },
  };
}

/** What an error or an error event says of itself. */
export function messageOf(error: unknown): string {
  const { message, errMsg } = Object(error) as { message?: unknown; errMsg?: unknown };
  return String(message || errMsg || "");
}
