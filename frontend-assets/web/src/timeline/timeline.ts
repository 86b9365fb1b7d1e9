// The part of a room's messages that is in memory: one stretch of the log without holes, and what is on its way.
//
// What must stay true: rows that are shown are replaced, never changed, so that only what changed is drawn again.

import type { Attachment, Message, MessageReacted, OutgoingMessage, Room, RoomEvent, TertuliaError, Unsubscribe } from "@tertulia/sdk";
import { Store } from "../store.ts";
import { isMe } from "../tertulia.ts";
import { withReaction } from "./reactions.ts";

/** A message, or one on its way. */
export type Row = Message | OutgoingMessage;

export const isOutgoing = (row: Row): row is OutgoingMessage => "state" in row;

/** The same for a message on its way and what becomes of it. */
export const keyOf = (row: Row): string => (isOutgoing(row) ? row.clientId : (row.clientId ?? row.id));

export interface View {
  readonly rows: readonly Row[];
  readonly hasOlder: boolean;
  readonly hasNewer: boolean;
  readonly isLoading: boolean;
  readonly error?: TertuliaError | undefined;
  /** Another one is another stretch of the log: nothing of the place in the one before holds. */
  readonly generation: number;
  /** The `seq` that this stretch was loaded for; its end if absent. */
  readonly around?: number | undefined;
}

const EMPTY: View = { rows: [], generation: 0, hasOlder: false, hasNewer: false, isLoading: true };

const FIRST_PAGE = 60;
const PAGE = 200;
/** Rows that a room keeps while another one is shown. */
const KEPT = 400;
/** A message read this lately may hold reactions whose events are still to come. */
const READ_BACK_MS = 10_000;
const REREAD_AFTER_MS = 150;
/** Times that a message is read anew while things happen to it. */
const REREAD_TRIES = 3;

export class Timeline {
  readonly view = new Store<View>(EMPTY);
  #messages: Message[] = [];
  #hasOlder = false;
  #hasNewer = false;
  #loading: "older" | "newer" | "around" | undefined;
  #error: TertuliaError | undefined;
  /** What happened while a page was on its way: the page may have been read before it. */
  #held: RoomEvent[] = [];
  #generation = 0;
  #around: number | undefined;
  #load = 0;
  #loadedAt = 0;
  #frame: number | undefined;
  readonly #readAt = new WeakMap<Message, number>();
  readonly #reread = new Set<number>();
  readonly #rereading = new Map<number, Promise<Message | undefined>>();
  readonly #subscriptions: Unsubscribe[];

