/**
 * The one tree of errors; what a user of heartline may have to catch.
 *
 *     HeartlineError
 *     ├── BadFrame            the server broke heartline.1
 *     ├── NotDelivered        a message of ours ended otherwise than handled (`outcome` tells how)
 *     │   ├── Rejected        the server said fail: `code`, `message`, `details`
 *     │   ├── Expired         it never left this client: too old, dropped from a full outbox, or closed before
 *     │   └── OutcomeUnknown  it was written, and the server lost its memory of it, or we closed
 *     ├── RequestTimeout      we stopped waiting; the message goes on (`n` names it)
 *     ├── OutboxFull          nothing was queued: `messages` and `bytes` tell the fill
 *     ├── SubscriptionRefused the server said no: `channel`, `code`
 *     ├── LoginRefused        refused for good
 *     ├── GaveUp              maxAttempts attempts failed; `retry()` is the way back
 *     ├── OutboxError         the store did not keep what it was given: `cause` tells why
 *     └── ConnectionClosed    close() or end() was called, or the server ended the session
 *         └── Replaced        another instance took this session over
 *
 * - every error carries `name` and `retryable` (test: errors carry name and retryable).
 */

/** Base of every error heartline throws on purpose. `name` says which, also where code was made small. */
export class HeartlineError extends Error {
  constructor(
    name: string,
    message: string,
    /** Whether trying again makes sense. */
    readonly retryable: boolean = false,
  ) {
    super(message);
    this.name = name;
  }
}

/** The server broke heartline.1. The message names frame and element, never payload (PROTOCOL 1.3). */
export class BadFrame extends HeartlineError {
  constructor(message: string) {
    super("BadFrame", message);
  }
}

/** A message of ours ended otherwise than handled. */
export class NotDelivered extends HeartlineError {
  constructor(
    name: string,
    message: string,
    readonly outcome: "rejected" | "expired" | "unknown",
  ) {
    super(name, message, outcome === "expired");
  }
}

/** The server refused a message or its handler failed (PROTOCOL 3.3). `details`: all it said. */
export class Rejected extends NotDelivered {
  constructor(
    readonly code: string,
    readonly reason: string,
    readonly details: object,
  ) {
    super("Rejected", `${code}: ${reason}`, "rejected");
  }
}

/** The message never left this client; sending it again is safe. */
export class Expired extends NotDelivered {
  constructor(message: string) {
    super("Expired", message, "expired");
  }
}

/** The message was written to a link and nobody can tell whether it was handled. */
export class OutcomeUnknown extends NotDelivered {
  constructor(message: string) {
    super("OutcomeUnknown", message, "unknown");
  }
}

/** A request's time-out ran out after it had been written. It may still be handled. */
export class RequestTimeout extends HeartlineError {
  constructor(
    message: string,
    readonly n: number,
  ) {
    super("RequestTimeout", message, true);
  }
}

/** The outbox is at its limit. Nothing was queued; `await conn.room()` and try again. */
export class OutboxFull extends HeartlineError {
  constructor(
    readonly messages: number,
    readonly bytes: number,
  ) {
    super("OutboxFull", "the outbox is full", true);
  }
}

/** The server said no to a subscription, or withdrew it (PROTOCOL 4.3). */
export class SubscriptionRefused extends HeartlineError {
  constructor(
    readonly channel: string,
    readonly code: string,
    readonly reason: string,
  ) {
    super("SubscriptionRefused", `${channel}: ${code}: ${reason}`);
  }
}

/** The server refused the login for good (PROTOCOL 2.5). */
export class LoginRefused extends HeartlineError {
  constructor(message: string) {
    super("LoginRefused", message);
  }
}

/** `maxAttempts` attempts in a row made no progress; `retry()` starts again. */
export class GaveUp extends HeartlineError {
  constructor(message: string) {
    super("GaveUp", message, true);
  }
}

/** The store did not keep what it was given; the connection goes on without it. */
export class OutboxError extends HeartlineError {
  constructor(readonly cause: unknown) {
    super("OutboxError", `not stored: ${cause}`);
  }
}

/** This connection was closed or its session ended. */
export class ConnectionClosed extends HeartlineError {
  constructor(message = "it was closed", name = "ConnectionClosed") {
    super(name, message);
  }
}

/** Another instance of this client took the session over (a copied outbox, a duplicated tab). */
export class Replaced extends ConnectionClosed {
  constructor(message: string) {
    super(message, "Replaced");
  }
}
