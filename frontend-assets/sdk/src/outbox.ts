// Messages on their way: kept until the server has acknowledged them, over reconnects and reloads.
//
// What must stay true: a message keeps its `clientId` for every try, so that it is stored once however often it is
// sent; of one room there is one message in flight at a time, so that they arrive in the order written; one that is
// refused for good lets the others pass.

import { backOff } from "./back-off.js";
import { TertuliaError, type TertuliaErrorCode } from "./error.js";
import { bounds, type Message, type MessageSent, type SendMessage } from "./generated/events.js";
import { Writes, type Storage } from "./storage.js";

/** Messages that may wait, of one user in all rooms. */
const WAITING_MAX = 1_000;

/** What somebody wrote. */
export interface Draft {
  /** 1 to 16,000 characters; none are needed beside attachments. */
  body: string;
  /** Ids of uploads that are complete (see `Tertulia.uploads`), at most 10. */
  attachments?: readonly string[];
  /** The `seq` of the message it answers. */
  replyTo?: number;
  /** Ids of members that it calls by name, at most 50. */
  mentions?: readonly string[];
}

/** A message on its way, as it is now. It isn't changed but replaced. */
export interface OutgoingMessage extends Readonly<Draft> {
  readonly clientId: string;
  readonly roomId: string;
  /** When it was written, as in `Message.at`. */
  readonly createdAt: string;
  /**
   * `queued`: waits for the connection, for those before it, or for the next try (`error` says why). `failed`: refused
   * for good; to be retried or discarded. `sent`: durable.
   */
  readonly state: "queued" | "sending" | "sent" | "failed";
  /** Tries until now. */
  readonly attempts: number;
  /** Why the last try failed. */
  readonly error?: TertuliaError;
  /** What it became, once `sent`. */
  readonly message?: Message;
}

/** A message in the outbox, for the one who wrote it. */
export interface Sending {
  readonly clientId: string;
  /** The message as it is now. */
  readonly current: OutgoingMessage;
  /** Resolves when the message is durable; rejects when it is refused for good, or discarded. */
  delivered(): Promise<Message>;
  /** See `Room.retry`. */
  retry(): void;
  /** See `Room.discard`. */
  discard(): void;
}

/** What is kept in the storage. */
interface Kept {
  message: Pick<OutgoingMessage, "clientId" | "roomId" | "body" | "attachments" | "replyTo" | "mentions" | "createdAt">;
  /** Why it was refused for good. */
  error?: { code: TertuliaErrorCode; message: string };
}

interface Entry {
  message: OutgoingMessage;
  /** Sorts as the messages were written. */
  key: string;
  /** Until the next try. */
  timer?: ReturnType<typeof setTimeout> | undefined;
  readonly waiters: { resolve(message: Message): void; reject(error: TertuliaError): void }[];
}

export interface OutboxListener {
  /** Whether messages of a room may be sent just now. */
  ready(roomId: string): boolean;
  send(payload: SendMessage, settle: (error: TertuliaError | undefined, answer?: MessageSent) => void): void;
  /** Whether the room's listeners are still to be given the message. */
  awaits(message: Message): boolean;
  changed(message: OutgoingMessage): void;
}

export class Outbox {
  readonly #storage: Storage;
  readonly #prefix: string;
  readonly #on: OutboxListener;
  readonly #entries = new Map<string, Entry>();
  #lists = new Map<string | undefined, readonly OutgoingMessage[]>();
  #lastKey = 0;
  readonly #writes = new Writes();
  /** Before that, nobody knows what is to be sent first. */
  #loaded = false;
  #closed = false;

  constructor(userId: string, storage: Storage, on: OutboxListener) {
    this.#prefix = `outbox/${userId}/`;
    this.#storage = storage;
    this.#on = on;
  }

