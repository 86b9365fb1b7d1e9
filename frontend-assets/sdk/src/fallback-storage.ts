// A storage that may fail or never answer, as the databases of browsers do: on a full disk, in some private modes, while
// another window holds them. Nobody waits for it for long, and what it doesn't take is kept in memory until it does.
//
// What must stay true: what is read is what was written last, whether or not the storage has it yet.

import { backOff } from "./back-off.js";
import type { Storage } from "./storage.js";

/** What hasn't answered by then is done without. */
const PATIENCE_MS = 3_000;
/** It is asked again after this, or once it has answered after all. */
const SILENT_MS = 30_000;

/** A value to be stored, or none where the key is to be deleted. */
interface Change {
  readonly value?: unknown;
}

export class FallbackStorage implements Storage {
  readonly #storage: Storage;
  readonly #failed: (error: unknown) => void;
  /** What the storage hasn't taken yet, the oldest first. */
  readonly #unsaved = new Map<string, Change>();
  #saving: Promise<void> | undefined;
  /** When it may be asked again. */
  #restsUntil = -Infinity;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  /** @param failed is told of the first failure, and of the first one after it worked again */
  constructor(storage: Storage, failed: (error: unknown) => void) {
    this.#storage = storage;
    this.#failed = failed;
  }

  async entries(prefix: string): Promise<[key: string, value: unknown][]> {
    const stored = await this.#ask(() => this.#storage.entries(prefix)).catch(() => []);
    const entries = new Map(stored);
    for (const [key, change] of this.#unsaved) {
      if (!key.startsWith(prefix)) continue;
      if ("value" in change) entries.set(key, structuredClone(change.value));
      else entries.delete(key);
    }
    return [...entries].sort(([one], [other]) => (one < other ? -1 : 1));
  }

  async set(key: string, value: unknown): Promise<void> {
    await this.#change(key, { value: structuredClone(value) });
  }

  async delete(key: string): Promise<void> {
    await this.#change(key, {});
  }

  #change(key: string, change: Change): Promise<void> {
    // Behind the others, also where the same key was among them.
    this.#unsaved.delete(key);
    this.#unsaved.set(key, change);
    return this.#save();
  }

  /** Hands on what isn't saved, one after the other. */
  #save(): Promise<void> {
    this.#saving ??= this.#saveAll().finally(() => (this.#saving = undefined));
    return this.#saving;
  }

  async #saveAll(): Promise<void> {
    // What is changed meanwhile comes at the end of the same iteration.
    for (const [key, change] of this.#unsaved) {
      try {
        await this.#ask(() =>
          "value" in change ? this.#storage.set(key, change.value) : this.#storage.delete(key),
        );
        if (this.#unsaved.get(key) === change) this.#unsaved.delete(key);
      } catch {
        // Another one may fit where this one doesn't.
        if (this.#unsaved.get(key) === change) {
          this.#unsaved.delete(key);
          this.#unsaved.set(key, change);
        }
        break;
      }
    }
    if (this.#unsaved.size === 0 || this.#retry !== undefined) return;
    this.#retry = setTimeout(
      () => {
        this.#retry = undefined;
        void this.#save();
      },
      Math.max(0, this.#restsUntil - performance.now()),
    );
    // A program of Node may end all the same.
    (this.#retry as { unref?: () => void }).unref?.();
  }

  async #ask<T>(work: () => Promise<T>): Promise<T> {
    if (performance.now() < this.#restsUntil) throw new Error("the storage has failed");
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isLate = false;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        isLate = true;
        reject(new Error("the storage doesn't answer"));
      }, PATIENCE_MS);
    });
    try {
      const answer = work();
      const worked = (): void => {
        this.#restsUntil = -Infinity;
        this.#failures = 0;
        // It has come back by itself.
        if (isLate && this.#unsaved.size > 0) void this.#save();
      };
      answer.then(worked, () => {});
      return await Promise.race([answer, late]);
    } catch (error) {
      if (this.#failures === 0) this.#failed(error);
      this.#restsUntil = performance.now() + (isLate ? SILENT_MS : backOff(this.#failures));
      this.#failures++;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}
