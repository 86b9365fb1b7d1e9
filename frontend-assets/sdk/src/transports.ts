// The way to the server: which transport to begin with.
//
// WebSocket is the quick one, but something in between may swallow it without a word: then nothing fails, and nothing
// comes. A way that hung isn't the first to be tried again. Polling that looks for WebSocket by the way (`upgrade`) finds
// back to it where it works.

import type { Storage } from "./storage.js";

export type Transport = "websocket" | "polling";

/** How to connect. */
export interface Way {
  /** To be tried in this order, where the one before fails. */
  readonly transports: readonly Transport[];
  /** Whether a connection that began by polling changes to WebSocket once that is found to work. */
  readonly upgrade: boolean;
}

const WAYS = {
  websocket: { transports: ["websocket", "polling"], upgrade: false },
  upgrade: { transports: ["polling", "websocket"], upgrade: true },
  polling: { transports: ["polling"], upgrade: false },
} as const satisfies Record<string, Way>;

const KEY = "transports";
/** How long to wait for a connection: by WebSocket before it ever worked, after that, and by polling. */
const UNPROVEN_MS = 5_000;
const PROVEN_MS = 10_000;
const POLLING_MS = 20_000;
/** Where WebSocket was found and then fell silent, it isn't looked for again before this. */
const SILENT_MS = 10 * 60_000;
/** Who has waited for it in vain so often begins by polling from then on. */
const HANGS_MAX = 2;

export class Transports {
  readonly #storage: Storage;
  #first: keyof typeof WAYS = "websocket";
  #recalled: Promise<void> | undefined;
  #isProven = false;
  #hangs = 0;
  #silentUntil = 0;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** The way to take now, and how long to wait for it. */
  async next(): Promise<{ way: Way; patienceMs: number }> {
    await (this.#recalled ??= this.#recall());
    if (this.#first === "polling" && Date.now() > this.#silentUntil) this.#first = "upgrade";
    const patienceMs = this.#first !== "websocket" ? POLLING_MS : this.#isProven ? PROVEN_MS : UNPROVEN_MS;
    return { way: WAYS[this.#first], patienceMs };
  }

  /** The way that was taken led to no connection in time. Says whether there is another one to try at once. */
  hung(): boolean {
    if (this.#first !== "websocket") {
      this.#first = "websocket";
      return false;
    }
    this.#first = "upgrade";
    this.#hangs++;
    this.#isProven = false;
    // Nobody waits for it.
    void this.#storage.set(KEY, this.#first);
    return true;
  }

  /** A connection changed to WebSocket, and nothing came by it. */
  silent(): void {
    this.#first = "polling";
    this.#silentUntil = Date.now() + SILENT_MS;
  }

  /** A connection by this transport holds. */
  held(transport: string | undefined): void {
    if (transport !== "websocket") return;
    if (this.#first === "websocket") {
      this.#isProven = true;
    } else if (this.#hangs < HANGS_MAX) {
      this.#first = "websocket";
      void this.#storage.delete(KEY);
    }
  }

  /** Another page may have waited in vain already. */
  async #recall(): Promise<void> {
    const [kept] = await this.#storage.entries(KEY);
    if (kept) this.#first = "upgrade";
  }
}
