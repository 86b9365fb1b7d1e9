// The gateway as socket.io-client sees it, over websocket, polling and the upgrade between them.
// GATEWAY_URL is where it listens.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { afterEach, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Manager } from "socket.io-client";

const url = process.env.GATEWAY_URL;
assert.ok(url, "GATEWAY_URL is not set");

const ways = {
  websocket: ["websocket"],
  polling: ["polling"],
  upgrade: ["polling", "websocket"],
};

const limits = { timeout: 60_000 };

for (const [way, transports] of Object.entries(ways)) {
  describe(`over ${way}`, limits, () => {
    const managers = [];

    function manager(options = {}) {
      const made = new Manager(url, { transports, reconnectionDelay: 20, reconnectionDelayMax: 50, ...options });
      managers.push(made);
      return made;
    }

    async function connect(namespace = "/", { auth, ...options } = {}) {
      const socket = manager(options).socket(namespace, { auth });
      await once(socket, "connect");
      return socket;
    }

    afterEach(() => {
      for (const made of managers.splice(0)) made._close();
    });

    it("uses the transport", async () => {
      const socket = await connect();
      const engine = socket.io.engine;
      if (way === "upgrade" && engine.transport.name === "polling") await once(engine, "upgrade");
      assert.equal(engine.transport.name, way === "polling" ? "polling" : "websocket");
      assert.equal(await socket.emitWithAck("echo", 1), 1);
    });

    it("connects with auth, and loses no event that follows at once", async () => {
      const auth = { token: "täglich", nested: { list: [1, "two", null] } };
      const socket = manager().socket("/", { auth });
      const [welcome] = await once(socket, "welcome");
      assert.deepEqual(welcome, auth);
      assert.ok(socket.id);
    });

    it("has several namespaces on one connection", async () => {
      const shared = manager();
      const main = shared.socket("/", { auth: { n: 1 } });
      const custom = shared.socket("/custom", { auth: { n: 2 } });
      const welcomes = await Promise.all([once(main, "welcome"), once(custom, "welcome")]);
      assert.deepEqual(welcomes, [[{ n: 1 }], [{ n: 2 }]]);
      assert.notEqual(main.id, custom.id);
      assert.equal(await custom.emitWithAck("echo", "custom"), "custom");
      custom.disconnect();
      assert.equal(await main.emitWithAck("echo", "main"), "main");
    });

    it("is refused with data and does not come back", async () => {
      const shared = manager();
      const main = shared.socket("/");
      const namespace = "/refused";
      const refused = shared.socket(namespace);
      const [error] = await once(refused, "connect_error");
      assert.equal(error.message, "you may not enter");
      assert.deepEqual(error.data, { code: "forbidden", message: "you may not enter" });
      assert.equal(refused.active, false);
      const before = await main.emitWithAck("connects", namespace);
      main.emit("close-me");
      await once(main, "disconnect");
      await once(main, "connect");
      assert.equal(await main.emitWithAck("connects", namespace), before);
    });

    it("is refused by an unknown namespace", async () => {
      const socket = manager().socket("/nothing");
      const [error] = await once(socket, "connect_error");
      assert.equal(error.message, "Invalid namespace");
      assert.equal(socket.active, false);
    });

    it("comes back when told to try later", async () => {
      let attempts = 0;
      const patient = manager();
      patient.on("reconnect_attempt", () => (attempts += 1));
      const socket = patient.socket("/", { auth: { busy: { key: randomUUID(), times: 2 } } });
      await once(socket, "connect");
      assert.equal(attempts, 2);
    });

    it("sends events and acks both ways", async () => {
      const socket = await connect();
      const values = [0, -1.5, "é\u{1f600}\u001e\"\\", null, true, [], { a: { b: [{}] } }];
      const echoed = await new Promise((resolve) => socket.emit("echo", ...values, (...back) => resolve(back)));
      assert.deepEqual(echoed, values);
      socket.emit("echo", ...values);
      assert.deepEqual(await once(socket, "echo"), values);
      socket.emit("echo");
      assert.deepEqual(await once(socket, "echo"), []);
      socket.on("question", (question, answer) => answer({ answer: question.n + 1 }));
      assert.deepEqual(await socket.emitWithAck("ask", { n: 41 }), { Ok: { answer: 42 } });
    });

    it("sends attachments both ways", async () => {
      const socket = await connect();
      const [a, b, empty] = [Buffer.from([0, 1, 254, 255]), Buffer.alloc(70_000, 9), Buffer.alloc(0)];
      const back = await socket.emitWithAck("echo", { a, list: [b, { empty }], text: "t" });
      assert.deepEqual(back, { a, list: [b, { empty }], text: "t" });
      socket.emit("echo", a, 1, b);
      assert.deepEqual(await once(socket, "echo"), [a, 1, b]);
      socket.emit("bytes", 1000);
      assert.deepEqual(await once(socket, "bytes"), [Buffer.alloc(1000, 7)]);
      socket.on("question", (bytes, answer) => answer(Buffer.from(bytes).reverse()));
      assert.deepEqual(await socket.emitWithAck("ask-bytes", a), Buffer.from([255, 254, 1, 0]));
    });

    it("sends messages just below maxPayload", async () => {
      const socket = await connect();
      const maxPayload = socket.io.engine._maxPayload ?? socket.io.engine.maxPayload;
      assert.equal(maxPayload, 1_000_000);
      const text = "x".repeat(maxPayload - 100);
      assert.equal(await socket.emitWithAck("echo", text), text);
      assert.equal((await socket.emitWithAck("text", maxPayload - 100)).length, maxPayload - 100);
      // In a polling payload attachments are base64, a third larger.
      const bytes = Buffer.alloc(Math.floor((maxPayload - 200) * 0.75), 3);
      assert.deepEqual(await socket.emitWithAck("echo", bytes), bytes);
    });

    it("loses the connection by a message above maxPayload, and comes back", async () => {
      const socket = await connect();
      socket.emit("echo", "x".repeat(1_000_001));
      const [reason] = await once(socket, "disconnect");
      assert.match(reason, /^transport (close|error)$/);
      await once(socket, "connect");
      assert.equal(await socket.emitWithAck("echo", 1), 1);
    });

    it("keeps the order of many events", async () => {
      const socket = await connect();
      const count = 3_000;
      const numbers = Array.from({ length: count }, (_, n) => n);
      const arrived = [];
      const done = new Promise((resolve) =>
        socket.on("number", (n) => arrived.push(n) === count && resolve()),
      );
      socket.emit("count", count);
      await done;
      assert.deepEqual(arrived, numbers);
      const answered = [];
      await Promise.all(numbers.map(async (n) => answered.push(await socket.emitWithAck("echo", n))));
      assert.deepEqual(answered, numbers);
    });

    it("comes back when the server closes the transport", async () => {
      const socket = await connect();
      const first = socket.id;
      socket.emit("close-me");
      const [reason] = await once(socket, "disconnect");
      assert.match(reason, /^transport (close|error)$/);
      assert.ok(socket.active);
      await once(socket, "connect");
      assert.notEqual(socket.id, first);
      assert.equal(await socket.emitWithAck("echo", "back"), "back");
    });

    it("does not come back when the server disconnects it", async () => {
      const socket = await connect();
      let attempts = 0;
      socket.io.on("reconnect_attempt", () => (attempts += 1));
      socket.emit("disconnect-me");
      const [reason] = await once(socket, "disconnect");
      assert.equal(reason, "io server disconnect");
      assert.equal(socket.active, false);
      // It may by hand, and only then.
      socket.connect();
      await once(socket, "connect");
      assert.equal(attempts, 0);
    });

    it("stays connected over pings", async () => {
      const socket = await connect();
      let lost = 0;
      socket.on("disconnect", () => (lost += 1));
      for (let ping = 0; ping < 3; ping += 1) await new Promise((resolve) => socket.io.once("ping", resolve));
      assert.equal(await socket.emitWithAck("echo", "alive"), "alive");
      assert.equal(lost, 0);
    });
  });
}

describe("during the upgrade", limits, () => {
  let manager;
  afterEach(() => manager._close());

  it("loses nothing and keeps the order", async () => {
    manager = new Manager(url, { transports: ways.upgrade });
    const socket = manager.socket("/");
    const echoed = [];
    socket.on("echo", (n) => echoed.push(n));
    let sent = 0;
    // What is sent before the client is connected waits for that; the upgrade begins at the same moment.
    for (let after = 0; after < 50; after += manager.engine.transport?.name === "websocket" ? 1 : 0) {
      for (let n = 0; n < 5; n += 1) socket.emit("echo", sent++);
      await pause(1);
    }
    await socket.emitWithAck("echo", "last");
    assert.deepEqual(echoed, Array.from({ length: sent }, (_, n) => n));
  });
});
