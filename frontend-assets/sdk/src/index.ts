// The public API while the insides are being written. Names and shapes below stay.

import type { ErrorCode, Message, Room as RoomInfo, RoomEvent, MessagePage, EventPage, MessagesFound, Presence, ServerEvents } from "./generated/events.js";
import type { components, paths } from "./generated/http.js";

export type {
  Attachment, ErrorCode, Message, MessageDeleted, MessageEdited, MessageReacted, MessagePage, EventPage, MessagesFound, Presence,
  Reaction, RoomEvent, RoomKind, RoomRole, RoomVoid, Sender, ServerEvents, ClientEvents, Room as RoomInfo,
} from "./generated/events.js";
export type { components, paths } from "./generated/http.js";
export type User = components["schemas"]["User"];
export type Tokens = components["schemas"]["Tokens"];
export type Session = components["schemas"]["Session"];
export { bounds } from "./generated/events.js";

/** What the server refused, or what stood between. The last four codes are this side's own. */
export declare class TertuliaError extends Error {
  readonly code: ErrorCode | "network" | "timeout" | "signed_out" | "outbox_full" | "discarded";
  /** Whether the same may succeed later. */
  readonly retryable: boolean;
  /** How long to wait before the next try, in milliseconds. */
  readonly retryAfterMs?: number;
  /** Of `invalid`: the field, such as `members[2]`. */
  readonly field?: string;
  /** Of an HTTP answer. */
  readonly status?: number;
}

/** Where the session and the outbox are kept over a reload. */
export interface Storage {
  /** Every entry whose key begins with `prefix`, in the order of the keys. */
  entries(prefix: string): Promise<[key: string, value: unknown][]>;
  set(key: string, value: unknown): Promise<void>;
  delete(key: string): Promise<void>;
}
export declare function memoryStorage(): Storage;
/** Throws where there is no IndexedDB. */
export declare function indexedDbStorage(name?: string): Storage;

export interface TertuliaOptions {
  /** The server's origin, such as `https://chat.example.org`; the page's own unless given. */
  url?: string;
  /** IndexedDB where there is one, else memory. */
  storage?: Storage;
  fetch?: typeof fetch;
}

/** `stopped`: nobody is signed in, or `disconnect()` was called, or refused for good (`error`). `waiting`: until `retryAt`, then `connecting`. */
export interface ConnectionState {
  readonly status: "stopped" | "connecting" | "connected" | "waiting";
  /** When the next try begins, in milliseconds since 1970. */
  readonly retryAt?: number;
  /** Why the last try or the connection ended. */
  readonly error?: TertuliaError;
  /** The server said that it stops; it, or another, will be reached at `retryAt`. */
  readonly draining?: boolean;
}

export type SignedOutReason = "logout" | "revoked" | "expired";

export interface TertuliaEvents {
  /** The state of the connection changed. */
  connection: ConnectionState;
  /** Somebody signed in, or the user's own data changed. */
  user: User;
  /** The session is over. The outbox is kept unless the user logged out. */
  "signed-out": SignedOutReason;
  /** News in a room that isn't followed. */
  "room:unread": ServerEvents["room:unread"];
  /** A room changed, followed or not. */
  "room:updated": ServerEvents["room:updated"];
  /** Members changed; `userId` may be oneself: added to a room, or removed. */
  "room:member": ServerEvents["room:member"];
  /** A message to be sent changed its state, in any room. */
  outgoing: OutgoingMessage;
  /** Something can't be kept over a reload; what is in memory goes on working. */
  "storage-error": Error;
}

/** Ends the listening. */
export type Unsubscribe = () => void;

export declare class Tertulia {
  constructor(options?: TertuliaOptions);
  /** The user who is signed in. */
  readonly user: User | undefined;
  readonly connection: ConnectionState;
  readonly api: Api;
  on<E extends keyof TertuliaEvents>(event: E, listener: (payload: TertuliaEvents[E]) => void): Unsubscribe;

