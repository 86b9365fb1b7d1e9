// Saying that the user is typing: seldom enough to be cheap, and taken back by itself.

/** Repeated at most so often, and taken back after a silence. */
const EVERY_MS = 3_000;
const SILENCE_MS = 5_000;

export class Typing {
  readonly #tell: (on: boolean) => void;
  /** 0 when others don't think that the user is typing. */
  #toldAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(tell: (on: boolean) => void) {
    this.#tell = tell;
  }

  set(on: boolean): void {
    clearTimeout(this.#timer);
    const now = Date.now();
    if (on) this.#timer = setTimeout(() => this.set(false), SILENCE_MS);
    if (on ? now - this.#toldAt < EVERY_MS : this.#toldAt === 0) return;
    this.#toldAt = on ? now : 0;
    this.#tell(on);
  }

  /** The connection is gone, and what others thought with it. */
  forget(): void {
    clearTimeout(this.#timer);
    this.#toldAt = 0;
  }
}
