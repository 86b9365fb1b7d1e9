// Typed events. A listener that throws harms neither the others nor the one who emits.

/** Ends the listening. */
export type Unsubscribe = () => void;

type Listener<P> = (payload: P) => void;

export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();

  on<E extends keyof Events>(event: E, listener: Listener<Events[E]>): Unsubscribe {
    let listeners = this.#listeners.get(event);
    if (!listeners) this.#listeners.set(event, (listeners = new Set()));
    // Wrapped, so that a function that listens twice is called twice and unsubscribed by itself.
    const own = ((payload: Events[E]) => listener(payload)) as Listener<never>;
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  emit<E extends keyof Events>(event: E, payload: Events[E]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        (listener as Listener<Events[E]>)(payload);
      } catch (error) {
        if (typeof reportError === "function") reportError(error);
        else console.error(error);
      }
    }
  }
}