  /** Each signs in, remembers the session, and connects. */
  register(account: { username: string; password: string; displayName?: string; email?: string }): Promise<User>;
  login(account: { username: string; password: string }): Promise<User>;
  guest(guest: { displayName: string }): Promise<User>;
  /** Takes up the remembered session, and connects; `undefined` if there is none. Needs no network. */
  restore(): Promise<User | undefined>;
  /** Ends the session here and, if it can be reached, on the server; the user's outbox is deleted. */
  logout(): Promise<void>;
  /** Reads the user anew, after `PATCH me`. */
  reloadUser(): Promise<User>;

  connect(): void;
  /** Closes the connection; nothing is forgotten. */
  disconnect(): void;
  /** Tries at once instead of waiting for `retryAt`. */
  reconnect(): void;

  /** The same object for the same id. */
  room(id: string): Room;
  createRoom(room: { name?: string; kind: "public" | "private" | "direct"; members?: string[] }): Promise<RoomInfo>;
  /** All messages on their way, in all rooms. */
  readonly outgoing: readonly OutgoingMessage[];
}

/** A message on its way, as it is now: an object isn't changed but replaced. */
export interface OutgoingMessage {
  readonly clientId: string;
  readonly roomId: string;
  readonly body: string;
  readonly replyTo?: number;
  readonly mentions?: readonly string[];
  /** When it was written, as in `Message.at`. */
  readonly createdAt: string;
  /** `queued`: waits for the connection, its turn or the next try. `failed`: refused for good; retry or discard. */
  readonly state: "queued" | "sending" | "sent" | "failed";
  /** Tries so far. */
  readonly attempts: number;
  /** Why the last try failed. */
  readonly error?: TertuliaError;
  /** Once `sent`. It leaves `pending` when its `message:new` has been delivered. */
  readonly message?: Message;
}

/** What `room.send` returns. */
export interface Sending {
  readonly clientId: string;
  readonly current: OutgoingMessage;
  /** Resolves once it is durable; rejects if it is refused for good or discarded. */
  delivered(): Promise<Message>;
  retry(): void;
  discard(): void;
}

export interface RoomEvents {
  /** Every durable event, once and in the order of `seq`. */
  event: RoomEvent;
  /** The same, by name. */
  "message:new": ServerEvents["message:new"];
  "message:edited": ServerEvents["message:edited"];
  "message:deleted": ServerEvents["message:deleted"];
  "message:reacted": ServerEvents["message:reacted"];
  /** What is shown is of another life of the room, or too old: read `history()` again. */
  reset: RoomInfo;
  /** Left, kicked, deleted or not to be seen any more; `join()` begins anew. `undefined`: left, here or on another device, or removed. */
  lost: TertuliaError | undefined;
  /** `info` or `status` changed. */
  changed: RoomInfo | undefined;
  "typing:changed": ServerEvents["typing:changed"];
  "read:changed": ServerEvents["read:changed"];
  "presence:changed": ServerEvents["presence:changed"];
  "presence:count": ServerEvents["presence:count"];
  "room:member": ServerEvents["room:member"];
  /** `pending` changed; the message that did. */
  outgoing: OutgoingMessage;
}

export declare class Room {
  readonly id: string;
  /** The room as last heard of, `unread` and `readSeq` included. */
  readonly info: RoomInfo | undefined;
  /** `following`: subscribed and up to date. `catching-up`: not connected, or what was missed is on its way. */
  readonly status: "idle" | "catching-up" | "following" | "lost";
  /** The last `seq` that listeners were given. */
  readonly seq: number;
  /** Messages on their way, in the order written: the same array until one changes. */
  readonly pending: readonly OutgoingMessage[];
  on<E extends keyof RoomEvents>(event: E, listener: (payload: RoomEvents[E]) => void): Unsubscribe;

