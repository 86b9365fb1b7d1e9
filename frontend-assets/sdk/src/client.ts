// The client: one signed-in user, one connection, and the rooms and messages that go over it.

import { sender, type Api, type Method, type PlainRequest } from "./api.js";
import {
  Connection,
  type Answer,
  type ConnectionState,
  type NamespaceSocket,
  type ServerEvent,
  type SocketFactory,
} from "./connection.js";
import { Emitter, type Unsubscribe } from "./emitter.js";
import { TertuliaError } from "./error.js";
import { FallbackStorage } from "./fallback-storage.js";
import {
  bounds,
  type ClientEvents,
  type ConnectAuth,
  type Room as RoomInfo,
  type ServerEvents,
} from "./generated/events.js";
import type { components } from "./generated/http.js";
import { Notifications } from "./notifications.js";
import { Outbox, type Draft, type OutgoingMessage, type Sending } from "./outbox.js";
import { Room, type RoomHost } from "./room.js";
import { Session, type SignedOutReason, type User } from "./session.js";
import { officialClient } from "./socket.js";
import { indexedDbStorage, memoryStorage, type Storage } from "./storage.js";
import { Transports } from "./transports.js";
import { putBytes, Uploads, type PutBytes } from "./uploads.js";

/** Further behind than this, reading the end of a room anew is quicker than following it there. */
const MAX_BEHIND = 5_000;

const NOTHING: readonly OutgoingMessage[] = [];

export interface TertuliaOptions {
  /** The server's origin, such as `https://chat.example.org`; unless given, the page's own. */
  url?: string;
  /** Where the session and unsent messages are kept; unless given, IndexedDB where there is one, else memory. */
  storage?: Storage;
  /**
   * Events that a room may be behind to be caught up with, 5,000 unless given. Beyond that it starts over with the
   * event `reset`. `Infinity` for clients that must see every event.
   */
  maxBehind?: number;
  fetch?: typeof globalThis.fetch;
  /** Another way to send the bytes of uploads than `XMLHttpRequest` or `fetch`, for tests. */
  putBytes?: PutBytes;
  /** Another socket than the official client's, for tests. */
  socket?: SocketFactory;
}

/** What a client tells its listeners. */
export interface TertuliaEvents {
  /** The state of the connection changed. */
  connection: ConnectionState;
  /** Somebody signed in, or the user's own data changed. */
  user: User;
  /** The session is over. Unsent messages are kept for the user's return, except after `logout`. */
  "signed-out": SignedOutReason;
  /** There is news in a room that this connection isn't subscribed to. */
  "room:unread": ServerEvents["room:unread"];
  /** A room changed. */
  "room:updated": ServerEvents["room:updated"];
  /** The members of a room changed; `userId` may be oneself, added or removed. */
  "room:member": ServerEvents["room:member"];
  /**
   * What was read of something is outdated: by a key such as `user:ID` after a change of that user's name or picture, or a kind alone
   * (`user`) for all of that kind. Nothing is told of what changes while there is no connection.
   */
  outdated: string;
  /** A message on its way changed, came, or went; in any room. */
  outgoing: OutgoingMessage;
  /**
   * The storage failed, or didn't answer in time; told once until it works again. Everything goes on in memory, and is
   * stored when that is possible again.
   */
  "storage-error": Error;
}

type Schemas = components["schemas"];

export class Tertulia {
  /** The HTTP routes, as who is signed in. */
  readonly api: Api;
  /** Files and images, to be attached to messages. */
  readonly uploads: Uploads;
  /** What happened while the user looked elsewhere. */
  readonly notifications: Notifications;
  readonly #events = new Emitter<TertuliaEvents>();
  readonly #storage: Storage;
  readonly #session: Session;
  readonly #connection: Connection;
  readonly #host: RoomHost;
  readonly #rooms = new Map<string, Room>();
  #outbox: Outbox | undefined;
  #outboxOf: string | undefined;
  /** The rooms that the handshake of this connection named. */
  #resumed = new Set<string>();

  constructor(options: TertuliaOptions = {}) {
    const origin = (options.url ?? globalThis.location?.origin ?? "").replace(/\/$/, "");
    // Called as a method of something else, the one of a browser throws.
    const fetch = options.fetch ?? ((...request) => globalThis.fetch(...request));
    this.#storage = new FallbackStorage(options.storage ?? (hasIndexedDb() ? indexedDbStorage() : memoryStorage()), (error) =>
      this.#events.emit("storage-error", error instanceof Error ? error : new Error(String(error))),
    );

