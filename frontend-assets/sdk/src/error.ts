// The one error of this package: what the server refused, and what stood between, told apart by `code`.

import type { ErrorCode } from "./generated/events.js";

/**
 * Why something failed: a code of the server, or one of this side.
 *
 * - `network`: the server can't be reached, or the connection broke before the answer
 * - `timeout`: no answer in time
 * - `signed_out`: nobody is signed in
 * - `closed`: the room was closed, or left, before it was done
 * - `outbox_full`: too many messages wait to be sent
 * - `discarded`: the message was taken out of the outbox
 */
export type TertuliaErrorCode =
  ErrorCode | "network" | "timeout" | "signed_out" | "closed" | "outbox_full" | "discarded";

/** What the server refused, or what stood between. */
export class TertuliaError extends Error {
  override readonly name = "TertuliaError";
  /** Why, for programs. */
  readonly code: TertuliaErrorCode;
  /** Whether the same, unchanged, may succeed later. */
  readonly retryable: boolean;
  /** How long to wait before the next try, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The HTTP status, if it was an HTTP answer. */
  readonly status: number | undefined;

  constructor(error: {
    code: TertuliaErrorCode;
    message: string;
    retryable?: boolean;
    retryAfterMs?: number | undefined;
    status?: number;
  }) {
    super(error.message);
    this.code = error.code;
    this.retryable = error.retryable ?? false;
    this.retryAfterMs = error.retryAfterMs;
    this.status = error.status;
  }

  /** Of `invalid`: the name of the field, such as `members[2]`. */
  get field(): string | undefined {
    return this.code === "invalid" ? /^([\w.[\]-]+): /.exec(this.message)?.[1] : undefined;
  }

  /** @internal The connection is down, or broke. */
  static network(message = "the server can't be reached"): TertuliaError {
    return new TertuliaError({ code: "network", message, retryable: true });
  }

  /** @internal */
  static timeout(): TertuliaError {
    return new TertuliaError({ code: "timeout", message: "the server took too long to answer", retryable: true });
  }

  /** @internal */
  static signedOut(): TertuliaError {
    return new TertuliaError({ code: "signed_out", message: "nobody is signed in" });
  }

  /**
   * @internal An answer of which nothing but the status is understood, and its `Retry-After`: in seconds or as a date.
   */
  static ofStatus(status: number, retryAfter: string | null): TertuliaError {
    const after = retryAfter?.trim() || undefined;
    const ms = after === undefined ? NaN : /^\d+$/.test(after) ? Number(after) * 1_000 : Date.parse(after) - Date.now();
    const retryAfterMs = Number.isNaN(ms) ? undefined : Math.max(0, ms);
    const codes: Record<number, ErrorCode> = {
      401: "unauthenticated",
      403: "forbidden",
      404: "not_found",
      409: "conflict",
      413: "too_large",
      429: "rate_limited",
      500: "internal",
    };
    return new TertuliaError({
      code: codes[status] ?? (status > 500 ? "unavailable" : "invalid"),
      message: `the server answered ${status}`,
      retryable: status === 429 || (status >= 502 && status <= 504),
      retryAfterMs,
      status,
    });
  }

  /** @internal */
  static from(error: unknown): TertuliaError {
    if (error instanceof TertuliaError) return error;
    return new TertuliaError({ code: "internal", message: error instanceof Error ? error.message : String(error) });
  }
}