  /** Takes up what was kept; what is written meanwhile comes after it. */
  async load(): Promise<void> {
    const kept = await this.#storage.entries(this.#prefix);
    if (this.#closed) return;
    this.#loaded = true;
    const written = [...this.#entries];
    this.#entries.clear();
    for (const [key, value] of kept) {
      const { message, error } = value as Kept;
      if (written.some(([clientId]) => clientId === message.clientId)) continue;
      // The clock may have gone back since.
      this.#lastKey = Math.max(this.#lastKey, Number(key.slice(this.#prefix.length)));
      const state = error
        ? ({ state: "failed", error: new TertuliaError(error) } as const)
        : ({ state: "queued" } as const);
      this.#entries.set(message.clientId, { message: { ...message, ...state, attempts: 0 }, key, waiters: [] });
    }
    for (const [clientId, entry] of written) {
      this.#entries.set(clientId, entry);
      if (Number(entry.key.slice(this.#prefix.length)) <= this.#lastKey) this.#moveToEnd(entry);
    }
    for (const { message } of [...this.#entries.values()]) this.#tell(message);
    this.flush();
  }

  /** The messages of a room, or of all, in the order written: the same array until one changes. */
  of(roomId?: string): readonly OutgoingMessage[] {
    let list = this.#lists.get(roomId);
    if (!list) {
      const all = [...this.#entries.values()].map(({ message }) => message);
      list = roomId === undefined ? all : all.filter((message) => message.roomId === roomId);
      this.#lists.set(roomId, list);
    }
    return list;
  }

  add(roomId: string, { body, attachments, replyTo, mentions }: Draft): Sending {
    check(body, attachments, mentions);
    if (this.#entries.size >= WAITING_MAX) {
      throw new TertuliaError({ code: "outbox_full", message: "too many messages wait to be sent" });
    }
    const clientId = newClientId();
    const entry: Entry = {
      message: {
        clientId,
        roomId,
        body,
        ...(attachments?.length && { attachments: [...attachments] }),
        ...(replyTo !== undefined && { replyTo }),
        ...(mentions?.length && { mentions: [...mentions] }),
        createdAt: new Date().toISOString(),
        state: "queued",
        attempts: 0,
      },
      key: this.#newKey(),
      waiters: [],
    };
    this.#entries.set(clientId, entry);
    this.#save(entry);
    this.#tell(entry.message);
    this.advance(roomId);
    return {
      clientId,
      get current() {
        return entry.message;
      },
      delivered: () => delivered(entry),
      retry: () => this.retry(clientId),
      discard: () => this.discard(clientId),
    };
  }

  retry(clientId: string): void {
    const entry = this.#entries.get(clientId);
    if (entry?.message.state === "failed") {
      // The others have gone on, so it is now the last.
      this.#entries.delete(clientId);
      this.#entries.set(clientId, entry);
      const { error: _, ...message } = entry.message;
      this.#change(entry, { ...message, state: "queued" });
      this.#moveToEnd(entry);
    } else if (entry?.message.state !== "queued") {
      return;
    }
    clearTimeout(entry.timer);
    entry.timer = undefined;
    this.advance(entry.message.roomId);
  }

  discard(clientId: string): void {
    const entry = this.#entries.get(clientId);
    if (!entry || entry.message.state === "sent") return;
    this.#forget(entry);
    const error = new TertuliaError({ code: "discarded", message: "the message was discarded" });
    this.#change(entry, { ...entry.message, state: "failed", error });
    for (const { reject } of entry.waiters.splice(0)) reject(error);
    this.advance(entry.message.roomId);
  }

  /** One's own message came, whether or not its acknowledgement did. */
  arrived(message: Message): void {
    const entry = message.clientId === undefined ? undefined : this.#entries.get(message.clientId);
    if (entry?.message.roomId === message.roomId) this.#sent(entry, message);
  }

  /** Lets go of sent messages that a room's listeners were given, or won't be. */
  release(roomId: string): void {
    for (const { state, clientId, message } of this.of(roomId)) {
      if (state !== "sent" || !message || this.#on.awaits(message)) continue;
      const entry = this.#entries.get(clientId);
      this.#entries.delete(clientId);
      if (entry) this.#tell(entry.message);
    }
  }

  /** Sends what may be sent. */
  flush(): void {
    for (const roomId of new Set(this.of().map((message) => message.roomId))) this.advance(roomId);
  }

  /** Ends all that is under way; with `forget`, what is kept is deleted too. */
  async close(forget = false): Promise<void> {
    this.#closed = true;
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    this.#lists.clear();
    for (const entry of entries) {
      clearTimeout(entry.timer);
      for (const { reject } of entry.waiters.splice(0)) reject(TertuliaError.signedOut());
    }
    if (!forget) return this.#writes.done;
    this.#writes.add(async () => {
      for (const [key] of await this.#storage.entries(this.#prefix)) await this.#storage.delete(key);
    });
    return this.#writes.done;
  }

  /** Sends the next message of a room, if there is one and it may be sent. */
  advance(roomId: string): void {
    if (!this.#loaded) return;
    // The first that is neither sent nor refused; if it is in flight or waits, so do those after it.
    const first = this.of(roomId).find(({ state }) => state === "queued" || state === "sending");
    const entry = first && this.#entries.get(first.clientId);
    if (!entry || entry.message.state === "sending" || entry.timer !== undefined || !this.#on.ready(roomId)) return;
    const { clientId, body, attachments, replyTo, mentions, attempts } = entry.message;
    this.#change(entry, { ...entry.message, state: "sending", attempts: attempts + 1 });
    const payload: SendMessage = { roomId, clientId, body };
    if (attachments) payload.attachments = [...attachments];
    if (replyTo !== undefined) payload.replyTo = replyTo;
    if (mentions) payload.mentions = [...mentions];
    this.#on.send(payload, (error, answer) => {
      if (this.#entries.get(clientId) !== entry || entry.message.state !== "sending") return;
      if (answer) this.#sent(entry, answer.message);
      else if (error) this.#refused(entry, error);
      this.advance(roomId);
    });
  }

  #sent(entry: Entry, message: Message): void {
    if (entry.message.state === "sent") return;
    clearTimeout(entry.timer);
    this.#remove(entry.key);
    const { error: _, ...before } = entry.message;
    if (!this.#on.awaits(message)) this.#entries.delete(before.clientId);
    this.#change(entry, { ...before, state: "sent", message });
    for (const { resolve } of entry.waiters.splice(0)) resolve(message);
    this.advance(message.roomId);
  }

  #refused(entry: Entry, error: TertuliaError): void {
    if (!error.retryable) {
      this.#change(entry, { ...entry.message, state: "failed", error });
      this.#save(entry);
      for (const { reject } of entry.waiters.splice(0)) reject(error);
      return;
    }
    // Without a connection the next one is what is waited for.
    if (error.code !== "network") {
      const delay = Math.max(backOff(entry.message.attempts - 1), error.retryAfterMs ?? 0);
      entry.timer = setTimeout(() => {
        entry.timer = undefined;
        this.advance(entry.message.roomId);
      }, delay);
    }
    this.#change(entry, { ...entry.message, state: "queued", error });
  }

  #forget(entry: Entry): void {
    clearTimeout(entry.timer);
    this.#entries.delete(entry.message.clientId);
    this.#remove(entry.key);
  }

  #change(entry: Entry, message: OutgoingMessage): void {
    entry.message = message;
    this.#tell(message);
  }

  #tell(message: OutgoingMessage): void {
    this.#lists.delete(message.roomId);
    this.#lists.delete(undefined);
    this.#on.changed(message);
  }

  #newKey(): string {
    // Microseconds, of as many digits until the year 2286: their order is that of the text.
    this.#lastKey = Math.max(this.#lastKey + 1, Date.now() * 1_000);
    return `${this.#prefix}${this.#lastKey}`;
  }

  #moveToEnd(entry: Entry): void {
    this.#remove(entry.key);
    entry.key = this.#newKey();
    this.#save(entry);
  }

  #save({ key, message }: Entry): void {
    const { clientId, roomId, body, attachments, replyTo, mentions, createdAt, state, error } = message;
    const kept: Kept = {
      message: {
        clientId,
        roomId,
        body,
        createdAt,
        ...(attachments && { attachments }),
        ...(replyTo !== undefined && { replyTo }),
        ...(mentions && { mentions }),
      },
      ...(state === "failed" && error && { error: { code: error.code, message: error.message } }),
    };
    this.#writes.add(() => this.#storage.set(key, kept));
  }

  #remove(key: string): void {
    this.#writes.add(() => this.#storage.delete(key));
  }
}

function delivered({ message, waiters }: Entry): Promise<Message> {
  if (message.message) return Promise.resolve(message.message);
  if (message.state === "failed") return Promise.reject(message.error);
  return new Promise((resolve, reject) => waiters.push({ resolve, reject }));
}

/** What no server would take isn't tried: a message beyond the largest payload would end every connection. */
function check(body: string, attachments: readonly string[] = [], mentions: readonly string[] = []): void {
  // Characters as the server counts them.
  const length = body.length > bounds.bodyCharacters ? [...body].length : body.length;
  let message: string | undefined;
  const least = attachments.length > 0 ? 0 : 1;
  if (length < least || length > bounds.bodyCharacters) message = `body: expected ${least} to ${bounds.bodyCharacters} characters`;
  else if (attachments.length > bounds.attachments) message = `attachments: expected at most ${bounds.attachments}`;
  else if (mentions.length > bounds.mentions) message = `mentions: expected at most ${bounds.mentions}`;
  if (message) throw new TertuliaError({ code: "invalid", message });
}

// Not `randomUUID`, which browsers withhold from pages that come over plain HTTP.
function newClientId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
