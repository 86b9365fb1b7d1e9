// Something between a page and its server that doesn't let WebSockets through, as some proxies and virus scanners do.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { connect } from "node:net";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export class Middlebox {
  /** What becomes of WebSockets: "pass", "swallow" (never answered), or "mute" (opened, and then nothing). */
  mode = "pass";
  /** WebSockets that were asked for. */
  asked = 0;
  /** WebSockets that were let through. */
  passed = 0;
  #listener;
  #sockets = new Set();

  static async start(server) {
    const box = new Middlebox();
    const listener = createServer((asked, answer) => box.#forward(server.port, asked, answer));
    listener.on("connection", (socket) => box.#keep(socket));
    listener.on("upgrade", (asked, socket, head) => box.#upgrade(server.port, asked, socket, head));
    await once(listener.listen(0, "127.0.0.1"), "listening");
    box.#listener = listener;
    box.url = `http://127.0.0.1:${listener.address().port}`;
    return box;
  }

  async stop() {
    for (const socket of this.#sockets) socket.destroy();
    this.#listener.close();
    await once(this.#listener, "close");
  }

  #forward(port, asked, answer) {
    const { url: path, method, headers } = asked;
    const forwarded = request({ host: "127.0.0.1", port, path, method, headers }, (answered) => {
      answer.writeHead(answered.statusCode, answered.headers);
      answered.pipe(answer);
    });
    forwarded.on("error", () => answer.destroy());
    answer.on("close", () => forwarded.destroy());
    asked.pipe(forwarded);
  }

  #upgrade(port, asked, socket, head) {
    this.asked++;
    if (this.mode === "swallow") return;
    if (this.mode === "mute") {
      const accept = createHash("sha1").update(asked.headers["sec-websocket-key"] + GUID).digest("base64");
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
      return;
    }
    this.passed++;
    const upstream = this.#keep(connect(port, "127.0.0.1"));
    const { rawHeaders, method, url } = asked;
    const lines = rawHeaders.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${rawHeaders[index + 1]}`] : []));
    upstream.write(`${method} ${url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
    upstream.write(head);
    socket.pipe(upstream).pipe(socket);
  }

  #keep(socket) {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    return socket;
  }
}
