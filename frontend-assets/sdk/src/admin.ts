/**
 * Administration, for users with the role `admin`.
 *
 * @packageDocumentation
 */

import type { ApiRequest, Route } from "./api.js";
import type { Tertulia } from "./client.js";
import type { components } from "./generated/http.js";

export { Namespace, type NamespaceStatus } from "./namespace.js";

type Schemas = components["schemas"];
type Query<R extends Route<"get">> = ApiRequest<"get", R> extends { query?: infer Q } ? NonNullable<Q> : never;

export type ApiKey = Schemas["ApiKey"];
export type AuditEntry = Schemas["AuditEntry"];
export type AuditQuery = Query<"admin/audit">;
export type Circuit = Schemas["Circuit"];
export type CircuitMode = Schemas["CircuitMode"];
export type DeadJob = Schemas["DeadJob"];
export type Instance = Schemas["Instance"];
export type RateLimitState = Schemas["RateLimitState"];
export type RateLimitSubject = Query<"admin/rate-limits">;
export type Rollup = Schemas["Rollup"];
export type UserSession = Schemas["Session"];

/** One page of a numbered list, and where it lies in it. */
export interface NumberedPage<T> {
  data: T[];
  pagination: Schemas["Pagination"];
}

/** What administrators see and do: `new Admin(client)`. */
export class Admin {
  readonly #client: Tertulia;

  constructor(client: Tertulia) {
    this.#client = client;
  }

  get #api() {
    return this.#client.api;
  }

  /** The instances that are alive. */
  async instances(): Promise<Instance[]> {
    return (await this.#api.get("admin/instances")).instances;
  }

  /** Where a user is signed in. */
  async sessions(userId: string): Promise<UserSession[]> {
    return (await this.#api.get("admin/users/{userId}/sessions", { path: { userId } })).sessions;
  }

  /** Ends one session of a user, or all of them. */
  async endSessions(userId: string, sessionId?: string): Promise<void> {
    if (sessionId === undefined) await this.#api.delete("admin/users/{userId}/sessions", { path: { userId } });
    else await this.#api.delete("admin/users/{userId}/sessions/{sessionId}", { path: { userId, sessionId } });
  }

  /** The circuit breakers, as the instance that answers has them. */
  async circuits(): Promise<Circuit[]> {
    return (await this.#api.get("admin/circuits")).circuits;
  }

  /** Opens or closes a circuit on all instances, or has the outcomes of calls decide again. */
  async setCircuit(circuitName: string, state: CircuitMode): Promise<Circuit> {
    return (await this.#api.put("admin/circuits/{circuitName}", { path: { circuitName }, body: { state } })).circuit;
  }

  /** What is counted of a user, an address or an API key. */
  async rateLimits(subject: RateLimitSubject): Promise<RateLimitState[]> {
    return (await this.#api.get("admin/rate-limits", { query: subject })).limits;
  }

  /** Forgets it, in one tier or in all. */
  async clearRateLimits(subject: RateLimitSubject): Promise<void> {
    await this.#api.delete("admin/rate-limits", { query: subject });
  }

  /** Jobs that failed for good, the latest first. */
  deadJobs(query: Query<"admin/jobs"> = {}, signal?: AbortSignal): Promise<NumberedPage<DeadJob>> {
    return this.#api.get("admin/jobs", { query, ...(signal && { signal }) });
  }

  /** Tries them again, or forgets them: one, or all of a kind. Resolves with their number. */
  async settleDeadJobs(settle: Schemas["SettleDeadJobs"]): Promise<number> {
    return (await this.#api.post("admin/jobs", { body: settle })).jobs;
  }

  /** What happened on each day that is over. */
  async days(query: Query<"admin/rollups"> = {}): Promise<Rollup[]> {
    return (await this.#api.get("admin/rollups", { query })).rollups;
  }

  /** Who did what, the newest entries first. */
  audit(query: AuditQuery = {}, signal?: AbortSignal): Promise<NumberedPage<AuditEntry>> {
    return this.#api.get("admin/audit", { query, ...(signal && { signal }) });
  }

  /** The whole of it, the oldest first: an entry as JSON on each line. */
  exportAudit(query: Query<"admin/audit/export"> = {}, signal?: AbortSignal): Promise<Response> {
    return this.#client.download("admin/audit/export", query, signal);
  }

  /** Keys of other programs. */
  async keys(): Promise<ApiKey[]> {
    return (await this.#api.get("admin/keys")).keys;
  }

  /** The `secret` of the answer isn't shown again. */
  createKey(key: Schemas["CreateApiKey"]): Promise<Schemas["ApiKeyCreated"]> {
    return this.#api.post("admin/keys", { body: key });
  }

  async revokeKey(keyId: string): Promise<void> {
    await this.#api.delete("admin/keys/{keyId}", { path: { keyId } });
  }
}
