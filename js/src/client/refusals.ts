/** Why a server has nothing to do with us. */

import { Code } from "../core/codes.js";
import type { StateChange } from "../core/effects.js";
import { BadFrame, ConnectionClosed, type HeartlineError, LoginRefused, Replaced } from "../core/errors.js";

/** The error for a connection that was refused by this change of its state. A new one each time. */
export function refusalOf({ code, reason }: StateChange): HeartlineError {
  switch (code) {
    case Code.POLICY:
    case Code.LOGIN_REFUSED:
    case Code.NOT_YOUR_SESSION:
    case Code.TOO_MANY_SESSIONS:
      return new LoginRefused(reason);
    case Code.REPLACED:
      return new Replaced(reason);
    case Code.BAD_FRAME:
      return new BadFrame(reason);
    default:
      return new ConnectionClosed(`closed by the server: ${code} ${reason}`);
  }
}
