// A small client of Socket.IO v5 over an Engine.IO v4 WebSocket: the main namespace, JSON only.
//
// What must stay true: the state becomes "connected" before the first event of a connection is given out, events are
// given out in the order they came, and every promise of `emit` settles, at the latest when its connection ends.

const ACK_TIMEOUT_MS = 20_000;
const DIAL_TIMEOUT_MS = 20_000;
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
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

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
  #patienceMs = DIAL_TIMEOUT_MS;
  #dialling = false;
  #closed = false;

  /** `on.auth()` resolves to what the server is told on connecting, `on.state(state)` follows the state, `on.event(name,
   * payload)` gets the events, and `on.ended({ code, message })` is called when the server wants this client no more. */
  constructor(on) {
    this.#on = on;
    addEventListener('online', () => this.#hurry());
    addEventListener('offline', () => this.#ws && this.#lost());
    document.addEventListener('visibilitychange', () => document.hidden || this.#hurry());
    this.#dial();
  }

  /** Sends an event and resolves to its answer, or rejects with a `Refusal`. */
  emit(event, payload) {
    if (this.state !== 'connected') return Promise.reject(disconnected());
    const id = this.#nextAck++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#acks.delete(id);
        reject(new Refusal({ code: 'timeout', message: 'The server took too long to answer.', retryable: true }));
      }, ACK_TIMEOUT_MS);
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
        await pause(error.retryAfterMs ?? 1_000);
      }
    }
  }

  /** The server is about to close and says when it, or another one, can be reached. */
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
      const ws = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/socket.io/?EIO=4&transport=websocket`);
      this.#ws = ws;
      this.#patienceMs = DIAL_TIMEOUT_MS;
      this.#heard();
      // A connection that was given up may still have something to say.
      ws.onmessage = ({ data }) => ws === this.#ws && this.#packet(data, auth);
      ws.onclose = () => ws === this.#ws && this.#lost();
    } catch {
      this.#lost();
    } finally {
      this.#dialling = false;
    }
  }

  #packet(text, auth) {
    this.#heard();
    if (text[0] === '0') {
      const { pingInterval, pingTimeout } = JSON.parse(text.slice(1));
      this.#patienceMs = pingInterval + pingTimeout;
      this.#ws.send(`40${JSON.stringify(auth)}`);
    } else if (text[0] === '1') {
      this.#lost();
    } else if (text[0] === '2') {
      this.#ws.send('3');
    } else if (text[0] === '4') {
      this.#message(text.slice(1));
    }
  }

  #message(text) {
    const [, type, id, json] = /^(\d)(\d*)(.*)$/s.exec(text);
    const data = json && JSON.parse(json);
    if (type === '0') {
      this.#failures = 0;
      this.#delayMs = null;
      this.#become('connected');
    } else if (type === '1') {
      this.close();
      this.#on.ended({ code: 'disconnected', message: 'The server ended this connection.' });
    } else if (type === '2') {
      this.#on.event(data[0], data[1]);
    } else if (type === '3') {
      const ack = this.#acks.get(Number(id));
      this.#acks.delete(Number(id));
      clearTimeout(ack?.timer);
      if (data[0].ok) ack?.resolve(data[0]);
      else ack?.reject(new Refusal(data[0].error));
    } else if (type === '4') {
      this.close();
      this.#on.ended({ message: data.message, ...data.data });
    }
  }

  // The server pings; silence for longer than it promised means that it is gone.
  #heard() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(() => this.#lost(), this.#patienceMs);
  }

  #lost() {
    this.#drop();
    if (this.#closed) return;
    // Jitter, or all clients of a server that restarts come back in the same moment.
    const backOff = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures++);
    const delay = this.#delayMs ?? backOff * (0.5 + Math.random() / 2);
    this.#delayMs = null;
    this.#become(navigator.onLine ? 'reconnecting' : 'offline');
    this.#retry = setTimeout(() => this.#dial(), delay);
  }

  #hurry() {
    if (this.#failures > 0) this.#dial();
  }

  #drop() {
    clearTimeout(this.#watchdog);
    const ws = this.#ws;
    this.#ws = null;
    ws?.close();
    this.#become('offline', { quietly: true });
    for (const { reject, timer } of this.#acks.values()) {
      clearTimeout(timer);
      reject(disconnected());
    }
    this.#acks.clear();
  }

  #become(state, { quietly = false } = {}) {
    this.state = state;
    if (!quietly) this.#on.state(state);
  }
}
