/**
 * Who a client is: its session and key, its instance, and whether the session is on its disk (PROTOCOL 2).
 *
 * - session and key are known together or not at all (vectors: handshake.json);
 * - a session that was not stored yet is told apart from one that was, where the outbox is durable
 *   (vectors: durable.json).
 */

import type { Effect } from "./effects.js";
import { BadFrame } from "./errors.js";
import type { Cursor, Hello, Json, Welcome } from "./frames.js";
import type { Heartbeat } from "./policy.js";
import type { Saved } from "./saved.js";

/** One client's session, from hello to hello. `stored` tells whether numbered messages may be written in it. */
export class Identity {
  session: string | null = null;
  stored: boolean;
  private _key: string | null = null;

  constructor(
    private readonly _instance: string,
    private readonly _about: Readonly<Record<string, Json>>,
    private readonly _saved: Saved | null,
    private readonly _effects: Effect[],
  ) {
    this.stored = _saved === null;
    if (_saved && _saved.session && _saved.key) {
      this.session = _saved.session;
      this._key = _saved.key;
      this.stored = true;
    }
  }

  /** The first frame of a link. */
  hello(floor: number, login: Json, cursors: Cursor[], wish: Heartbeat | null): Hello {
    const hello: Hello = { instance: this._instance, floor };
    if (this.session !== null && this._key !== null) {
      hello.session = this.session;
      hello.key = this._key;
    }
    if (login !== undefined && login !== null) hello.login = login;
    if (cursors.length) hello.cursors = cursors;
    if (Object.keys(this._about).length) hello.client = this._about;
    if (wish) hello.heartbeat = wish;
    return hello;
  }

  /** Throw BadFrame unless this welcome answers our hello. */
  check({ resumed, session, key, received }: Welcome): void {
    if (resumed && session !== this.session) throw new BadFrame("welcome: not our session");
    if (!resumed && (key === null || received)) {
      throw new BadFrame("welcome: a new session without key, or not new");
    }
  }

  /** This is our session now. */
  adopt({ session, key }: Welcome): void {
    this.session = session;
    this._key = key;
    this.stored = this._saved === null;
    this._remember();
  }

  /** There is no session to come back to. */
  forget(): void {
    this.session = this._key = null;
    this._remember();
  }

  /** A session is on disk; whether it is the present one. */
  remembered(session: string | null): boolean {
    if (session === null || session !== this.session) return false;
    return (this.stored = true);
  }

  private _remember(): void {
    this._effects.push({ do: "remember", session: this.session, key: this._key });
  }
}
