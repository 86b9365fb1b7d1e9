// Everything breaks at random, and in the end every message is there once, and every listener was given the log once and
// in order. A seed that fails is in the name of its test.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { memoryStorage, type Tertulia } from "../../src/index.js";
import { ModelServer, refusal } from "./model-server.js";

const MESSAGES = 40;
const ROOMS = ["r", "s"];

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

/** mulberry32. */
function randomOf(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let bits = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What a client was given of each room. */
function follow(client: Tertulia, given: Map<string, number[]>): void {
  for (const id of ROOMS) {
    const seqs = given.get(id) ?? [];
    given.set(id, seqs);
    client.room(id).on("event", ({ seq }) => seqs.push(seq));
    void client
      .room(id)
      .join({ seq: seqs.at(-1) ?? 0, epoch: "e1" })
      .catch(() => {});
  }
}

test.each(Array.from({ length: Number(process.env["SEEDS"] ?? 60) }, (_, seed) => seed))("seed %i", async (seed) => {
  const random = randomOf(seed);
  vi.spyOn(Math, "random").mockImplementation(random);
  const chance = (probability: number) => random() < probability;
  const server = new ModelServer();
  for (const id of ROOMS) server.room(id);

  const reader = server.client();
  await reader.login({ username: "ben", password: "" });
  const read = new Map<string, number[]>();
  follow(reader, read);

  const storage = memoryStorage();
  let writer = server.client({ storage });
  await writer.login({ username: "ana", password: "" });
  const wrote = new Map<string, number[]>();
  follow(writer, wrote);

  server.copies = () => (chance(0.1) ? 0 : chance(0.1) ? 2 : 1);
  const written = new Map<string, string[]>(ROOMS.map((id) => [id, []]));
  for (let n = 0; n < MESSAGES; n++) {
    const id = ROOMS[Math.floor(random() * ROOMS.length)]!;
    writer.room(id).send({ body: `${n}` });
    written.get(id)!.push(`${n}`);
    if (chance(0.3)) server.write(id, "of a third");
    if (chance(0.1)) server.faults.push({ event: "message:send", fault: chance(0.5) ? "lost" : "swallow" });
    if (chance(0.1)) server.faults.push({ event: "message:send", fault: refusal("unavailable") });
    if (chance(0.1))
      server.faults.push({ event: "room:events", fault: chance(0.5) ? "swallow" : refusal("unavailable") });
    if (chance(0.05)) server.faults.push({ event: "room:join", fault: chance(0.5) ? "lost" : refusal("unavailable") });
    if (chance(0.1)) server.resumeFault = chance(0.5) ? "swallow" : chance(0.5) ? refusal("unavailable") : undefined;
    if (chance(0.15)) for (const socket of server.sockets) if (chance(0.7)) socket.closed();
    if (chance(0.05)) server.tokens.clear();
    server.reachable = chance(0.9);
    server.latency = 1 + Math.floor(random() * 40);
    if (chance(0.05)) {
      // A reload: memory is gone, the storage and what the page showed of the rooms stay.
      await vi.advanceTimersByTimeAsync(1);
      writer.disconnect();
      for (const room of ROOMS) writer.room(room).close();
      writer = server.client({ storage });
      await writer.restore();
      follow(writer, wrote);
    }
    await vi.advanceTimersByTimeAsync(Math.floor(random() * 1_000));
  }

  // The storm is over; what was lost without a trace shows with the next event.
  server.copies = () => 1;
  server.reachable = true;
  server.faults.length = 0;
  server.resumeFault = undefined;
  await vi.advanceTimersByTimeAsync(120_000);
  for (const id of ROOMS) server.write(id, "the last one");
  await vi.advanceTimersByTimeAsync(60_000);

  for (const id of ROOMS) {
    const { events } = server.room(id);
    const mine = events.filter((event) => event.type === "message:new" && event.sender.id === "ana");
    expect(mine.map((event) => event.type === "message:new" && event.body)).toEqual(written.get(id));
    const all = events.map((event) => event.seq);
    expect(read.get(id)).toEqual(all);
    expect(wrote.get(id)).toEqual(all);
    expect(writer.room(id).status).toBe("following");
  }
  expect(writer.outgoing).toEqual([]);
  expect(await storage.entries("outbox/")).toEqual([]);
  reader.disconnect();
  writer.disconnect();
});
