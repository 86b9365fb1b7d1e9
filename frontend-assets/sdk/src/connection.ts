// One connection to the namespace `/` that comes back by itself, over the official client.
//
// What must stay true: nothing is handed to the official client while it isn't connected, for it would be sent at some
// later time; every request is answered, at the latest when its connection ends; answers and events are passed on in
// the order they came.

import { backOff } from "./back-off.js";
import { TertuliaError, type TertuliaErrorCode } from "./error.js";
import type { ClientEvents, ConnectAuth, ErrorBody, ServerEvents } from "./generated/events.js";
import type { Transports, Way } from "./transports.js";

const ANSWER_MS = 15_000;
/** A connection that held so long was a good one. */
const STEADY_MS = 5_000;

/**
 * How the connection is: `stopped` when nobody is signed in, after `disconnect()`, and when refused for good (then
 * `error` says why); `waiting` until `retryAt`, then `connecting`.
 */
export interface ConnectionState {
  readonly status: "stopped" | "connecting" | "connected" | "waiting";
  /** When the next try begins, in milliseconds since 1970. */
  readonly retryAt?: number;
  /** Why the last connection, or the last try, ended. */
  readonly error?: TertuliaError;
  /** The server said that it stops. It, or another, will be there at `retryAt`. */
  readonly draining?: boolean;
}

/** What this package uses of a socket of `socket.io-client`. */
export interface SocketLike {
  /** A socket of another namespace over the same transport, which comes and goes with this one. */
  beside?(namespace: string, auth: (answer: (auth: ConnectAuth) => void) => void): NamespaceSocket;
  connect(way: Way): unknown;
  disconnect(): unknown;
  emit(event: string, payload: unknown, answer: (ack: unknown) => void): unknown;
  // As loose as the official client's own types are.
  on(event: string, listener: (...args: any[]) => void): unknown;
  onAny(listener: (...event: any[]) => void): unknown;
  /** The transport of the connection there is, or was last. */
  readonly transport?: string | undefined;
  /** Whether it changed to another transport, by which nothing has come yet. */
  readonly isSilent?: boolean;
}

/** What this package uses of a socket of another namespace. */
export interface NamespaceSocket {
  connect(): unknown;
  disconnect(): unknown;
  emit(event: string, payload: unknown, answer: (ack: unknown) => void): unknown;
  on(event: "connect" | "disconnect" | "connect_error", listener: (...args: any[]) => void): unknown;
  onAny(listener: (...event: any[]) => void): unknown;
}

/** Makes a socket that doesn't connect before it is told to, nor again by itself. */
export type SocketFactory = (auth: (answer: (auth: ConnectAuth) => void) => void) => SocketLike;

export type Answer<E extends keyof ClientEvents> = Extract<ClientEvents[E]["ack"], { ok: true }>;

/** The name and the payload of one event. */
export type ServerEvent = { [E in keyof ServerEvents]: [name: E, payload: ServerEvents[E]] }[keyof ServerEvents];

export interface ConnectionListener {
  /** A token to connect with; `refused` is one that the server didn't take. */
  token(refused?: string): Promise<string>;
  /** What this client has of its rooms, asked for at the last moment. */
  resume(): ConnectAuth["resume"];
  connected(): void;
  disconnected(): void;
  event(event: ServerEvent): void;
  /** The namespace of notifications is connected, too. */
  attended(): void;
  notification(name: string, payload: unknown): void;
  state(state: ConnectionState): void;
}

export class Connection {
  readonly #socket: SocketLike;
  readonly #notifications: NamespaceSocket | undefined;
  readonly #transports: Transports;
  readonly #on: ConnectionListener;
  #state: ConnectionState = { status: "stopped" };
  #token = "";
  /** Whether a transport is on its way. Closed before it is open, it would be an error on the console of a browser. */
  #isOpening = false;
  #refused: string | undefined;
  /** Grows with every attempt, so that what belongs to an older one is known. */
  #attempt = 0;
  #failures = 0;
  /** When a draining server wants this client back. */
  #comeBackAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #pending = new Set<(error: TertuliaError) => void>();
  readonly #whenConnected = new Set<(error?: TertuliaError) => void>();

