// What went wrong, in words that say what to do.

import { TertuliaError } from "@tertulia/sdk";
import type { Text } from "./index.ts";

export function explain(error: unknown, text: Text): string {
  if (!(error instanceof TertuliaError)) return text.errors.internal;
  switch (error.code) {
    case "rate_limited":
      return error.retryAfterMs ? text.errors.rate_limited_for(Math.ceil(error.retryAfterMs / 1_000)) : text.errors.rate_limited;
    case "signed_out":
      return text.errors.unauthenticated;
    case "discarded":
    case "network":
    case "timeout":
    case "unavailable":
    case "internal":
    case "unauthenticated":
    case "forbidden":
    case "not_found":
    case "conflict":
    case "too_large":
    case "invalid":
    case "outbox_full":
      return text.errors[error.code];
    default:
      return text.errors.internal;
  }
}

/** Whether the server answered with this code. */
export function isRefused(error: unknown, code: TertuliaError["code"]): boolean {
  return error instanceof TertuliaError && error.code === code;
}
