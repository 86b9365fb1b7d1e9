// One room: following it over reconnects, writing in it, and asking about it.
//
// What must stay true: while a room is followed, every connection subscribes to it, by the `resume` of its handshake or
// by `room:join`, from the last event that listeners were given; after that the log makes the order.

import { backOff } from "./back-off.js";
import type { Answer, ServerEvent } from "./connection.js";
import { Emitter, type Unsubscribe } from "./emitter.js";
import { TertuliaError } from "./error.js";
import {
  bounds,
  type ClientEvents,
  type EventPage,
  type Message,
  type MessagePage,
  type MessagesFound,
  type Presence,
  type ResumePoint,
  type Room as RoomInfo,
  type RoomEvent,
  type RoomJoined,
  type RoomResumed,
} from "./generated/events.js";
import type { Draft, OutgoingMessage, Sending } from "./outbox.js";
import { ReadMark } from "./read-mark.js";
import type { RoomEvents, RoomStatus } from "./room-events.js";
import { RoomLog } from "./room-log.js";
import { Typing } from "./typing.js";

/** A replay that isn't over after this is asked for again. */
const REPLAY_MS = 15_000;

/** What a room needs of its client. */
export interface RoomHost {
  readonly connected: boolean;
  readonly userId: string | undefined;
  readonly maxBehind: number;
  ask<E extends keyof ClientEvents>(
    event: E,
    payload: ClientEvents[E]["payload"],
    settle: (error: TertuliaError | undefined, answer?: Answer<E>) => void,
  ): void;
  request<E extends keyof ClientEvents>(event: E, payload: ClientEvents[E]["payload"]): Promise<Answer<E>>;
  pending(roomId: string): readonly OutgoingMessage[];
  send(roomId: string, draft: Draft): Sending;
  retry(clientId: string): void;
  discard(clientId: string): void;
  /** The outbox may look at the room's messages again. */
  released(roomId: string): void;
}

interface Waiter {
  resolve(info: RoomInfo): void;
  reject(error: TertuliaError): void;
}

export class Room {
  readonly id: string;
  readonly #host: RoomHost;
  readonly #events = new Emitter<RoomEvents>();
  readonly #log: RoomLog;
  #info: RoomInfo | undefined;
  #epoch: string | undefined;
  #following = false;
  #lost = false;
  /** Whether this connection is subscribed. */
  #subscribed = false;
  /** Whether the server has let this client in since it began to follow. */
  #admitted = false;
  /** Whether listeners are to be told of a new beginning. */
  #startingOver = false;
  /** Grows with every attempt to subscribe, and whenever one has lost its meaning. */
  #attempt = 0;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waiters: Waiter[] = [];
  #toldStatus: RoomStatus = "idle";
  readonly #typing: Typing;
  readonly #readMark: ReadMark;

