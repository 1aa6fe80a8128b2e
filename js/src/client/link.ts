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
  received(text: string): void;
  binary(): void;
  ended(code: number, reason: string, opened: boolean): void;
}

const CODES_OF_APPLICATIONS = 3000;

/** One attempt's socket. */
export class Link {
  private _opened = false;
  private _over = false;
  private _code = 1000;
  private _reason = "";

  constructor(
    private readonly _socket: SmallSocket,
    private readonly _events: LinkEvents,
  ) {
    _socket.onopen = () => {
      if (this._over) {
        this._close();
      } else if (!this._opened) {
        this._opened = true;
        _events.opened();
      }
    };
    _socket.onmessage = ({ data }) => {
      if (this._over) return;
      if (typeof data === "string") _events.received(data);
      else _events.binary();
    };
    _socket.onclose = ({ code, reason }) => this._end(code || 1006, reason || "the connection was lost");
    _socket.onerror = (event) => {
      this._end(1006, messageOf(event) || (this._opened ? "the connection broke" : "the dial failed"));
      this._close(); // some platforms keep it, and count it, until they are told
    };
  }

  /** Write one text message. What cannot be written ends the link. */
  send(text: string): void {
    if (this._over) return;
    try {
      this._socket.send(text);
    } catch (error) {
      this._end(1006, `could not send: ${messageOf(error)}`);
      this._close();
    }
  }

  /** Leave, also while dialling; whatever it still says does not matter. */
  leave(code: number, reason: string): void {
    this._over = true;
    this._code = code < CODES_OF_APPLICATIONS && code !== 1000 ? 4200 : code;
    this._reason = reason;
    this._close();
  }

  private _end(code: number, reason: string): void {
    if (this._over) return;
    this._over = true;
    this._events.ended(code, reason, this._opened);
  }

  private _close(): void {
    try {
      this._socket.close(this._code, this._reason);
    } catch {
      // it is gone, or will be closed when it opens
    }
  }
}

/** What an error or an error event says of itself. */
export function messageOf(error: unknown): string {
  const { message, errMsg } = Object(error) as { message?: unknown; errMsg?: unknown };
  return String(message || errMsg || "");
}
