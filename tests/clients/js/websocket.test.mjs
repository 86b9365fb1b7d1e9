// The gateway's handshake and its closing as the library ws sees them, and the official client with subprotocols.
// GATEWAY_URL is where it listens.

import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, get } from "node:http";
import { after, describe, it } from "node:test";
import { io } from "socket.io-client";
import { WebSocket } from "ws";

const url = process.env.GATEWAY_URL;
assert.ok(url, "GATEWAY_URL is not set");
const endpoint = `${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`;

async function opened(protocols, options) {
  const socket = new WebSocket(endpoint, protocols, options);
  const [[packet]] = await Promise.all([once(socket, "message"), once(socket, "open")]);
  assert.match(packet.toString(), /^0\{"sid":/);
  return socket;
}

async function refused(options) {
  const socket = new WebSocket(endpoint, [], options);
  const [, response] = await once(socket, "unexpected-response");
  socket.on("error", () => {});
  socket.terminate();
  return response;
}

describe("a handshake of ws", { timeout: 60_000 }, () => {
  it("is given the first of the subprotocols that it offers", async () => {
    for (const protocols of [["chat", "v2"], ["v2", "chat"], ["Chat.v1"], []]) {
      const socket = await opened(protocols);
      assert.equal(socket.protocol, protocols[0] ?? "");
      socket.close();
      await once(socket, "close");
    }
  });

  it("may have lists for headers, and offer extensions", async () => {
    for (const headers of [
      { Connection: "keep-alive,\tUpgrade" },
      { Connection: ["keep-alive", "Upgrade"] },
      { Upgrade: "h2c, WebSocket" },
    ]) {
      const socket = await opened([], { headers, perMessageDeflate: true });
      assert.equal(socket.extensions, "");
      socket.terminate();
    }
  });

  it("may come behind another request of its connection", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const [response] = await once(get(`${url}/socket.io/?EIO=4`, { agent }), "response");
    await once(response.resume(), "end");
    const socket = await opened(["chat"], { agent });
    assert.equal(socket.protocol, "chat");
    socket.terminate();
    agent.destroy();
  });

  it("is told the version that is spoken", async () => {
    const response = await refused({ protocolVersion: 8 });
    assert.equal(response.statusCode, 400);
    assert.equal(response.headers["sec-websocket-version"], "13");
  });

  it("is answered where the path has a slash more or less", async () => {
    for (const path of ["/socket.io", "//socket.io/"]) {
      const socket = new WebSocket(endpoint.replace("/socket.io/", path));
      await once(socket, "open");
      socket.terminate();
    }
  });
});

describe("a WebSocket of ws", { timeout: 60_000 }, () => {
  it("is closed as it asks", async () => {
    for (const code of [1000, 1001, 3000, 4999]) {
      const socket = await opened([]);
      socket.close(code, "goodbye");
      const [answered] = await once(socket, "close");
      assert.equal(answered, 1000);
    }
  });

  it("is closed with the code of its mistake", async () => {
    for (const [mistake, code] of [
      [(socket) => socket.send(Buffer.from([0x34, 0xff]), { binary: false }), 1007],
      [(socket) => socket.send("x"), 1002],
      [(socket) => socket.send("4".repeat(1_000_001)), 1009],
    ]) {
      const socket = await opened([]);
      mistake(socket);
      const [answered] = await once(socket, "close");
      assert.equal(answered, code);
    }
  });
});

describe("socket.io-client with subprotocols", { timeout: 60_000 }, () => {
  const sockets = [];
  after(() => sockets.forEach((socket) => socket.disconnect()));

  for (const transports of [["websocket"], ["polling", "websocket"]]) {
    it(`connects over ${transports}`, async () => {
      const socket = io(url, { transports, protocols: ["chat", "v2"], forceNew: true, reconnection: false });
      sockets.push(socket);
      await once(socket, "connect");
      const { engine } = socket.io;
      if (engine.transport.name === "polling") await once(engine, "upgrade");
      assert.equal(engine.transport.ws.protocol, "chat");
      assert.equal(await socket.emitWithAck("echo", 1), 1);
    });
  }
});