  constructor(readonly room: Room) {
    this.#subscriptions = [
      room.on("event", (event) => this.#apply(event)),
      room.on("outgoing", () => this.#publishSoon()),
      room.on("reset", () => {
        this.#replace([]);
        void this.loadNewest();
      }),
    ];
    void this.loadNewest();
  }

  close(): void {
    for (const unsubscribe of this.#subscriptions) unsubscribe();
    if (this.#frame !== undefined) cancelFrame(this.#frame);
    this.#load++;
  }

  /** Begins anew with the newest messages. */
  async loadNewest(): Promise<void> {
    await this.#fetch("around", async () => {
      const page = await this.room.history({ limit: FIRST_PAGE });
      return () => {
        this.#replace(page.messages);
        this.#hasOlder = page.hasMore;
        this.#hasNewer = false;
      };
    });
  }

  /** Loads the stretch around a message. */
  async loadAround(seq: number): Promise<void> {
    await this.#fetch("around", async () => {
      const [older, newer] = await Promise.all([
        this.room.history({ before: seq, limit: FIRST_PAGE }),
        this.room.history({ after: seq - 1, limit: FIRST_PAGE }),
      ]);
      return () => {
        this.#replace([...older.messages, ...newer.messages], seq);
        this.#hasOlder = older.hasMore;
        this.#hasNewer = newer.hasMore;
      };
    });
  }

  async loadOlder(): Promise<void> {
    const first = this.#messages[0];
    if (!first || !this.#hasOlder || this.#loading) return;
    await this.#fetch("older", async () => {
      const page = await this.room.history({ before: first.seq, limit: PAGE });
      return () => {
        this.#noteRead(page.messages);
        this.#messages = page.messages.concat(this.#messages);
        this.#hasOlder = page.hasMore;
      };
    });
  }

  async loadNewer(): Promise<void> {
    const last = this.#messages.at(-1);
    if (!last || !this.#hasNewer || this.#loading) return;
    await this.#fetch("newer", async () => {
      const page = await this.room.history({ after: last.seq, limit: PAGE });
      return () => {
        this.#noteRead(page.messages);
        this.#messages.push(...page.messages);
        this.#hasNewer = page.hasMore;
      };
    });
  }

  /** Tries again what failed. */
  retry(): void {
    if (this.#messages.length === 0) void this.loadNewest();
    else if (this.#hasNewer) void this.loadNewer();
    else void this.loadOlder();
  }

  /** Gives back what a room that isn't shown doesn't need. */
  shrink(): void {
    if (this.#hasNewer) void this.loadNewest();
    else if (this.#messages.length > KEPT) {
      this.#messages = this.#messages.slice(-KEPT / 2);
      this.#hasOlder = true;
      this.#publishSoon();
    }
  }

  /** Where the first message from `seq` on is among the published rows, if they hold its place. */
  indexFrom(seq: number): number | undefined {
    const { rows, hasOlder } = this.view.get();
    const [first] = rows;
    if (!first || isOutgoing(first) || (hasOlder && seq < first.seq)) return undefined;
    const index = find(rows, seq);
    const row = rows[index];
    return row && !isOutgoing(row) ? index : undefined;
  }

  /** One's own message got another text; its event says so too, before or after this. */
  edited({ seq, body, editedAt = "" }: Message): void {
    this.#change(seq, (message) => ((message.editedAt ?? "") < editedAt ? { ...message, body, editedAt } : message));
    this.#publish();
  }

  /** Reads a message anew, whose addresses of pictures and files may have ended. */
  reread(seq: number): Promise<Message | undefined> {
    const reading = this.#rereading.get(seq) ?? this.#readAnew(seq).finally(() => this.#rereading.delete(seq));
    this.#rereading.set(seq, reading);
    return reading;
  }

  async #readAnew(seq: number): Promise<Message | undefined> {
    for (let tries = 1; ; tries++) {
      const before = this.message(seq);
      const [read] = (await this.room.history({ after: seq - 1, limit: 1 })).messages;
      if (read?.seq !== seq) return undefined;
      // Something happened to it meanwhile, which the answer may be older than.
      if (this.message(seq) !== before && tries < REREAD_TRIES) continue;
      this.#noteRead([read]);
      this.#change(seq, () => read);
      this.#publishSoon();
      return read;
    }
  }

  message(seq: number): Message | undefined {
    const message = this.#messages[find(this.#messages, seq)];
    return message?.seq === seq ? message : undefined;
  }

  async #fetch(kind: "older" | "newer" | "around", load: () => Promise<() => void>): Promise<void> {
    const mine = ++this.#load;
    this.#loading = kind;
    this.#error = undefined;
    this.#loadedAt = performance.now();
    this.#publishSoon();
    try {
      const apply = await load();
      if (mine === this.#load) apply();
    } catch (error) {
      if (mine === this.#load) this.#error = error as TertuliaError;
    }
    if (mine !== this.#load) return;
    this.#loading = undefined;
    this.#release();
    this.#publish();
  }

  /** Lets what happened meanwhile happen to the messages of the page. The others know of it. */
  #release(): void {
    const held = this.#held;
    this.#held = [];
    for (const event of held) {
      if (event.type === "message:new") {
        if (!this.#hasNewer) this.#append(event);
      } else if (event.type !== "room:void") {
        const message = this.message(event.of);
        if (message && (this.#readAt.get(message) ?? 0) >= this.#loadedAt) this.#apply(event);
      }
    }
  }

  #replace(messages: Message[], around?: number): void {
    this.#generation++;
    this.#around = around;
    this.#noteRead(messages);
    this.#messages = messages;
  }

  #noteRead(messages: readonly Message[]): void {
    const now = performance.now();
    for (const message of messages) this.#readAt.set(message, now);
  }

  #append(message: Message): void {
    const last = this.#messages.at(-1);
    if (!last || message.seq > last.seq) this.#messages.push(message);
  }

  #apply(event: RoomEvent): void {
    if (this.#loading) this.#held.push(event);
    switch (event.type) {
      case "message:new":
        // A replayed message holds reactions whose events follow.
        if (event.reactions.length > 0) this.#noteRead([event]);
        if (!this.#hasNewer && this.#loading !== "around") this.#append(event);
        break;
      case "message:edited":
        this.#change(event.of, (message) => ({ ...message, body: event.message.body, editedAt: event.message.editedAt }));
        break;
      case "message:deleted":
        this.#change(event.of, (message) => ({ ...message, body: "", attachments: [], reactions: [], deletedAt: new Date().toISOString() }));
        break;
      case "message:reacted":
        this.#react(event);
        break;
      case "image:ready": {
        const { url, width, height, variants, placeholder, animated } = event;
        this.#changeAttachment(event.of, event.attachmentId, (known) => ({
          ...known,
          ...{ url, width, height, variants, placeholder, animated, status: "ready" },
        }));
        break;
      }
      case "image:failed":
        this.#changeAttachment(event.of, event.attachmentId, (known) => ({ ...known, status: "failed", reason: event.reason }));
        break;
      case "room:void":
        return;
    }
    this.#publishSoon();
  }

  #changeAttachment(seq: number, id: string, change: (known: Attachment) => Attachment): void {
    this.#change(seq, (message) => ({
      ...message,
      attachments: message.attachments.map((known) => (known.id === id ? change(known) : known)),
    }));
  }

  #react(event: MessageReacted): void {
    const message = this.message(event.of);
    if (!message) return;
    const readAt = this.#readAt.get(message);
    if (readAt !== undefined && performance.now() - readAt < READ_BACK_MS) {
      // Whether this one is counted already can't be told: ask.
      if (this.#reread.size === 0) setTimeout(() => void this.#rereadSome(), REREAD_AFTER_MS);
      this.#reread.add(event.of);
      return;
    }
    this.#change(event.of, (message) => ({
      ...message,
      reactions: withReaction(message.reactions, event.emoji, event.on, isMe(event.userId)),
    }));
  }

  async #rereadSome(): Promise<void> {
    const seqs = [...this.#reread];
    this.#reread.clear();
    // Without an answer the count stays as it was read; the next load of the room has it.
    for (const seq of seqs) await this.reread(seq).catch(() => undefined);
  }

  #change(seq: number, change: (message: Message) => Message): void {
    const index = find(this.#messages, seq);
    const message = this.#messages[index];
    if (message?.seq !== seq) return;
    const changed = change(message);
    const readAt = this.#readAt.get(message);
    if (readAt !== undefined && !this.#readAt.has(changed)) this.#readAt.set(changed, readAt);
    this.#messages[index] = changed;
  }

  #publishSoon(): void {
    this.#frame ??= requestFrame(() => this.#publish());
  }

  #publish(): void {
    if (this.#frame !== undefined) cancelFrame(this.#frame);
    this.#frame = undefined;
    this.view.set({
      rows: this.#hasNewer ? this.#messages.slice() : [...this.#messages, ...this.#waiting()],
      generation: this.#generation,
      around: this.#around,
      hasOlder: this.#hasOlder,
      hasNewer: this.#hasNewer,
      isLoading: this.#loading !== undefined,
      error: this.#error,
    });
  }

  /** What is on its way and not among the messages yet. */
  #waiting(): readonly OutgoingMessage[] {
    const { pending } = this.room;
    if (pending.length === 0) return pending;
    const recent = new Set(this.#messages.slice(-PAGE).map(({ clientId }) => clientId));
    return pending.filter(({ clientId }) => !recent.has(clientId));
  }
}

/** The index of the first row with this `seq` or a later one. */
function find(rows: readonly Row[], seq: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const row = rows[middle];
    if (row && !isOutgoing(row) && row.seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

// A hidden page has no frames, and has to know of new messages all the same.
const requestFrame = (run: () => void): number => (document.hidden ? window.setTimeout(run) : requestAnimationFrame(run));
const cancelFrame = (frame: number): void => {
  cancelAnimationFrame(frame);
  clearTimeout(frame);
};
