// What the official Redis emitter reaches: clients of two servers that take its events, over the emitter's own package.
//
// REDIS_URL   one Redis, or nodes of a Cluster with commas between
// EMITTER_KEY the key that both servers listen to
// PEOPLE      JSON: two people, each with the url of a server, token, user id, and two rooms there that nobody is in

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Emitter } from "@socket.io/redis-emitter";
import { encode } from "notepack.io";
import { createClient, createCluster } from "redis";
import { io } from "socket.io-client";

const nodes = process.env.REDIS_URL.replace("redis://", "").split(",").map((host) => `redis://${host}`);
const key = process.env.EMITTER_KEY;
const people = JSON.parse(process.env.PEOPLE);
const limits = { timeout: 60_000 };

describe("the official emitter", limits, () => {
  let redis;
  let emitter;
  // Two sockets a person, in the order of `people`; the first of each is in both rooms, the second in the first room.
  const sockets = [];
  const heard = new Map();
  let disconnects = 0;

  function connect({ url, token }) {
    const socket = io(url, { auth: { token }, forceNew: true, transports: ["websocket"] });
    heard.set(socket, []);
    socket.on("disconnect", () => (disconnects += 1));
    socket.onAny((name, ...data) => heard.get(socket).push([name, ...data]));
    sockets.push(socket);
    return once(socket, "connect");
  }

  // What every socket has heard since the last call, but for who is online. One connection publishes it all, so that
  // behind the end nothing is on its way any more.
  let ends = 0;
  async function told() {
    const end = `end ${(ends += 1)}`;
    emitter.emit(end);
    const events = [];
    for (const socket of sockets) {
      const list = heard.get(socket);
      while (!list.some(([name]) => name === end)) await pause(2);
      const until = list.findIndex(([name]) => name === end);
      const before = list.splice(0, until + 1).slice(0, -1);
      events.push(before.filter(([name]) => !name.startsWith("presence:") && name !== "are you there"));
    }
    return events;
  }

  before(async () => {
    redis = createClient({ url: nodes[0] });
    await redis.connect();
    emitter = new Emitter(redis, { key });
    for (const person of people) {
      await connect(person);
      await connect(person);
      const [first, second] = sockets.slice(-2);
      const join = async (socket, roomId) => assert.ok((await socket.emitWithAck("room:join", { roomId })).ok);
      await join(first, person.rooms[0]);
      await join(first, person.rooms[1]);
      await join(second, person.rooms[0]);
    }
    // The servers subscribe in the background.
    for (const socket of sockets) {
      while (!heard.get(socket).some(([name]) => name === "are you there")) {
        emitter.emit("are you there");
        await pause(10);
      }
    }
    await told();
  });

  after(async () => {
    for (const socket of sockets) socket.close();
    await redis.close();
  });

  it("reaches everybody on every server", async () => {
    emitter.emit("my news", { a: [1, "é", null, true, 1.5] }, "second");
    const news = ["my news", { a: [1, "é", null, true, 1.5] }, "second"];
    assert.deepEqual(await told(), [[news], [news], [news], [news]]);
  });

  it("reaches a room, by its id or its topic", async () => {
    emitter.to(people[0].rooms[1]).emit("my room", 1);
    emitter.in(`room:${people[1].rooms[1]}`).emit("my room", 2);
    assert.deepEqual(await told(), [[["my room", 1]], [], [["my room", 2]], []]);
  });

  it("reaches a user", async () => {
    emitter.to(`user:${people[1].id}`).emit("my own");
    assert.deepEqual(await told(), [[], [], [["my own"]], [["my own"]]]);
  });

  it("reaches who is in several rooms once, on several servers", async () => {
    emitter.to(people[0].rooms).to(people[1].rooms).emit("my rooms");
    const rooms = ["my rooms"];
    assert.deepEqual(await told(), [[rooms], [rooms], [rooms], [rooms]]);
  });

  it("leaves out who is in other rooms", async () => {
    emitter.except(people[0].rooms[1]).emit("my rest");
    emitter.to(people[0].rooms[0]).except([people[0].rooms[1], "nobody"]).emit("my other");
    const rest = ["my rest"];
    assert.deepEqual(await told(), [[], [rest, ["my other"]], [rest], [rest]]);
  });

  it("takes the flags", async () => {
    emitter.volatile.to(people[0].rooms[1]).emit("my flag", 1);
    emitter.compress(false).to(people[0].rooms[1]).emit("my flag", 2);
    assert.deepEqual((await told())[0], [["my flag", 1], ["my flag", 2]]);
  });

  it("carries binary data, moments and what is undefined", async () => {
    const born = new Date("1969-07-20T20:17:40.250Z");
    const data = { image: Buffer.from([0, 1, 255]), born, none: undefined, list: [undefined, new Uint8Array([7])] };
    emitter.to(people[0].rooms[1]).emit("my data", data, Buffer.from("second"));
    const [[[name, first, second]]] = await told();
    assert.equal(name, "my data");
    assert.deepEqual(first, {
      image: Buffer.from([0, 1, 255]),
      born: "1969-07-20T20:17:40.250Z",
      list: [null, Buffer.from([7])],
    });
    assert.deepEqual(second, Buffer.from("second"));
  });

  it("can't forge what the server tells, nor reach what is the server's own", async () => {
    const names = ["message:new", "Message:New", "room:updated", "session:revoked", "resync", "message:new\u200b"];
    const publish = (name) => redis.publish(`${key}#/#`, encode(["emitter", { type: 2, data: [name, 1], nsp: "/" }, {}]));
    for (const name of names) emitter.emit(name, { roomId: people[0].rooms[0] });
    // The emitter itself refuses these.
    for (const name of ["disconnect", "connect", "connect_error"]) await publish(name);
    for (const type of [0, 1, 3, 4, 5, 6]) {
      await redis.publish(`${key}#/#`, encode(["emitter", { type, data: ["my type"], nsp: "/" }, {}]));
    }
    for (const room of ["admin:live", "session:s", "everybody"]) emitter.to(room).emit("my admin");
    emitter.emit("my large", "x".repeat(70_000));
    assert.deepEqual(await told(), [[], [], [], []]);
    assert.equal(disconnects, 0);
  });

  it("can't change who is where, nor end connections", async () => {
    emitter.socketsJoin(people[1].rooms[1]);
    emitter.in(people[0].rooms).socketsLeave(people[0].rooms);
    emitter.disconnectSockets(true);
    emitter.serverSideEmit("my request");
    emitter.to([people[0].rooms[1], people[1].rooms[1]]).emit("my rooms");
    assert.deepEqual(await told(), [[["my rooms"]], [], [["my rooms"]], []]);
    assert.equal(disconnects, 0);
  });

  it("harms nobody with nonsense", async () => {
    const channel = `${key}#/#`;
    for (const nonsense of ["", "nonsense", Buffer.from([0xdd, 255, 255, 255, 255]), Buffer.alloc(300_000, 0x91)]) {
      await redis.publish(channel, nonsense);
    }
    await redis.publish(`${key}-request#/#`, "{");
    const forged = { _placeholder: true, num: 9 };
    await redis.publish(channel, encode(["emitter", { type: 2, data: ["my forged", forged, Buffer.from([1])], nsp: "/" }, {}]));
    emitter.emit("my news");
    assert.deepEqual(await told(), [[["my news"]], [["my news"]], [["my news"]], [["my news"]]]);
  });

  it("is heard only by its key, its namespace, and not for another server", async () => {
    new Emitter(redis, { key: `${key}-other` }).emit("my other key");
    emitter.of("/orders").emit("my other namespace");
    await redis.publish(`${key}#/#`, encode(["V1StGX", { type: 2, data: ["my adapter"], nsp: "/" }, { rooms: [], except: [] }]));
    assert.deepEqual(await told(), [[], [], [], []]);
  });

  it("may publish through a Cluster's client", { skip: nodes.length === 1 }, async () => {
    const cluster = createCluster({ rootNodes: nodes.map((url) => ({ url })) });
    await cluster.connect();
    const over = new Emitter(cluster, { key });
    over.to(people[0].rooms[1]).emit("my cluster");
    while (!heard.get(sockets[0]).some(([name]) => name === "my cluster")) await pause(2);
    await cluster.close();
  });
});