  /** Becomes a member and follows the room from now on, over reconnects. Resolves when the server agreed; waits for the connection. With `from`, everything after it is delivered first. */
  join(from?: { seq: number; epoch?: string }): Promise<RoomInfo>;
  /** Stops following; stays a member. */
  close(): void;
  /** Ends the membership. */
  leave(): Promise<void>;

  /** Puts a message into the outbox. Throws `outbox_full`, or `invalid` for what no server would take. */
  send(draft: { body: string; replyTo?: number; mentions?: string[] }): Sending;
  retry(clientId: string): void;
  discard(clientId: string): void;

  edit(seq: number, body: string): Promise<Message>;
  delete(seq: number): Promise<void>;
  react(seq: number, emoji: string, on?: boolean): Promise<void>;
  /** To be called on every keystroke (throttled; ends by itself), with `false` when the field was cleared. */
  typing(on?: boolean): void;
  /** Read up to `seq`; debounced, never goes back. */
  read(seq: number): void;
  history(page?: { before?: number; after?: number; limit?: number }): Promise<MessagePage>;
  events(page: { after: number; limit?: number }): Promise<EventPage>;
  search(query: string, limit?: number): Promise<MessagesFound>;
  presence(): Promise<Presence>;
}

type Version = "/api/v1/";
type Method = "get" | "post" | "put" | "patch" | "delete";
/** The routes of a method, without `/api/v1/`. */
export type Route<M extends Method> = {
  [P in keyof paths]: P extends `${Version}${infer R}` ? (paths[P] extends { [K in M]: object } ? R : never) : never;
}[keyof paths];
type Operation<M extends Method, R extends string> = `${Version}${R}` extends keyof paths
  ? M extends keyof paths[`${Version}${R}`] ? paths[`${Version}${R}`][M] : never : never;
type Part<O, N extends "path" | "query"> = O extends { parameters: { [K in N]: infer T } } ? { [K in N]: T }
  : O extends { parameters: { [K in N]?: infer T } } ? { [K in N]?: T } : unknown;
type Body<O> = O extends { requestBody: { content: { "application/json": infer B } } } ? { body: B }
  : O extends { requestBody?: { content: { "application/json": infer B } } } ? { body?: B } : unknown;
export type ApiRequest<M extends Method, R extends Route<M>> = Part<Operation<M, R>, "path"> & Part<Operation<M, R>, "query"> &
  Body<Operation<M, R>> & { signal?: AbortSignal };
type Responses<O> = O extends { responses: infer T } ? T : never;
type Json<T> = T extends { content: { "application/json": infer B } } ? B : undefined;
export type ApiAnswer<M extends Method, R extends Route<M>> = Responses<Operation<M, R>> extends infer A
  ? A extends { 200: infer T } ? Json<T> : A extends { 201: infer T } ? Json<T> : undefined : never;
type Arguments<M extends Method, R extends Route<M>> = object extends ApiRequest<M, R> ? [request?: ApiRequest<M, R>] : [request: ApiRequest<M, R>];

/** `api.get("rooms/{roomId}/members", { path: { roomId }, query: { limit: 50 } })`. Rejects with `TertuliaError`. */
export interface Api {
  get<R extends Route<"get">>(route: R, ...request: Arguments<"get", R>): Promise<ApiAnswer<"get", R>>;
  post<R extends Route<"post">>(route: R, ...request: Arguments<"post", R>): Promise<ApiAnswer<"post", R>>;
  put<R extends Route<"put">>(route: R, ...request: Arguments<"put", R>): Promise<ApiAnswer<"put", R>>;
  patch<R extends Route<"patch">>(route: R, ...request: Arguments<"patch", R>): Promise<ApiAnswer<"patch", R>>;
  delete<R extends Route<"delete">>(route: R, ...request: Arguments<"delete", R>): Promise<ApiAnswer<"delete", R>>;
}