    this.#session = new Session(sender(origin, fetch), this.#storage, {
      user: (user) => this.#signedIn(user),
      ended: (reason) => this.#signedOut(reason),
    });
    this.#connection = new Connection(options.socket ?? officialClient(origin), new Transports(this.#storage), {
      token: (refused) => this.#session.accessToken(refused),
      resume: () => this.#resume(),
      connected: () => this.#connected(),
      disconnected: () => {
        for (const room of this.#rooms.values()) room.disconnected();
      },
      event: (event) => this.#receive(event),
      attended: () => this.notifications.connected(),
      notification: (name, payload) => {
        if (name === "cache:invalidated") this.#events.emit("outdated", (payload as { key: string }).key);
        else this.notifications.receive(name, payload);
      },
      state: (state) => this.#events.emit("connection", state),
    });
    this.#host = this.#roomHost(options.maxBehind ?? MAX_BEHIND);

    // What it answers is for the types of `Api` to say.
    const route =
      (method: Method) =>
      (path: string, request: PlainRequest = {}) =>
        this.#session.request(method, path, request) as Promise<never>;
    this.api = {
      get: route("get"),
      post: route("post"),
      put: route("put"),
      patch: route("patch"),
      delete: route("delete"),
    };
    this.uploads = new Uploads(this.api, origin, options.putBytes ?? putBytes(fetch));
    this.notifications = new Notifications(this.api);
  }

  /** Who is signed in. */
  get user(): User | undefined {
    return this.#session.user;
  }

  get connection(): ConnectionState {
    return this.#connection.state;
  }

  /** Messages on their way in all rooms, in the order written: the same array until one of them changes. */
  get outgoing(): readonly OutgoingMessage[] {
    return this.#outbox?.of() ?? NOTHING;
  }

  on<E extends keyof TertuliaEvents>(event: E, listener: (payload: TertuliaEvents[E]) => void): Unsubscribe {
    return this.#events.on(event, listener);
  }

  /** Makes an account, signs in and connects. */
  register(account: Schemas["RegisterRequest"]): Promise<User> {
    return this.#signIn("register", account);
  }

  /** Signs in and connects. */
  login(account: Schemas["LoginRequest"]): Promise<User> {
    return this.#signIn("login", account);
  }

  /** Comes in without an account, and connects. */
  guest(guest: Schemas["GuestRequest"]): Promise<User> {
    return this.#signIn("guest", guest);
  }

  /** Takes up the session that was kept, if there is one, and connects. Works without a network. */
  async restore(): Promise<User | undefined> {
    const user = await this.#session.restore();
    if (user) this.connect();
    return user;
  }

  /** Ends the session, here in any case, and forgets unsent messages. */
  async logout(): Promise<void> {
    if (!this.user) return;
    const outbox = this.#outbox;
    this.#connection.stop();
    // What can't be reached can't be told; the refresh token is forgotten with the session.
    await this.#session.request("post", "auth/logout", {}).catch(() => undefined);
    this.#session.end("logout");
    await outbox?.close(true);
  }

  /** Connects, now and whenever the connection is lost; signing in does so by itself. */
  connect(): void {
    if (this.user) this.#connection.start();
  }

  /** Closes the connection, and forgets nothing. */
  disconnect(): void {
    this.#connection.stop();
  }

  /** Tries at once to connect instead of waiting for `connection.retryAt`. */
  reconnect(): void {
    this.connect();
    this.#connection.hurry();
  }

  /** Reads the user anew, as after `PATCH me`. */
  async reloadUser(): Promise<User> {
    const { user } = await this.api.get("me");
    this.#session.update(user);
    return user;
  }

  /** The room of an id, the same object for as long as somebody is signed in. Follows it only after {@link Room.join}. */
  room(id: string): Room {
    let room = this.#rooms.get(id);
    if (!room) this.#rooms.set(id, (room = new Room(id, this.#host)));
    return room;
  }

  /** Makes a room, or finds the direct room of two. */
  async createRoom(room: Schemas["CreateRoom"]): Promise<RoomInfo> {
    return (await this.api.post("rooms", { body: room })).room;
  }

  /** @internal A socket of another namespace; see `Namespace`. */
  beside(namespace: string): NamespaceSocket | undefined {
    return this.#connection.beside(namespace);
  }

  /** The answer of a route as it is, such as an export that is too long to be read at once. */
  async download(route: string, query: Record<string, unknown> = {}, signal?: AbortSignal): Promise<Response> {
    return (await this.#session.request("get", route, { query, isRaw: true, ...(signal && { signal }) })) as Response;
  }

  /** Sends any client event, once there is a connection. Rejects with {@link TertuliaError}. */
  request<E extends keyof ClientEvents>(event: E, payload: ClientEvents[E]["payload"]): Promise<Answer<E>> {
    return this.#connection.request(event, payload);
  }

  async #signIn(way: string, body: object): Promise<User> {
    const user = await this.#session.signIn(way, body);
    // What was before was of another session.
    this.#connection.stop();
    this.connect();
    return user;
  }

  #signedIn(user: User): void {
    if (this.#outboxOf !== user.id) {
      this.#connection.stop();
      this.#clear();
      const outbox = new Outbox(user.id, this.#storage, {
        ready: (roomId) => this.connection.status === "connected" && (this.#rooms.get(roomId)?.isReady ?? true),
        send: (payload, settle) => this.#connection.ask("message:send", payload, settle),
        awaits: ({ roomId, seq }) => this.#rooms.get(roomId)?.awaits(seq) ?? false,
        changed: (message) => {
          this.#rooms.get(message.roomId)?.outgoingChanged(message);
          this.#events.emit("outgoing", message);
        },
      });
      this.#outbox = outbox;
      this.#outboxOf = user.id;
      void outbox.load();
    }
    this.#events.emit("user", user);
  }

  #signedOut(reason: SignedOutReason): void {
    this.#connection.stop();
    this.#clear();
    this.#events.emit("signed-out", reason);
  }

  #clear(): void {
    this.notifications.signedOut();
    for (const room of this.#rooms.values()) room.signedOut();
    this.#rooms.clear();
    void this.#outbox?.close();
    this.#outbox = undefined;
    this.#outboxOf = undefined;
  }

  #resume(): ConnectAuth["resume"] {
    this.#resumed.clear();
    const points: NonNullable<ConnectAuth["resume"]> = {};
    for (const room of this.#rooms.values()) {
      const point = room.resumePoint;
      // Those that don't fit are joined one by one.
      if (!point || this.#resumed.size >= bounds.resumedRooms) continue;
      this.#resumed.add(room.id);
      points[room.id] = point;
    }
    return this.#resumed.size > 0 ? points : undefined;
  }

  #connected(): void {
    for (const room of this.#rooms.values()) room.connected(this.#resumed.has(room.id));
    this.#outbox?.flush();
  }

  #receive(event: ServerEvent): void {
    const [name, payload] = event;
    switch (name) {
      case "session:revoked":
        return this.#session.end("revoked");
      case "message:new":
        if (payload.sender.id === this.user?.id) this.#outbox?.arrived(payload);
        break;
      case "room:updated":
        this.#rooms.get(payload.room.id)?.receive(event);
        this.#events.emit(name, payload);
        return;
      case "room:unread":
        this.#events.emit(name, payload);
        break;
      case "room:member":
        this.#events.emit(name, payload);
        break;
    }
    // A newer server may send what this package doesn't know.
    if (typeof payload === "object" && payload && "roomId" in payload) this.#rooms.get(payload.roomId)?.receive(event);
  }

  #roomHost(maxBehind: number): RoomHost {
    const connection = this.#connection;
    const session = this.#session;
    const outbox = (): Outbox | undefined => this.#outbox;
    return {
      get connected() {
        return connection.state.status === "connected";
      },
      get userId() {
        return session.user?.id;
      },
      maxBehind,
      ask: (event, payload, settle) => connection.ask(event, payload, settle),
      request: (event, payload) => connection.request(event, payload),
      pending: (roomId) => outbox()?.of(roomId) ?? NOTHING,
      send: (roomId: string, draft: Draft): Sending => {
        const open = outbox();
        if (!open) throw TertuliaError.signedOut();
        return open.add(roomId, draft);
      },
      retry: (clientId) => outbox()?.retry(clientId),
      discard: (clientId) => outbox()?.discard(clientId),
      released: (roomId) => {
        outbox()?.release(roomId);
        outbox()?.advance(roomId);
      },
    };
  }
}

function hasIndexedDb(): boolean {
  try {
    return typeof indexedDB !== "undefined";
  } catch {
    // Forbidden: there is one, which will fail.
    return true;
  }
}
