/**
 * `wx.request`: plain HTTP, as a mini program has it.
 *
 * - every call ends in success or fail, and in complete; a status such as 404 is a success
 *   (test: requests succeed whatever the status).
 */

/** What requests need of their host. */
export interface RequestHost {
  readonly strict: boolean;
  resolve(url: string): string;
  post(call: () => void): void;
  connected(): boolean;
}

interface Request {
  url: string;
  method?: string;
  data?: unknown;
  header?: Record<string, string>;
  dataType?: string;
  success?: (result: object) => void;
  fail?: (error: { errMsg: string }) => void;
  complete?: (result: object) => void;
}

/** Make the function `wx.request`. */
export function requesting(host: RequestHost): (options: Request) => { abort(): void } {
  return (options) => {
    const stop = new AbortController();
    const end = (call: ((result: any) => void) | undefined, result: object): void =>
      host.post(() => (call?.(result), options.complete?.(result)));
    ask(host, options, stop.signal).then(
      (result) => end(options.success, result),
      (error: Error) => end(options.fail, { errMsg: `request:fail ${error.message}` }),
    );
    return { abort: () => stop.abort() };
  };
}

async function ask(host: RequestHost, options: Request, signal: AbortSignal): Promise<object> {
  if (host.strict && !/^https:/i.test(options.url)) throw new Error("url not in domain list");
  if (!host.connected()) throw new Error("the network is down");
  const { method = "GET", data, header = {}, dataType = "json" } = options;
  const query = method === "GET" && data ? `?${new URLSearchParams(data as Record<string, string>).toString()}` : "";
  const body = method === "GET" ? null : typeof data === "string" ? data : JSON.stringify(data ?? null);
  const headers = { "content-type": "application/json", ...header };
  const response = await fetch(host.resolve(options.url) + query, { method, headers, body, signal });
  const text = await response.text();
  return {
    data: dataType === "json" ? parsed(text) : text,
    statusCode: response.status,
    header: Object.fromEntries(response.headers),
    errMsg: "request:ok",
  };
}

/** What is no JSON stays text, as on a device. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
