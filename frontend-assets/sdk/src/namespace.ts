// Another namespace over the client's one connection: there while somebody follows it.

import type { Tertulia } from "./client.js";
import { Emitter, type Unsubscribe } from "./emitter.js";
import { TertuliaError } from "./error.js";

/**
 * `idle`: nobody follows it. `waiting`: for the connection, or for the server's word. `refused`: the server doesn't let this user in,
 * or has ended it; tried again with the next connection, or when it is followed anew.
 */
export type NamespaceStatus = "idle" | "waiting" | "connected" | "refused";

/** The events of a namespace, by name. */
export class Namespace<Events extends object> {
  readonly #client: Tertulia;
  readonly #socket: ReturnType<Tertulia["beside"]>;
  readonly #events = new Emitter<Events>();
  readonly #changes = new Emitter<{ status: NamespaceStatus }>();
  #status: NamespaceStatus = "idle";
  #error: TertuliaError | undefined;
  #followers = 0;

  constructor(client: Tertulia, name: string) {
    this.#client = client;
    const socket = client.beside(name);
    this.#socket = socket;
    client.on("connection", ({ status }) => {
      if (status === "connected" && this.#followers > 0 && this.#status !== "connected") this.#connect();
    });
    socket?.on("connect", () => this.#become("connected"));
    socket?.on("connect_error", (error: Error & { data?: { code?: TertuliaError["code"]; message?: string } }) => {
      const { code, message = error.message } = error.data ?? {};
      if (code) this.#become("refused", new TertuliaError({ code, message }));
    });
    socket?.on("disconnect", (reason: string) => this.#become(reason === "io server disconnect" ? "refused" : "waiting"));
    socket?.onAny((name, payload) => this.#events.emit(name as keyof Events, payload as Events[keyof Events]));
  }

  get status(): NamespaceStatus {
    return this.#status;
  }

  /** Why it was refused. */
  get error(): TertuliaError | undefined {
    return this.#error;
  }

  on<E extends keyof Events>(event: E, listener: (payload: Events[E]) => void): Unsubscribe {
    return this.#events.on(event, listener);
  }

  /** Listens to changes of `status`. */
  onStatus(listener: (status: NamespaceStatus) => void): Unsubscribe {
    return this.#changes.on("status", listener);
  }

  /** Connects it, now and whenever there is a connection, until all who follow it have ended that. */
  follow(): Unsubscribe {
    let isFollowed = true;
    if (this.#followers++ === 0 || this.#status === "refused") {
      this.#become("waiting");
      if (this.#client.connection.status === "connected") this.#connect();
    }
    return () => {
      if (!isFollowed) return;
      isFollowed = false;
      if (--this.#followers > 0) return;
      this.#become("idle");
      this.#socket?.disconnect();
    };
  }

  #connect(): void {
    this.#become("waiting");
    this.#socket?.connect();
  }

  #become(status: NamespaceStatus, error?: TertuliaError): void {
    // What comes after the last one went is of no interest.
    const next = this.#followers === 0 ? "idle" : status;
    this.#error = error;
    if (next === this.#status) return;
    this.#status = next;
    this.#changes.emit("status", next);
  }
}
