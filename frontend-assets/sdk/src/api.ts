// HTTP calls, typed by the generated paths. Every failure is a `TertuliaError`.

import { TertuliaError } from "./error.js";
import type { components, paths } from "./generated/http.js";

const TIMEOUT_MS = 30_000;

type Version = "/api/v1/";
export type Method = "get" | "post" | "put" | "patch" | "delete";

/** The routes that take a method, without `/api/v1/`. */
export type Route<M extends Method> = {
  [P in keyof paths]: P extends `${Version}${infer R}` ? (paths[P] extends { [K in M]: object } ? R : never) : never;
}[keyof paths];

type Operation<M extends Method, R extends string> = `${Version}${R}` extends keyof paths
  ? M extends keyof paths[`${Version}${R}`]
    ? paths[`${Version}${R}`][M]
    : never
  : never;
type Parameters<O, In extends "path" | "query"> = O extends { parameters: { [K in In]: infer T } }
  ? { [K in In]: T }
  : O extends { parameters: { [K in In]?: infer T } }
    ? { [K in In]?: T }
    : unknown;
type Body<O> = O extends { requestBody: { content: { "application/json": infer B } } }
  ? { body: B }
  : O extends { requestBody?: { content: { "application/json": infer B } } }
    ? { body?: B }
    : unknown;

/** What a route takes. */
export type ApiRequest<M extends Method, R extends Route<M>> = Parameters<Operation<M, R>, "path"> &
  Parameters<Operation<M, R>, "query"> &
  Body<Operation<M, R>> & { signal?: AbortSignal };

type Json<T> = T extends { content: { "application/json": infer B } } ? B : undefined;
type Answers<O> = O extends { responses: infer A }
  ? A extends { 200: infer T }
    ? Json<T>
    : A extends { 201: infer T }
      ? Json<T>
      : A extends { 202: infer T }
        ? Json<T>
        : undefined
  : never;

/** What a route answers; nothing where it answers without content. */
export type ApiAnswer<M extends Method, R extends Route<M>> = Answers<Operation<M, R>>;

type Arguments<M extends Method, R extends Route<M>> =
  object extends ApiRequest<M, R> ? [request?: ApiRequest<M, R>] : [request: ApiRequest<M, R>];

/**
 * The routes of the server, as who is signed in:
 * `api.get("rooms/{roomId}/members", { path: { roomId }, query: { limit: 50 } })`.
 *
 * Each rejects with {@link TertuliaError}, or with the reason of a `signal` that was aborted.
 */
export type Api = {
  [M in Method]: <R extends Route<M>>(route: R, ...request: Arguments<M, R>) => Promise<ApiAnswer<M, R>>;
};

/** A request without its types. */
export interface PlainRequest {
  path?: Record<string, string | number>;
  query?: Record<string, unknown>;
  body?: unknown;
  signal?: AbortSignal;
  /** The answer is given unread, however long reading it takes. */
  isRaw?: boolean;
}

/** Makes one request to `/api/v1/`, and no other if it fails. */
export type Send = (method: string, route: string, request: PlainRequest, token?: string) => Promise<unknown>;

export function sender(origin: string, fetch: typeof globalThis.fetch): Send {
  return async (method, route, { path = {}, query = {}, body, signal, isRaw }, token) => {
    const filled = route.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? ""));
    const asked = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const search =
      asked.length > 0 ? `?${new URLSearchParams(asked.map(([name, value]) => [name, String(value)]))}` : "";
    const headers: Record<string, string> = { accept: "application/json" };
    if (token) headers["authorization"] = `Bearer ${token}`;
    if (body !== undefined) headers["content-type"] = "application/json";

    const timeout = new AbortController();
    const timer = setTimeout(() => timeout.abort(), TIMEOUT_MS);
    const request: RequestInit = {
      method: method.toUpperCase(),
      headers,
      signal: signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal,
    };
    if (body !== undefined) request.body = JSON.stringify(body);
    try {
      const response = await fetch(`${origin}/api/v1/${filled}${search}`, request);
      if (!response.ok) throw await problem(response);
      if (isRaw) return response;
      // An answer without content has no type either.
      return response.headers.has("content-type") ? await response.json() : undefined;
    } catch (error) {
      if (error instanceof TertuliaError) throw error;
      if (signal?.aborted) throw signal.reason;
      throw timeout.signal.aborted ? TertuliaError.timeout() : TertuliaError.network();
    } finally {
      clearTimeout(timer);
    }
  };
}

async function problem(response: Response): Promise<TertuliaError> {
  const { status } = response;
  // What stands between may answer something else than the server would.
  const body = (await response.json().catch(() => ({}))) as Partial<components["schemas"]["Problem"]>;
  const plain = TertuliaError.ofStatus(status, response.headers.get("retry-after"));
  return new TertuliaError({
    code: body.code ?? plain.code,
    message: body.detail ?? plain.message,
    retryable: body.retryable ?? plain.retryable,
    retryAfterMs: body.retryAfterMs ?? plain.retryAfterMs,
    status,
  });
}