  constructor(create: SocketFactory, transports: Transports, on: ConnectionListener) {
    this.#transports = transports;
    this.#on = on;
    const socket = create((answer) => {
      this.#isOpening = false;
      if (this.#state.status !== "connecting") return void socket.disconnect();
      const resume = on.resume();
      answer(resume ? { token: this.#token, resume } : { token: this.#token });
    });
    this.#socket = socket;
    socket.on("connect", () => this.#connected());
    socket.on("connect_error", (error: Error & { data?: Partial<ErrorBody> }) => this.#failed(error));
    socket.on("disconnect", (reason: string) => this.#disconnected(reason));
    socket.onAny((...event) => this.#event(event as ServerEvent));
    this.#notifications = this.beside("/notifications");
    this.#notifications?.on("connect", () => on.attended());
    this.#notifications?.onAny((name: string, payload: unknown) => on.notification(name, payload));
  }

  /** A socket of another namespace over this connection, which whoever has it connects. */
  beside(namespace: string): NamespaceSocket | undefined {
    return this.#socket.beside?.(namespace, (answer) => answer({ token: this.#token }));
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Connects, now and whenever the connection is lost. */
  start(): void {
    if (this.#state.status !== "stopped") return;
    globalThis.addEventListener?.("online", this.#hurry);
    globalThis.document?.addEventListener("visibilitychange", this.#hurry);
    this.#failures = 0;
    void this.#dial();
  }

  stop(error?: TertuliaError): void {
    if (this.#state.status === "stopped") return;
    globalThis.removeEventListener?.("online", this.#hurry);
    globalThis.document?.removeEventListener("visibilitychange", this.#hurry);
    this.#attempt++;
    clearTimeout(this.#timer);
    const wasConnected = this.#state.status === "connected";
    this.#become(error ? { status: "stopped", error } : { status: "stopped" });
    // One that is being opened is closed once it is, without a word to the server.
    if (!this.#isOpening) this.#socket.disconnect();
    if (wasConnected) this.#ended();
    for (const settle of [...this.#whenConnected]) settle(error ?? TertuliaError.network("not connected"));
  }

  /** Tries at once instead of waiting. */
  hurry(): void {
    if (this.#state.status === "waiting") void this.#dial();
  }

  readonly #hurry = (): void => {
    // A draining server said when, and means it.
    if (!globalThis.document?.hidden && !this.#state.draining) this.hurry();
  };

  /**
   * Sends an event if there is a connection. `settle` is called when the answer comes, before anything that comes after
   * it, or when it is clear that none will; the error is then `retryable`.
   */
  ask<E extends keyof ClientEvents>(
    event: E,
    payload: ClientEvents[E]["payload"],
    settle: (error: TertuliaError | undefined, answer?: Answer<E>) => void,
  ): void {
    if (this.#state.status !== "connected") return settle(TertuliaError.network("not connected"));
    const fail = (error: TertuliaError): void => {
      if (!this.#pending.delete(fail)) return;
      clearTimeout(timer);
      settle(error);
    };
    const timer = setTimeout(() => fail(TertuliaError.timeout()), ANSWER_MS);
    this.#pending.add(fail);
    this.#socket.emit(event, payload, (answer) => {
      const ack = answer as ClientEvents[E]["ack"];
      if (!ack.ok) return fail(new TertuliaError(ack.error as ErrorBody));
      if (!this.#pending.delete(fail)) return;
      clearTimeout(timer);
      settle(undefined, ack as Answer<E>);
    });
  }

  /** As {@link ask}, once there is a connection; gives up when there is none for as long as an answer may take. */
  async request<E extends keyof ClientEvents>(event: E, payload: ClientEvents[E]["payload"]): Promise<Answer<E>> {
    if (this.#state.status !== "connected") await this.#connection();
    return new Promise((resolve, reject) => {
      this.ask(event, payload, (error, answer) => (answer ? resolve(answer) : reject(error)));
    });
  }

  #connection(): Promise<void> {
    if (this.#state.status === "stopped") throw this.#state.error ?? TertuliaError.network("not connected");
    return new Promise((resolve, reject) => {
      const settle = (error?: TertuliaError): void => {
        clearTimeout(timer);
        this.#whenConnected.delete(settle);
        if (error) reject(error);
        else resolve();
      };
      const timer = setTimeout(() => settle(this.#state.error ?? TertuliaError.network()), ANSWER_MS);
      this.#whenConnected.add(settle);
    });
  }

  async #dial(): Promise<void> {
    const attempt = ++this.#attempt;
    clearTimeout(this.#timer);
    this.#become({ status: "connecting", ...(this.#state.error && { error: this.#state.error }) });
    let next;
    try {
      const token = await this.#on.token(this.#refused);
      next = await this.#transports.next();
      if (attempt !== this.#attempt) return;
      this.#token = token;
    } catch (error) {
      if (attempt === this.#attempt) this.#wait(TertuliaError.from(error));
      return;
    }
    this.#timer = setTimeout(() => {
      this.#isOpening = false;
      this.#socket.disconnect();
      if (this.#transports.hung()) void this.#dial();
      else this.#wait(TertuliaError.timeout());
    }, next.patienceMs);
    this.#isOpening = true;
    this.#socket.connect(next.way);
  }

  #connected(): void {
    if (this.#state.status !== "connecting") return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#failures = 0;
      if (!this.#socket.isSilent) this.#transports.held(this.#socket.transport);
    }, STEADY_MS);
    this.#refused = undefined;
    this.#comeBackAt = 0;
    this.#become({ status: "connected" });
    this.#on.connected();
    // Unless it came with the transport; a server that has no such namespace refuses it, and nothing else.
    this.#notifications?.connect();
    for (const settle of [...this.#whenConnected]) settle();
  }

  /** The connection was refused, or couldn't be made. */
  #failed({ message, data }: Error & { data?: Partial<ErrorBody> }): void {
    this.#isOpening = false;
    if (this.#state.status !== "connecting") return;
    if (!data?.code) return this.#wait(TertuliaError.network());
    const error = new TertuliaError({ code: data.code satisfies TertuliaErrorCode, message: data.message ?? message });
    if (error.code !== "unauthenticated") return this.stop(error);
    // The token may have been good when it was chosen. Whether the session is, its refresh will tell.
    const isFirst = this.#refused === undefined;
    this.#refused = this.#token;
    if (isFirst) void this.#dial();
    else this.#wait(error);
  }

  #disconnected(reason: string): void {
    if (this.#state.status !== "connected") return;
    if (reason === "ping timeout" && this.#socket.isSilent) this.#transports.silent();
    this.#wait(TertuliaError.network("the connection was lost"));
  }

  #wait(error: TertuliaError): void {
    const wasConnected = this.#state.status === "connected";
    const attempt = ++this.#attempt;
    clearTimeout(this.#timer);
    const now = Date.now();
    const draining = this.#comeBackAt > now;
    const delay = draining ? this.#comeBackAt - now : Math.max(backOff(this.#failures++), error.retryAfterMs ?? 0);
    this.#comeBackAt = 0;
    this.#become({ status: "waiting", retryAt: now + delay, error, ...(draining && { draining }) });
    if (wasConnected) this.#ended();
    // A listener may have stopped it.
    if (attempt !== this.#attempt) return;
    this.#timer = setTimeout(() => void this.#dial(), delay);
  }

  #ended(): void {
    const error = TertuliaError.network("the connection was lost");
    for (const fail of [...this.#pending]) fail(error);
    this.#on.disconnected();
  }

  #event(event: ServerEvent): void {
    if (this.#state.status !== "connected") return;
    if (event[0] === "server:draining") {
      this.#comeBackAt = Date.now() + event[1].reconnectAfterMs;
      this.#become({ status: "connected", draining: true, retryAt: this.#comeBackAt });
    }
    this.#on.event(event);
  }

  #become(state: ConnectionState): void {
    this.#state = state;
    this.#on.state(state);
  }
}
