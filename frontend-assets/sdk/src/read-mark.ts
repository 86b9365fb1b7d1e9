// How far the user has read: told after a pause, never backwards, and again until the server knows.

import { backOff } from "./back-off.js";
import type { TertuliaError } from "./error.js";
import type { ReadAccepted } from "./generated/events.js";

const PAUSE_MS = 400;

export interface ReadMarkListener {
  tell(seq: number, settle: (error: TertuliaError | undefined, answer?: ReadAccepted) => void): void;
  told(answer: ReadAccepted): void;
}

export class ReadMark {
  readonly #on: ReadMarkListener;
  #seq = 0;
  #toldSeq = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(on: ReadMarkListener) {
    this.#on = on;
  }

  set(seq: number): void {
    if (seq <= this.#seq) return;
    this.#seq = seq;
    this.#tellAfter(PAUSE_MS);
  }

  /** There is a connection again. */
  connected(): void {
    if (this.#seq > this.#toldSeq) this.#tell();
  }

  /** The room has another life, of which nothing is read. */
  reset(): void {
    clearTimeout(this.#timer);
    this.#seq = this.#toldSeq = 0;
  }

  #tellAfter(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), ms);
  }

  #tell(): void {
    const seq = this.#seq;
    this.#on.tell(seq, (error, answer) => {
      // Superseded, and its successor is on its way.
      if (seq !== this.#seq) return;
      // Without a connection the next one is what is waited for.
      if (error?.retryable) {
        if (error.code !== "network") this.#tellAfter(Math.max(backOff(0), error.retryAfterMs ?? 0));
        return;
      }
      this.#toldSeq = seq;
      if (answer) this.#on.told(answer);
    });
  }
}
