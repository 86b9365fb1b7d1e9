// Engine.IO by HTTP requests, for where something in between doesn't let WebSockets through. Used as a WebSocket is.

const PATH = '/socket.io/?EIO=4&transport=polling';
const SEPARATOR = '\x1e';

export class Polling {
  onmessage = () => {};
  onclose = () => {};
  #path = PATH;
  #waiting = [];
  #posting = false;
  #ending = new AbortController();

  constructor() {
    this.#poll();
  }

  send(text) {
    this.#waiting.push(text);
    this.#post();
  }

  close() {
    if (this.#ending.signal.aborted) return;
    this.#ending.abort();
    // The server needn't wait for it to fall silent.
    if (this.#path !== PATH) fetch(this.#path, { method: 'POST', body: '1', keepalive: true }).catch(() => {});
  }

  async #poll() {
    try {
      for (;;) {
        const text = await this.#request({});
        for (const data of text.split(SEPARATOR)) {
          if (data[0] === '0') this.#path = `${PATH}&sid=${encodeURIComponent(JSON.parse(data.slice(1)).sid)}`;
          if (!this.#ending.signal.aborted) this.onmessage({ data });
        }
      }
    } catch {
      this.#lost();
    }
  }

  // One request at a time, so that what is sent comes in its order.
  async #post() {
    if (this.#posting) return;
    this.#posting = true;
    try {
      while (this.#waiting.length > 0) await this.#request({ method: 'POST', body: this.#waiting.splice(0).join(SEPARATOR) });
    } catch {
      this.#lost();
    } finally {
      this.#posting = false;
    }
  }

  async #request(options) {
    const response = await fetch(this.#path, { ...options, signal: this.#ending.signal });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return response.text();
  }

  #lost() {
    if (this.#ending.signal.aborted) return;
    this.#ending.abort();
    this.onclose();
  }
}
