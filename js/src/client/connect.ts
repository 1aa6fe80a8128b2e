/**
 * From a URL to a `Connection`.
 *
 * - one shared connection per address, however many pages ask (test: one shared connection per address).
 */

import { Connection } from "./connection.js";
import { checkUrl, type Options } from "./options.js";

/**
 * Make a connection to a heartline server, and dial. It lives until `close()`, or until `release()` where others that
 * hold it have released it as well.
 *
 * Throws TypeError and RangeError, naming the argument.
 */
export function connect(url: string, options: Options = {}): Connection {
  const connection = new Connection(url, options);
  connection.hold();
  return connection;
}

const connections = new Map<string, Connection>();

/**
 * The one connection to an address, for pages that come and go: each calls `shared(url, options).scope()`, and closes its
 * scope. It dials when the first holds it and leaves when nobody does. The options are those of the first call.
 */
export function shared(url: string, options: Options = {}): Connection {
  let connection = connections.get(checkUrl(url));
  if (!connection) connections.set(url, (connection = new Connection(url, options)));
  return connection;
}
