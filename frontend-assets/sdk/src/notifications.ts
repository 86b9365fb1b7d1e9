// What happened while the user looked elsewhere: listed, counted, and told as it happens on every device.
//
// What must stay true: the count is the server's; between two answers of it only what is new is added; an answer to what was asked
// before something happened doesn't take that back.

import type { Api } from "./api.js";
import { Emitter, type Unsubscribe } from "./emitter.js";
import { TertuliaError } from "./error.js";
import type { Notification, NotificationsRead } from "./generated/events.js";
import type { components } from "./generated/http.js";

type Schemas = components["schemas"];

export type NotificationPage = Schemas["NotificationPage"];
export type NotificationPreferences = Schemas["Preferences"];
export type Notify = Schemas["Notify"];

/** What is told of notifications. */
export interface NotificationEvents {
  /** A new one. */
  new: Notification;
  /** Some were read, here or on another device. */
  read: NotificationsRead;
  /** `unread` is another. */
  changed: number | undefined;
}

/** The server counts no further. */
const COUNTED_MAX = 1_000;
/** Several may be read in a row. */
const RECOUNT_AFTER_MS = 300;

export class Notifications {
  readonly #api: Api;
  readonly #events = new Emitter<NotificationEvents>();
  #unread: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #run = 0;
  /** Counts that were asked for, and the last of those that no longer say anything new. */
  #asked = 0;
  #outdated = 0;

  /** @internal */
  constructor(api: Api) {
    this.#api = api;
  }

  /** How many weren't read, at most 1,000; absent until it is known, and if the server has no notifications. */
  get unread(): number | undefined {
    return this.#unread;
  }

  on<E extends keyof NotificationEvents>(event: E, listener: (payload: NotificationEvents[E]) => void): Unsubscribe {
    return this.#events.on(event, listener);
  }

  /** A page, the newest first; with `hasMore` more `before` the last of them. */
  list(page: { unread?: boolean; limit?: number; before?: string } = {}): Promise<NotificationPage> {
    return this.#ask(page);
  }

  /** Marks one as read on all devices. */
  async read(notificationId: string): Promise<void> {
    await this.#api.post("notifications/{notificationId}/read", { path: { notificationId } });
    this.#outdate();
    this.#recount();
  }

  /** Marks all as read on all devices. */
  async readAll(): Promise<void> {
    await this.#api.post("notifications/read-all");
    this.#outdate();
    this.#count(0);
    // There may be new ones since.
    this.#recount();
  }

  /** How the user is told of what happens while they are away. */
  preferences(): Promise<NotificationPreferences> {
    return this.#api.get("me/preferences");
  }

  /** Changes what is given; `quietHours: null` removes them. */
  prefer(change: Schemas["UpdatePreferences"]): Promise<NotificationPreferences> {
    return this.#api.patch("me/preferences", { body: change });
  }

  /** What the user is told of in a room. */
  async inRoom(roomId: string): Promise<Notify> {
    return (await this.#api.get("rooms/{roomId}/preferences", { path: { roomId } })).notify;
  }

  async preferInRoom(roomId: string, notify: Notify): Promise<void> {
    await this.#api.put("rooms/{roomId}/preferences", { path: { roomId }, body: { notify } });
  }

  /** @internal This connection hears of what is new from now on. */
  connected(): void {
    this.#recount(0);
  }

  /** @internal */
  receive(name: string, payload: unknown): void {
    if (name === "notification:new") {
      this.#outdate();
      if (this.#unread !== undefined) this.#count(Math.min(COUNTED_MAX, this.#unread + 1));
      this.#events.emit("new", payload as Notification);
    } else if (name === "notification:read") {
      this.#outdate();
      this.#events.emit("read", payload as NotificationsRead);
      this.#recount();
    }
  }

  /** @internal */
  signedOut(): void {
    this.#run++;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#count(undefined);
  }

  #recount(after = RECOUNT_AFTER_MS): void {
    const run = this.#run;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#ask({ unread: true, limit: 1 }).catch((error: TertuliaError) => {
        // Counted anew with the next connection, or when one is read.
        if (run === this.#run && error.code === "not_found") this.#count(undefined);
      });
    }, after);
  }

  /** What is being asked for now may be answered with what was before. */
  #outdate(): void {
    this.#outdated = this.#asked;
  }

  /** Asks for a page, and takes its count unless something happened meanwhile. */
  async #ask(query: { unread?: boolean; limit?: number; before?: string }): Promise<NotificationPage> {
    const run = this.#run;
    const asked = ++this.#asked;
    const answer = await this.#api.get("notifications", { query });
    if (run !== this.#run) return answer;
    const isNewest = asked > this.#outdated;
    if (isNewest) this.#outdated = asked;
    if (isNewest || this.#unread === undefined) this.#count(answer.unread);
    if (!isNewest) this.#recount();
    return answer;
  }

  #count(unread: number | undefined): void {
    if (unread === this.#unread) return;
    this.#unread = unread;
    this.#events.emit("changed", unread);
  }
}