  /** @internal */
  constructor(id: string, host: RoomHost) {
    this.id = id;
    this.#host = host;
    this.#log = new RoomLog(
      {
        event: (event) => this.#deliver(event),
        read: (after) => this.#page(after),
        gone: () => this.#startOver(),
        failed: (error) => this.#lose(error),
      },
      host.maxBehind,
    );
    // At most once is enough.
    this.#typing = new Typing((on) => host.ask("typing:set", { roomId: id, on }, () => {}));
    this.#readMark = new ReadMark({
      tell: (seq, settle) => host.ask("read:set", { roomId: id, seq }, settle),
      told: ({ readSeq, unread }) => this.#update({ readSeq, unread }),
    });
  }

  /** The room as last heard of. */
  get info(): RoomInfo | undefined {
    return this.#info;
  }

  get status(): RoomStatus {
    if (!this.#following) return this.#lost ? "lost" : "idle";
    return this.#subscribed && !this.#log.isBehind ? "following" : "catching-up";
  }

  /** The `seq` of the last event that listeners were given, or of the last one before they were given any. */
  get seq(): number {
    return this.#log.seq ?? 0;
  }

  /** The life of the log that {@link seq} belongs to. */
  get epoch(): string | undefined {
    return this.#epoch;
  }

  /** Messages on their way, in the order written: the same array until one of them changes. */
  get pending(): readonly OutgoingMessage[] {
    return this.#host.pending(this.id);
  }

  on<E extends keyof RoomEvents>(event: E, listener: (payload: RoomEvents[E]) => void): Unsubscribe {
    return this.#events.on(event, listener);
  }

  /**
   * Becomes a member and follows the room, over reconnects, until {@link close} or {@link leave}. Resolves when the
   * server has agreed; without a connection that may take a while. Listen first: events may come before it resolves.
   *
   * @param from where to begin: all that came after it is delivered; without it, only what is new
   */
  join(from?: { seq: number; epoch?: string }): Promise<RoomInfo> {
    if (!this.#following) {
      this.#following = true;
      this.#lost = false;
      this.#admitted = false;
      this.#failures = 0;
      if (from) this.#log.begin(from.seq);
      this.#epoch = from?.epoch;
      this.#tell();
      if (this.#host.connected) this.#subscribe();
    } else if (this.#subscribed && this.#info) {
      return Promise.resolve(this.#info);
    }
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** Stops following the room; membership stays. */
  close(): void {
    this.typing(false);
    this.#end(new TertuliaError({ code: "closed", message: "the room was closed" }));
    this.#lost = false;
    this.#tell();
  }

  /** Ends membership. */
  async leave(): Promise<void> {
    await this.#host.request("room:leave", { roomId: this.id });
    this.#lose(undefined);
  }

  /**
   * Puts a message into the outbox and sends it as soon as it can be. See {@link pending} and the event `outgoing` for
   * what becomes of it.
   *
   * @throws TertuliaError `outbox_full` with 1,000 messages waiting; `invalid` for what no server would take;
   * `signed_out`
   */
  send(draft: Draft): Sending {
    const sending = this.#host.send(this.id, draft);
    // Whoever sees the message sees that nobody is typing it any more.
    this.typing(false);
    return sending;
  }

  /** Tries at once to send a message that failed or waits; one that failed is now the last. */
  retry(clientId: string): void {
    this.#host.retry(clientId);
  }

  /** Takes a message out of the outbox. One that is being sent may have arrived already. */
  discard(clientId: string): void {
    this.#host.discard(clientId);
  }

  /** Changes the text of one's own message. */
  async edit(seq: number, body: string): Promise<Message> {
    return (await this.#host.request("message:edit", { roomId: this.id, seq, body })).message;
  }

  /** Deletes a message. */
  async delete(seq: number): Promise<void> {
    await this.#host.request("message:delete", { roomId: this.id, seq });
  }

  /** Puts an emoji to a message, or takes it back. */
  async react(seq: number, emoji: string, on = true): Promise<void> {
    await this.#host.request("message:react", { roomId: this.id, seq, emoji, on });
  }

  /** Says that the user is typing. To be called on every keystroke; ends after 5 s without, with `false`, and by sending. */
  typing(on = true): void {
    this.#typing.set(on);
  }

  /** Says that the user has read up to `seq`. Never goes back; told after a pause, and again after a reconnect. */
  read(seq: number): void {
    this.#readMark.set(seq);
  }

  /**
   * A page of messages in their present state, ascending: the newest, those before, or those after a `seq`. It may hold
   * fewer than `limit`: whether there are more is said by `hasMore` alone.
   */
  history(page: { before?: number; after?: number; limit?: number } = {}): Promise<MessagePage> {
    return this.#host.request("message:history", { roomId: this.id, ...page });
  }

  /** A page of the log. It may hold fewer than `limit`: whether there are more is said by `hasMore` alone. */
  events(page: { after: number; limit?: number }): Promise<EventPage> {
    return this.#host.request("room:events", { roomId: this.id, ...page });
  }

  /** Messages with all of the words, the newest first; with `hasMore` more `before` the last of them. */
  search(query: string, page: { before?: number; limit?: number } = {}): Promise<MessagesFound> {
    return this.#host.request("message:search", { roomId: this.id, query, ...page });
  }

  /** Who is online: at most 100 by name, and how many. */
  presence(): Promise<Presence> {
    return this.#host.request("presence:get", { roomId: this.id });
  }

  /** @internal What the handshake says of this room; nothing if it has to be joined. */
  get resumePoint(): ResumePoint | undefined {
    if (!this.#following || !this.#admitted || this.#log.seq === undefined) return undefined;
    return { seq: this.#log.seq, ...(this.#epoch !== undefined && { epoch: this.#epoch }) };
  }

  /** @internal Whether messages can be sent: a room is entered first. */
  get isReady(): boolean {
    return !this.#following || this.#admitted;
  }

  /** @internal Whether listeners are still to be given the event of this `seq`. */
  awaits(seq: number): boolean {
    return this.#following && this.#log.seq !== undefined && this.#log.seq < seq;
  }

  /** @internal There is a connection; `resumed`: its handshake named this room. */
  connected(resumed: boolean): void {
    this.#readMark.connected();
    if (!this.#following) return;
    if (!resumed) return this.#subscribe();
    const attempt = ++this.#attempt;
    this.#timer = setTimeout(() => {
      if (attempt === this.#attempt) this.#subscribe();
    }, REPLAY_MS);
  }

  /** @internal */
  disconnected(): void {
    this.#attempt++;
    clearTimeout(this.#timer);
    this.#subscribed = false;
    this.#failures = 0;
    this.#typing.forget();
    this.#log.pause();
    this.#tell();
  }

  /** @internal A server event that names this room. */
  receive([name, payload]: ServerEvent): void {
    switch (name) {
      case "message:new":
      case "message:edited":
      case "message:deleted":
      case "message:reacted":
      case "image:ready":
      case "image:failed":
      case "room:void":
        this.#log.push({ ...payload, type: name } as RoomEvent);
        this.#tell();
        break;
      case "room:resumed":
        this.#resumed(payload);
        break;
      case "resync":
        if (this.#following) this.#subscribe();
        break;
      case "room:updated":
        this.#update({ ...payload.room });
        break;
      case "room:unread":
        this.#update({ unread: payload.unread, headSeq: payload.headSeq });
        break;
      case "room:member":
        this.#events.emit(name, payload);
        if (payload.userId !== this.#host.userId) break;
        if (payload.role === null) this.#lose(undefined);
        else this.#update({ role: payload.role });
        break;
      case "read:changed":
        if (payload.userId === this.#host.userId) this.#update({ readSeq: payload.seq });
        this.#events.emit(name, payload);
        break;
      case "typing:changed":
      case "presence:changed":
      case "presence:count":
        // The name and the payload are of one event, which a union of both can't say.
        this.#events.emit(name, payload as never);
        break;
    }
  }

  /** @internal */
  outgoingChanged(message: OutgoingMessage): void {
    this.#events.emit("outgoing", message);
  }

  /** @internal Nobody is signed in any more. */
  signedOut(): void {
    this.#end(TertuliaError.signedOut());
    this.#tell();
  }

  /** Subscribes this connection, from where the log is. */
  #subscribe(): void {
    const attempt = ++this.#attempt;
    clearTimeout(this.#timer);
    this.#subscribed = false;
    this.#tell();
    const since = this.#log.seq;
    const payload: ClientEvents["room:join"]["payload"] = { roomId: this.id };
    if (since !== undefined) payload.since = since;
    if (since !== undefined && this.#epoch !== undefined) payload.epoch = this.#epoch;
    this.#host.ask("room:join", payload, (error, answer) => {
      if (attempt !== this.#attempt) return;
      if (answer) this.#joined(answer, since);
      else if (error && !error.retryable) this.#lose(error);
      // Without a connection the next one subscribes.
      else if (error && error.code !== "network") {
        const delay = Math.max(backOff(this.#failures++), error.retryAfterMs ?? 0);
        this.#timer = setTimeout(() => this.#subscribe(), delay);
      }
    });
  }

  #joined({ room, headSeq, missed, reset }: RoomJoined, since: number | undefined): void {
    this.#epoch = room.epoch;
    this.#info = room;
    if (since === undefined || reset) this.#log.begin(headSeq);
    this.#entered();
    if (reset || this.#startingOver) {
      this.#startingOver = false;
      this.#readMark.reset();
      this.#events.emit("reset", room);
    }
    for (const event of missed) this.#log.push(event);
    this.#log.reach(headSeq);
    this.#settled();
  }

  #resumed(replay: RoomResumed): void {
    if (!this.#following) return;
    if ("error" in replay) {
      const error = new TertuliaError(replay.error);
      if (error.retryable) this.#subscribe();
      else this.#lose(error);
    } else if (replay.reset) {
      // Only an answer to `room:join` names the new epoch. Until then events of two lives can't be told apart.
      this.#startOver();
    } else {
      this.#attempt++;
      clearTimeout(this.#timer);
      this.#entered();
      this.#log.reach(replay.headSeq);
      this.#settled();
    }
  }

  #entered(): void {
    this.#subscribed = true;
    this.#admitted = true;
    this.#failures = 0;
  }

  #settled(): void {
    this.#events.emit("changed", this.#info);
    this.#toldStatus = this.status;
    this.#host.released(this.id);
    const info = this.#info;
    if (!info || !this.#subscribed) return;
    for (const { resolve } of this.#waiters.splice(0)) resolve(info);
  }

  /** Begins anew at the end of the log, and lets the listeners know. */
  #startOver(): void {
    this.#log.end();
    this.#startingOver = true;
    this.#subscribe();
  }

  #lose(error: TertuliaError | undefined): void {
    if (!this.#following) return;
    this.#end(error ?? new TertuliaError({ code: "closed", message: "no longer a member" }));
    this.#lost = true;
    this.#events.emit("lost", error);
    this.#tell();
  }

  #end(error: TertuliaError): void {
    this.#attempt++;
    clearTimeout(this.#timer);
    this.#typing.forget();
    this.#following = false;
    this.#subscribed = false;
    this.#startingOver = false;
    this.#log.end();
    this.#host.released(this.id);
    for (const { reject } of this.#waiters.splice(0)) reject(error);
  }

  #deliver(event: RoomEvent): void {
    // What was missed before an answer to `room:join` is in its counts already.
    if (this.#info && event.seq > this.#info.headSeq) {
      const isNews = event.type === "message:new" && event.sender.id !== this.#host.userId;
      const unread = (this.#info.unread ?? 0) + (isNews ? 1 : 0);
      this.#info = { ...this.#info, headSeq: event.seq, unread };
    }
    this.#events.emit("event", event);
    if (event.type !== "room:void") this.#events.emit(event.type, event as never);
    if (event.type === "message:new" && event.sender.id === this.#host.userId) this.#host.released(this.id);
    this.#toldStatus = this.status;
    this.#events.emit("changed", this.#info);
  }

  /** Asks without waiting for a connection: the next one replays the log by itself. */
  #page(after: number): Promise<EventPage> {
    return new Promise((resolve, reject) => {
      const page = { roomId: this.id, after, limit: bounds.eventsPerPage };
      this.#host.ask("room:events", page, (error, answer) => (answer ? resolve(answer) : reject(error)));
    });
  }

  #update(changes: Partial<RoomInfo>): void {
    if (!this.#info) return;
    this.#info = { ...this.#info, ...changes };
    this.#events.emit("changed", this.#info);
  }

  /** Tells of `status` if it changed. */
  #tell(): void {
    const status = this.status;
    if (status === this.#toldStatus) return;
    this.#toldStatus = status;
    this.#events.emit("changed", this.#info);
  }
}
