// Messages on their way. Each keeps its `clientId` until the server has acknowledged it, over reconnects and reloads of
// the page, so that it is stored once however often it is sent. One at a time: they arrive in the order written.

import { keep, recall } from './kept.js';

const KEY = 'tertulia.outbox';

// Not `randomUUID`, which browsers withhold from pages that come over plain HTTP.
const newClientId = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');

export class Outbox {
  #userId;
  #send;
  #on;
  #items;
  #busy = false;

  /** `send(payload)` resolves to the answer; `on.sent(message)` and `on.changed()` follow what happens. */
  constructor(userId, send, on) {
    this.#userId = userId;
    this.#send = send;
    this.#on = on;
    const kept = recall(KEY) ?? [];
    this.#items = kept.filter((item) => item.userId === userId);
  }

  /** What waits for a room; `error` says why an item was refused. */
  of(roomId) {
    return this.#items.filter((item) => item.payload.roomId === roomId);
  }

  add(roomId, body, replyTo) {
    this.#items.push({ userId: this.#userId, payload: { roomId, clientId: newClientId(), body, replyTo } });
    this.#save();
    this.flush();
  }

  /** The message has come, whether or not its acknowledgement did. */
  settle(clientId) {
    this.discard(this.#items.find((item) => item.payload.clientId === clientId));
  }

  discard(item) {
    if (!item) return;
    this.#items = this.#items.filter((other) => other !== item);
    this.#save();
  }

  again(item) {
    delete item.error;
    this.#save();
    this.flush();
  }

  /** Sends what waits; to be called on every new connection. */
  async flush() {
    if (this.#busy) return;
    this.#busy = true;
    try {
      let item;
      while ((item = this.#items.find(({ error }) => !error))) {
        try {
          const { message } = await this.#send(item.payload);
          this.discard(item);
          this.#on.sent(message);
        } catch (error) {
          if (error.code === 'disconnected') return;
          item.error = error.message;
          this.#save();
        }
      }
    } finally {
      this.#busy = false;
    }
  }

  #save() {
    keep(KEY, this.#items);
    this.#on.changed();
  }
}
