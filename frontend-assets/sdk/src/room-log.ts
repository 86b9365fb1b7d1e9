// The log of one room as this client has it.
//
// What must stay true: events are given out once each, in the order of `seq`, without gaps. What is at or below `seq`
// is a duplicate. What is further ahead than the next one waits, while what lies between is read from the server.

import { backOff } from "./back-off.js";
import type { TertuliaError } from "./error.js";
import type { EventPage, RoomEvent } from "./generated/events.js";

/** Events that wait for those before them. What is beyond isn't kept, but read again. */
const HELD_MAX = 1_000;

export interface RoomLogListener {
  event(event: RoomEvent): void;
  /** A page of the log after a `seq`. */
  read(after: number): Promise<EventPage>;
  /** What lies between isn't to be had any more, or is more than should be caught up with. */
  gone(): void;
  /** The log can't be read any more. */
  failed(error: TertuliaError): void;
}

export class RoomLog {
  readonly #on: RoomLogListener;
  readonly #maxBehind: number;
  #seq: number | undefined;
  /** The log goes on at least up to here. */
  #target = 0;
  readonly #held = new Map<number, RoomEvent>();
  /** Grows whenever what is under way has lost its meaning. */
  #life = 0;
  #repairing: number | undefined;

  constructor(on: RoomLogListener, maxBehind: number) {
    this.#on = on;
    this.#maxBehind = maxBehind;
  }

  /** The `seq` of the last event given out; nothing before the log has begun. */
  get seq(): number | undefined {
    return this.#seq;
  }

  get isBehind(): boolean {
    return this.#seq !== undefined && this.#seq < this.#target;
  }

  /** Begins after `seq`, whatever was before. */
  begin(seq: number): void {
    this.pause();
    this.#seq = seq;
    this.#target = seq;
  }

  /** Gives out nothing until it begins again. */
  end(): void {
    this.pause();
    this.#seq = undefined;
  }

  /** The connection is gone; whatever was ahead will come again. */
  pause(): void {
    this.#life++;
    this.#held.clear();
    this.#target = this.#seq ?? 0;
  }

  /** Takes an event from the connection. */
  push(event: RoomEvent): void {
    if (this.#seq === undefined || event.seq <= this.#seq) return;
    if (event.seq === this.#seq + 1) {
      this.#give(event);
      this.#release();
    } else {
      if (this.#held.size < HELD_MAX) this.#held.set(event.seq, event);
      this.reach(event.seq);
    }
  }

  /** The log is known to go on up to `seq`. */
  reach(seq: number): void {
    this.#target = Math.max(this.#target, seq);
    if (this.isBehind) void this.#repair();
  }

  #give(event: RoomEvent): void {
    this.#seq = event.seq;
    this.#held.delete(event.seq);
    this.#on.event(event);
  }

  /** Gives out what waited and is now next. A listener may end the log meanwhile. */
  #release(): void {
    while (this.#seq !== undefined) {
      const next = this.#held.get(this.#seq + 1);
      if (!next) return;
      this.#give(next);
    }
  }

  async #repair(): Promise<void> {
    const life = this.#life;
    if (this.#repairing === life) return;
    this.#repairing = life;
    let failures = 0;
    while (this.#seq !== undefined && this.#seq < this.#target) {
      if (this.#target - this.#seq > this.#maxBehind) return this.#on.gone();
      let wait = 0;
      try {
        const page = await this.#on.read(this.#seq);
        if (life !== this.#life) return;
        const ahead = page.events.filter((event) => event.seq > (this.#seq ?? Infinity));
        if (ahead[0] && ahead[0].seq > this.#seq + 1) return this.#on.gone();
        for (const event of ahead) {
          if (life === this.#life) this.push(event);
        }
        // An event may be heard of a moment before it can be read.
        if (ahead.length === 0 && this.isBehind) wait = backOff(failures++) / 4;
        else failures = 0;
      } catch (error) {
        if (life !== this.#life) return;
        const { retryable, retryAfterMs } = error as TertuliaError;
        if (!retryable) return this.#on.failed(error as TertuliaError);
        wait = Math.max(backOff(failures++), retryAfterMs ?? 0);
      }
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      if (life !== this.#life) return;
    }
    this.#repairing = undefined;
  }
}
