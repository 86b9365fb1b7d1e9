// A model of the server at the level of sockets and HTTP: rooms with their logs, sessions with their tokens, and a
// switch for everything that can break on the way. It keeps the contract; tests break it on purpose.

import type { NamespaceSocket, SocketFactory, SocketLike } from "../../src/connection.js";
import type { Transport, Way } from "../../src/transports.js";
import type {
  ConnectAuth,
  ErrorBody,
  ErrorCode,
  Message,
  Room as RoomInfo,
  RoomEvent,
  SendMessage,
} from "../../src/generated/events.js";
import { Tertulia, type TertuliaOptions } from "../../src/index.js";
import { memoryStorage } from "../../src/storage.js";

const MISSED_MAX = 500;

export function refusal(code: ErrorCode, message: string = code, retryAfterMs?: number): ErrorBody {
  const retryable = code === "unavailable" || code === "rate_limited";
  return { code, message, retryable, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

class ModelRoom {
  epoch = "e1";
  events: RoomEvent[] = [];
  /** Events up to here aren't kept any more. */
  trimmed = 0;
  /** Events after this are published, but can't be read yet. */
  readable = Infinity;

  constructor(readonly id: string) {}

  get info(): RoomInfo {
    const { id, epoch } = this;
    const headSeq = this.events.length;
    return {
      id,
      epoch,
      headSeq,
      name: id,
      kind: "public",
      createdAt: "",
      memberCount: 1,
      role: "member",
      unread: headSeq,
    };
  }

  after(seq: number, limit: number): RoomEvent[] {
    return this.events
      .filter((event) => event.seq > Math.max(seq, this.trimmed) && event.seq <= this.readable)
      .slice(0, limit);
  }

  replay(point: { seq?: number; epoch?: string | null }): { missed: RoomEvent[]; complete: boolean; reset?: true } {
    const head = this.events.length;
    if (point.seq === undefined) return { missed: [], complete: true };
    if (point.seq > head || (point.epoch != null && point.epoch !== this.epoch)) {
      return { missed: [], complete: false, reset: true };
    }
    const missed = this.after(point.seq, MISSED_MAX);
    return { missed, complete: missed.length === head - point.seq };
  }
}

/** A namespace beside the rooms, of which a test plays the server. */
export class ModelNamespace implements NamespaceSocket {
  readonly #listeners = new Map<string, (...args: never[]) => void>();
  /** How often the client has asked to be let in, and has left. */
  connects = 0;
  disconnects = 0;
  /** What was sent, with what answers it. */
  readonly sent: { event: string; payload: unknown; answer: (ack: unknown) => void }[] = [];

  connect(): void {
    this.connects++;
  }

  disconnect(): void {
    this.disconnects++;
  }

  emit(event: string, payload: unknown, answer: (ack: unknown) => void): void {
    this.sent.push({ event, payload, answer });
  }

  on(event: string, listener: (...args: never[]) => void): void {
    this.#listeners.set(event, listener);
  }

  onAny(listener: (...args: never[]) => void): void {
    this.#listeners.set("any", listener);
  }

  tell(event: string, ...args: unknown[]): void {
    this.#listeners.get(event)?.(...(args as never[]));
  }
}

/** One client's socket. */
class ModelSocket implements SocketLike {
  readonly #listeners = new Map<string, (...args: never[]) => void>();
  #any: (event: string, payload: unknown) => void = () => {};
  connected = false;
  userId = "";
  readonly rooms = new Set<string>();
  /** The `auth` of every handshake. */
  readonly handshakes: ConnectAuth[] = [];
  /** The transports that every connection was begun with. */
  readonly ways: string[] = [];
  transport: Transport | undefined;
  isSilent = false;
  #dialled = 0;

  constructor(
    readonly server: ModelServer,
    readonly auth: (answer: (auth: ConnectAuth) => void) => void,
  ) {}

  on(event: string, listener: (...args: never[]) => void): void {
    this.#listeners.set(event, listener);
  }

  /** That of notifications is connected with the rest, unless the server has none; others as the test says. */
  beside(name: string, auth: (answer: (auth: ConnectAuth) => void) => void): NamespaceSocket {
    if (name !== "/notifications") return this.others;
    let connected = (): void => {};
    return {
      connect: () => auth(({ token }) => this.server.tokens.has(token) && this.server.hasNotifications && connected()),
      disconnect: () => {},
      emit: () => {},
      on: (event, listener) => void (event === "connect" && (connected = listener)),
      onAny: (listener) => void (this.notify = listener),
    };
  }

  readonly others = new ModelNamespace();

  /** Tells something in the namespace of notifications. */
  notify: (event: string, payload: unknown) => void = () => {};

  onAny(listener: (event: string, payload: unknown) => void): void {
    this.#any = listener;
  }

  connect({ transports, upgrade }: Way): void {
    const dialled = ++this.#dialled;
    const [transport] = transports;
    this.ways.push(`${transports}${upgrade ? " upgrade" : ""}`);
    this.transport = transport;
    this.isSilent = false;
    setTimeout(() => {
      if (dialled !== this.#dialled || this.server.swallows.has(transport!)) return;
      if (upgrade && !this.server.swallows.has("websocket")) this.transport = "websocket";
      if (!this.server.reachable) return this.tell("connect_error", new Error("websocket error"));
      this.auth((auth) => this.server.handshake(this, auth));
    }, this.server.latency);
  }

  disconnect(): void {
    this.#dialled++;
    if (this.connected) this.closed("io client disconnect");
  }

  emit(event: string, payload: unknown, answer: (ack: unknown) => void): void {
    if (!this.connected) throw new Error(`${event} was sent without a connection`);
    this.server.sent.push({ event, payload: payload as Record<string, unknown> });
    const life = this.#dialled;
    setTimeout(() => {
      if (!this.connected || life !== this.#dialled) return;
      const ack = this.server.answer(this, event, payload as never);
      if (ack === undefined) return;
      setTimeout(() => {
        if (this.connected && life === this.#dialled) answer(ack);
      }, this.server.latency);
    }, this.server.latency);
  }

  tell(event: string, ...args: unknown[]): void {
    this.#listeners.get(event)?.(...(args as never[]));
  }

  deliver(event: string, payload: unknown): void {
    if (this.connected) this.#any(event, payload);
  }

  /** The connection ends. */
  closed(reason = "transport close"): void {
    if (!this.connected) return;
    this.connected = false;
    this.rooms.clear();
    this.#dialled++;
    this.tell("disconnect", reason);
  }
}

interface Sent {
  event: string;
  payload: Record<string, unknown>;
}

export class ModelServer {
  reachable = true;
  hasNotifications = true;
  /** Transports by which nothing comes through, nor fails. */
  readonly swallows = new Set<Transport>();
  /** One way, in milliseconds. */
  latency = 1;
  expiresIn = 900;
  readonly sockets: ModelSocket[] = [];
  readonly rooms = new Map<string, ModelRoom>();
  /** Everything that clients sent. */
  readonly sent: Sent[] = [];
  /** `METHOD route`, of every HTTP request. */
  readonly requests: string[] = [];
  /** Access tokens that are good. */
  readonly tokens = new Map<string, string>();
  /** Refresh tokens that are good. */
  readonly refreshTokens = new Map<string, string>();
  /** Answers the next events of a name otherwise: with an error, or not at all (`"swallow"` before, `"lost"` after doing it). */
  readonly faults: { event: string; fault: ErrorBody | "swallow" | "lost" }[] = [];
  /** Decides how often a live event reaches a connection. */
  copies: (event: RoomEvent) => number = () => 1;
  /** How many events a page holds, whatever number was asked for: as many as its bytes allow. */
  eventsThatFit = Infinity;
  /** Answers a `resume` otherwise. */
  resumeFault: ErrorBody | "swallow" | undefined;
  /** Answers an HTTP route otherwise. */
  readonly http = new Map<string, (request: RequestInit) => Response | Promise<Response>>();
  /** Notifications that weren't read. */
  unread = 0;
  #tokens = 0;

  room(id: string): ModelRoom {
    let room = this.rooms.get(id);
    if (!room) this.rooms.set(id, (room = new ModelRoom(id)));
    return room;
  }

  /** A client of this server; its sockets are the last of `sockets`. */
  client(options: TertuliaOptions = {}): Tertulia {
    const socket: SocketFactory = (auth) => {
      const made = new ModelSocket(this, auth);
      this.sockets.push(made);
      return made;
    };
    return new Tertulia({ url: "http://model", storage: memoryStorage(), fetch: this.fetch, socket, ...options });
  }

  get socket(): ModelSocket {
    return this.sockets[this.sockets.length - 1]!;
  }

  countOf(event: string): number {
    return this.sent.filter((sent) => sent.event === event).length;
  }

  payloadsOf(event: string): Record<string, unknown>[] {
    return this.sent.filter((sent) => sent.event === event).map(({ payload }) => payload);
  }

  /** Somebody writes. */
  write(roomId: string, body: string, senderId = "other", send: Partial<SendMessage> = {}): Message {
    const room = this.room(roomId);
    const seq = room.events.length + 1;
    const message: Message = {
      id: `${roomId}-${seq}`,
      roomId,
      seq,
      sender: { id: senderId, displayName: senderId, guest: false },
      body,
      at: "2026-01-01T00:00:00.000Z",
      attachments: [],
      reactions: [],
      ...(send.clientId !== undefined && { clientId: send.clientId }),
    };
    this.append(roomId, { ...message, type: "message:new" });
    return message;
  }

  /** Puts an event at the end of a room's log, and publishes it. */
  append(roomId: string, event: RoomEvent): void {
    this.room(roomId).events.push(event);
    const { type, ...payload } = event;
    for (const socket of this.sockets) {
      if (!socket.rooms.has(roomId)) continue;
      for (let copy = this.copies(event); copy > 0; copy--) this.deliver(socket, type, payload);
    }
  }

  /** To one connection, after the latency, in order. */
  deliver(socket: ModelSocket, event: string, payload: unknown): void {
    const hides = "sender" in (payload as object) && (payload as Message).sender.id !== socket.userId;
    const { clientId: _, ...shared } = payload as Message;
    setTimeout(() => socket.deliver(event, hides ? shared : payload), this.latency);
  }

  handshake(socket: ModelSocket, auth: ConnectAuth): void {
    socket.handshakes.push(auth);
    const userId = this.tokens.get(auth.token);
    if (userId === undefined) {
      const data = { code: "unauthenticated", message: "no" };
      return socket.tell("connect_error", Object.assign(new Error("no"), { data }));
    }
    socket.connected = true;
    socket.userId = userId;
    socket.tell("connect");
    for (const [roomId, point] of Object.entries(auth.resume ?? {})) this.#resume(socket, roomId, point);
  }

  #resume(socket: ModelSocket, roomId: string, point: { seq: number; epoch?: string | null }): void {
    if (this.resumeFault === "swallow") return;
    if (this.resumeFault) return this.deliver(socket, "room:resumed", { roomId, error: this.resumeFault });
    const room = this.room(roomId);
    const { missed, complete, reset } = room.replay(point);
    for (const { type, ...payload } of missed) this.deliver(socket, type, payload);
    socket.rooms.add(roomId);
    this.deliver(socket, "room:resumed", { roomId, headSeq: room.events.length, complete, ...(reset && { reset }) });
  }

  answer(socket: ModelSocket, event: string, payload: Record<string, never> & { roomId: string }): unknown {
    const index = this.faults.findIndex((fault) => fault.event === event);
    const [fault] = index < 0 ? [] : this.faults.splice(index, 1);
    if (fault?.fault === "swallow") return undefined;
    if (typeof fault?.fault === "object") return { ok: false, error: fault.fault };
    const ack = this.#rule(socket, event, payload);
    return fault?.fault === "lost" ? undefined : ack;
  }

  #rule(socket: ModelSocket, event: string, payload: Record<string, unknown> & { roomId: string }): unknown {
    const room = this.rooms.get(payload.roomId);
    if (!room) return { ok: false, error: refusal("not_found", "room") };
    switch (event) {
      case "room:join": {
        const point: { seq?: number; epoch?: string | null } = {};
        if (payload["since"] !== undefined) point.seq = payload["since"] as number;
        if (payload["epoch"] !== undefined) point.epoch = payload["epoch"] as string;
        const { missed, complete, reset } = room.replay(point);
        socket.rooms.add(room.id);
        return { ok: true, room: room.info, headSeq: room.events.length, missed, complete, ...(reset && { reset }) };
      }
      case "room:leave":
        socket.rooms.delete(room.id);
        return { ok: true };
      case "room:events": {
        const { after, limit } = payload as unknown as { after: number; limit: number };
        const events = room.after(after, Math.min(limit, this.eventsThatFit));
        return { ok: true, events, hasMore: after + events.length < room.events.length };
      }
      case "message:send": {
        const { clientId, body } = payload as unknown as SendMessage;
        const found = room.events.find((event) => event.type === "message:new" && event.clientId === clientId);
        const message = found ?? this.write(room.id, body, socket.userId, { clientId });
        return { ok: true, message, duplicate: found !== undefined };
      }
      case "read:set":
        return { ok: true, readSeq: payload["seq"], unread: 0 };
      default:
        return { ok: true };
    }
  }

  readonly fetch: typeof globalThis.fetch = async (input, request = {}) => {
    const route = String(input).replace("http://model/api/v1/", "");
    const key = `${request.method} ${route}`;
    this.requests.push(key);
    if (!this.reachable) throw new TypeError("fetch failed");
    const answer = this.http.get(key);
    if (answer) return answer(request);
    const body = request.body ? (JSON.parse(String(request.body)) as Record<string, string>) : {};
    if (key === "POST auth/login") return json(200, this.issue(body["username"]!));
    if (key === "POST auth/refresh") {
      const userId = this.refreshTokens.get(body["refreshToken"]!);
      if (userId === undefined) return problem("unauthenticated", 401);
      this.refreshTokens.delete(body["refreshToken"]!);
      return json(200, this.issue(userId));
    }
    const token = new Headers(request.headers).get("authorization")?.replace("Bearer ", "") ?? "";
    const userId = this.tokens.get(token);
    if (userId === undefined) return problem("unauthenticated", 401);
    if (key === "POST auth/logout") return new Response(null, { status: 204 });
    if (key === "GET me") return json(200, { user: { id: userId, username: userId, displayName: `${userId}!` } });
    if (key.startsWith("GET notifications") && this.hasNotifications) {
      return json(200, { notifications: [], unread: this.unread, hasMore: false });
    }
    return problem("not_found", 404);
  };

  issue(userId: string): object {
    const n = ++this.#tokens;
    this.tokens.set(`access-${n}`, userId);
    this.refreshTokens.set(`refresh-${n}`, userId);
    const user = { id: userId, username: userId, displayName: userId, guest: false, role: "user" };
    return { user, accessToken: `access-${n}`, refreshToken: `refresh-${n}`, expiresIn: this.expiresIn };
  }
}

export function json(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json" } });
}

export function problem(code: ErrorCode, status: number, detail: string = code, retryAfterMs?: number): Response {
  const { message, ...error } = refusal(code, detail, retryAfterMs);
  return json(status, { type: "about:blank", title: code, status, detail: message, ...error });
}
