/** One request from a worker, to the address behind the '#'. */

import { connect } from "/heartline.js";

const conn = connect(location.hash.slice(1), { heartbeat: { interval: 0.3, timeout: 0.3 } });
conn.request("echo", "from a worker").then(postMessage, (error) => postMessage(String(error)));
