// A small client of Socket.IO v5 over Engine.IO v4: the main namespace, JSON only. By WebSocket, or by polling where that
// hangs or fails.
//
// What must stay true: the state is "connected" before the first event of a connection is given out, events are given
// out in the order they came, and every promise of `emit` settles, at the latest when its connection ends.

import { Polling } from './polling.js';

const PATIENCE_MS = 20_000;
const WEBSOCKET_PATIENCE_MS = 5_000;
/** After so long a WebSocket that hung is tried again, and one that failed. */
const AFTER_HANGING_MS = 10 * 60_000;
const AFTER_FAILING_MS = 30_000;
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 15_000;

/** What the server, or the way to it, refused: the error of an ack or of an HTTP answer. */
export class Refusal extends Error {
  constructor({ code, message, retryable = false, retryAfterMs }) {
    super(message);
    Object.assign(this, { code, retryable, retryAfterMs });
  }
}

const disconnected = () => new Refusal({ code: 'disconnected', message: 'Not connected just now.', retryable: true });

export class Socket {
  state = 'connecting';
  #on;
  #ws = null;
  #acks = new Map();
  #nextAck = 0;
  #failures = 0;
  #delayMs = null;
  #retry = 0;
  #watchdog = 0;
  #patienceMs;
  #pingsMs;
  #pollsUntil = 0;
  #dialling = false;
  #closed = false;

  /** `on.auth()` resolves to what the server is told on connecting, `on.state(state)` follows the state,
   * `on.event(name, payload)` gets the events, `on.ended({ code, message })` says that the server wants no more of it. */
  constructor(on) {
    this.#on = on;
    const hurry = () => this.#failures > 0 && !document.hidden && this.#dial();
    addEventListener('online', hurry);
    document.addEventListener('visibilitychange', hurry);
    addEventListener('offline', () => this.#ws && this.#lost());
    this.#dial();
  }

  /** Sends an event and resolves to its answer, or rejects with a `Refusal`. */
  emit(event, payload) {
    if (this.state !== 'connected') return Promise.reject(disconnected());
    const id = String(this.#nextAck++);
    return new Promise((resolve, reject) => {
      const late = { code: 'timeout', message: 'The server took too long to answer.', retryable: true };
      const timer = setTimeout(() => this.#answer(id, { error: late }), PATIENCE_MS);
      this.#acks.set(id, { resolve, reject, timer });
      this.#ws.send(`42${id}${JSON.stringify([event, payload])}`);
    });
  }

  /** As `emit`, and tries again as long as the connection stands and the server says that it may help. */
  async insist(event, payload) {
    for (;;) {
      try {
        return await this.emit(event, payload);
      } catch (error) {
        if (!error.retryable || error.code === 'disconnected') throw error;
        await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs ?? 1_000));
      }
    }
  }

  /** The server is about to close, and says when to come back. */
  comeBackAfter(ms) {
    this.#delayMs = ms;
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#drop();
  }

  async #dial() {
    if (this.#closed || this.#dialling || this.#ws) return;
    this.#dialling = true;
    clearTimeout(this.#retry);
    try {
      const auth = await this.#on.auth();
      if (this.#closed) return;
      const polls = Date.now() < this.#pollsUntil;
      const ws = polls ? new Polling() : new WebSocket(`${location.origin.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
      this.#ws = ws;
      this.#patienceMs = polls ? PATIENCE_MS : WEBSOCKET_PATIENCE_MS;
      this.#heard();
      // A connection that was given up may still have something to say.
      ws.onmessage = ({ data }) => ws === this.#ws && this.#packet(data, auth);
      ws.onclose = () => ws === this.#ws && this.#lost();
    } catch {
      if (!this.#closed) this.#lost();
    } finally {
      this.#dialling = false;
    }
  }

  // Engine.IO: open, close, ping and message; then Socket.IO: connect, disconnect, event, ack and refusal.
  #packet(text, auth) {
    this.#heard();
    const [, type, id, json] = /^(4?\d)(\d*)(.*)$/s.exec(text);
    const data = json && type !== '2' ? JSON.parse(json) : null;
    if (type === '0') {
      this.#pingsMs = data.pingInterval + data.pingTimeout;
      this.#ws.send(`40${JSON.stringify(auth)}`);
    } else if (type === '1') {
      this.#lost();
    } else if (type === '2') {
      this.#ws.send('3');
    } else if (type === '40') {
      this.#failures = 0;
      this.#patienceMs = this.#pingsMs;
      this.#heard();
      this.#become('connected');
    } else if (type === '41' || type === '44') {
      this.close();
      this.#on.ended(data?.data ?? { code: 'disconnected', message: data?.message ?? 'The server ended this connection.' });
    } else if (type === '42') {
      this.#on.event(data[0], data[1]);
    } else if (type === '43') {
      this.#answer(id, data[0]);
    }
  }

  #answer(id, answer) {
    const ack = this.#acks.get(id);
    this.#acks.delete(id);
    clearTimeout(ack?.timer);
    if (answer.ok) ack?.resolve(answer);
    else ack?.reject(new Refusal(answer.error));
  }

  // The server pings; silence for longer than it promised means that it is gone.
  #heard() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#lost(true), this.#patienceMs);
  }

  #lost(hung = false) {
    // What led to no connection isn't the way to take next.
    if (this.#ws && this.state !== 'connected') {
      this.#pollsUntil = this.#ws instanceof Polling ? 0 : Date.now() + (hung ? AFTER_HANGING_MS : AFTER_FAILING_MS);
    }
    this.#drop();
    // Jitter, or all clients of a server that restarts come back in the same moment.
    const backOff = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures++) * (0.5 + Math.random() / 2);
    this.#retry = setTimeout(() => this.#dial(), this.#delayMs ?? backOff);
    this.#delayMs = null;
    this.#become(navigator.onLine ? 'reconnecting' : 'offline');
  }

  #drop() {
    clearTimeout(this.#watchdog);
    this.#ws?.close();
    this.#ws = null;
    this.state = 'offline';
    for (const id of [...this.#acks.keys()]) this.#answer(id, { error: disconnected() });
  }

  #become(state) {
    this.state = state;
    this.#on.state(state);
  }
}
