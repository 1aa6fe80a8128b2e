/** Where the server is, and how it is reached from a mini program, an app and a browser alike. */

import { connect, miniProgram } from "heartline";

/** A mini program has no address of its own: name the domain that is registered for it. */
const BASE = import.meta.env.VITE_SERVER ?? "wss://trades.example/";

/** In a browser the page's own server is asked. */
function base() {
  // #ifdef H5
  if (!import.meta.env.VITE_SERVER) return location.origin.replace(/^http/, "ws") + "/";
  // #endif
  return BASE;
}

/** Dials with these options. For `Feed`. */
export function dial(options) {
  // `uni` is no global of a module: the platform has to be named.
  return connect(`${base()}trades`, { platform: miniProgram(uni), ...options });
}

/** A trader's closed positions. */
export function closedOf(traderid) {
  return new Promise((resolve, reject) => {
    uni.request({
      url: `${base().replace(/^ws/, "http")}trades/closed?traderid=${traderid}`,
      success: ({ statusCode, data }) => (statusCode === 200 ? resolve(data.data) : reject(new Error(`${statusCode}`))),
      fail: ({ errMsg }) => reject(new Error(errMsg)),
    });
  });
}
