// What becomes of a message on its way, with each thing that it depends on broken.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { memoryStorage, type OutgoingMessage, type Room, type Storage, type Tertulia } from "../../src/index.js";
import { ModelServer, refusal } from "./model-server.js";

let server: ModelServer;
let storage: Storage;
let client: Tertulia;
let room: Room;
const opened: Tertulia[] = [];

const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const soon = () => later(50);
const stored = () => server.room("r").events.map((event) => event.type === "message:new" && event.body);
const pending = () => room.pending.map(({ body, state }) => `${body} ${state}`);
const kept = async () => (await storage.entries("outbox/")).length;

async function open(): Promise<void> {
  client = server.client({ storage });
  opened.push(client);
  room = client.room("r");
}

async function signIn(username = "ana"): Promise<void> {
  await client.login({ username, password: "" });
  room = client.room("r");
  await soon();
}

/** As a reload does: what was in memory is gone. */
async function reload(): Promise<void> {
  client.disconnect();
  await open();
  await client.restore();
  room = client.room("r");
}

beforeEach(async () => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  server = new ModelServer();
  server.room("r");
  storage = memoryStorage();
  await open();
  await signIn();
  const joined = room.join();
  await soon();
  await joined;
});

afterEach(() => {
  for (const one of opened.splice(0)) one.disconnect();
  vi.useRealTimers();
});

describe("sending", () => {
  test("a message goes from queued to sent, and leaves when it was delivered", async () => {
    const states: string[] = [];
    let pendingWhenNew: readonly OutgoingMessage[] = [];
    client.on("outgoing", ({ state }) => states.push(state));
    room.on("message:new", () => (pendingWhenNew = room.pending));
    const sending = room.send({ body: "hello", replyTo: 3, mentions: ["ben"] });
    expect(sending.current.state).toBe("sending");
    expect(pending()).toEqual(["hello sending"]);
    await soon();
    const message = await sending.delivered();
    expect(message).toMatchObject({ body: "hello", seq: 1, clientId: sending.clientId });
    expect(server.payloadsOf("message:send")[0]).toMatchObject({ replyTo: 3, mentions: ["ben"] });
    expect(states).toEqual(["queued", "sending", "sent", "sent"]);
    expect(pendingWhenNew).toMatchObject([{ state: "sent", message: { seq: 1 } }]);
    expect(room.pending).toEqual([]);
    expect(await kept()).toBe(0);
  });

  test("a sent message stays in the list until its event comes", async () => {
    server.copies = () => 0;
    room.send({ body: "one" });
    await soon();
    expect(pending()).toEqual(["one sent"]);
    server.copies = () => 1;
    server.write("r", "two");
    await soon();
    expect(pending()).toEqual([]);
  });

  test("messages of a room go one after the other, those of others beside them", async () => {
    server.room("s");
    room.send({ body: "1" });
    room.send({ body: "2" });
    client.room("s").send({ body: "3" });
    expect(server.payloadsOf("message:send").map(({ body }) => body)).toEqual(["1", "3"]);
    await soon();
    expect(stored()).toEqual(["1", "2"]);
    expect(client.outgoing).toEqual([]);
  });

  test("the list is the same until something changes", async () => {
    const empty = room.pending;
    expect(room.pending).toBe(empty);
    room.send({ body: "1" });
    const one = room.pending;
    expect(one).not.toBe(empty);
    expect(room.pending).toBe(one);
    expect(client.outgoing).toBe(client.outgoing);
  });

  test("what is written before the room is entered waits for that", async () => {
    server.room("s");
    const other = client.room("s");
    server.faults.push({ event: "room:join", fault: refusal("unavailable", "later", 2_000) });
    const joined = other.join();
    other.send({ body: "first" });
    await later(1_900);
    expect(server.countOf("message:send")).toBe(0);
    await later(200);
    await joined;
    expect(other.pending).toEqual([]);
    expect(server.room("s").events).toHaveLength(1);
  });
});

describe("faults", () => {
  test("a lost ack is no second message", async () => {
    server.copies = () => 0;
    server.faults.push({ event: "message:send", fault: "lost" });
    const sending = room.send({ body: "once" });
    await later(20_000);
    expect(await sending.delivered()).toMatchObject({ seq: 1 });
    const tries = server.payloadsOf("message:send");
    expect(tries).toHaveLength(2);
    expect(tries[0]!["clientId"]).toBe(tries[1]!["clientId"]);
    expect(stored()).toEqual(["once"]);
  });

  test("one's own event is as good as the ack", async () => {
    server.faults.push({ event: "message:send", fault: "lost" });
    const sending = room.send({ body: "once" });
    await soon();
    expect(await sending.delivered()).toMatchObject({ seq: 1 });
    expect(room.pending).toEqual([]);
    await later(60_000);
    expect(server.countOf("message:send")).toBe(1);
  });

  test("a connection lost before the ack", async () => {
    server.faults.push({ event: "message:send", fault: "swallow" });
    room.send({ body: "1" });
    room.send({ body: "2" });
    await soon();
    server.socket.closed();
    expect(pending()).toEqual(["1 queued", "2 queued"]);
    await later(2_000);
    expect(stored()).toEqual(["1", "2"]);
    expect(room.pending).toEqual([]);
  });

  test("a refusal for now keeps the order, and is tried again when it may be", async () => {
    server.faults.push({ event: "message:send", fault: refusal("rate_limited", "slow down", 7_000) });
    room.send({ body: "1" });
    room.send({ body: "2" });
    await soon();
    expect(room.pending[0]).toMatchObject({ state: "queued", attempts: 1, error: { code: "rate_limited" } });
    await later(6_900);
    expect(server.countOf("message:send")).toBe(1);
    await later(200);
    expect(stored()).toEqual(["1", "2"]);
  });

  test("tries come at growing intervals", async () => {
    for (let n = 0; n < 5; n++) server.faults.push({ event: "message:send", fault: refusal("unavailable") });
    const at: number[] = [];
    client.on("outgoing", ({ state }) => state === "sending" && at.push(Date.now()));
    room.send({ body: "1" });
    await later(120_000);
    expect(stored()).toEqual(["1"]);
    const waits = at.slice(1).map((time, index) => time - at[index]!);
    waits.forEach((wait, failures) => {
      expect(wait).toBeGreaterThanOrEqual(250 * 2 ** failures);
      expect(wait).toBeLessThanOrEqual(1_000 * 2 ** failures + 10);
    });
  });

  test("a message refused for good lets the others pass; it can be retried, as the last", async () => {
    server.faults.push({ event: "message:send", fault: refusal("forbidden", "a block") });
    const first = room.send({ body: "1" });
    first.delivered().catch(() => {});
    const refused = expect(first.delivered()).rejects.toMatchObject({ code: "forbidden" });
    room.send({ body: "2" });
    await soon();
    await refused;
    expect(pending()).toEqual(["1 failed"]);
    expect(stored()).toEqual(["2"]);
    expect(await kept()).toBe(1);
    const { clientId } = first;
    first.retry();
    room.send({ body: "3" });
    await soon();
    expect(stored()).toEqual(["2", "1", "3"]);
    expect(server.payloadsOf("message:send").filter((sent) => sent["clientId"] === clientId)).toHaveLength(2);
  });

  test("a refused message can be discarded", async () => {
    server.faults.push({ event: "message:send", fault: refusal("invalid", "replyTo: isn't a message") });
    const sending = room.send({ body: "1", replyTo: 99 });
    await soon();
    expect(sending.current.error?.field).toBe("replyTo");
    sending.discard();
    expect(room.pending).toEqual([]);
    await expect(sending.delivered()).rejects.toMatchObject({ code: "discarded" });
    await soon();
    expect(await kept()).toBe(0);
  });

  test("a message that waits can be discarded, and those after it go", async () => {
    server.faults.push({ event: "message:send", fault: refusal("unavailable", "later", 60_000) });
    const first = room.send({ body: "1" });
    room.send({ body: "2" });
    await soon();
    first.discard();
    await soon();
    expect(stored()).toEqual(["2"]);
  });

  test("a message that waits can be hurried", async () => {
    server.faults.push({ event: "message:send", fault: refusal("unavailable", "later", 60_000) });
    const first = room.send({ body: "1" });
    await soon();
    room.retry(first.clientId);
    await soon();
    expect(stored()).toEqual(["1"]);
    await later(120_000);
    expect(server.countOf("message:send")).toBe(1 + 1);
  });

  test("what no server would take isn't tried", () => {
    const invalid = expect.objectContaining({ code: "invalid", field: "body" });
    expect(() => room.send({ body: "" })).toThrow(invalid);
    expect(() => room.send({ body: "x".repeat(16_001) })).toThrow(invalid);
    expect(() => room.send({ body: "x", mentions: Array(51).fill("u") })).toThrow(/^mentions: /);
    expect(room.pending).toEqual([]);
    room.send({ body: "😀".repeat(16_000) });
    expect(room.pending).toHaveLength(1);
  });

  test("the outbox is bounded", async () => {
    client.disconnect();
    for (let n = 0; n < 1_000; n++) room.send({ body: `${n}` });
    expect(() => room.send({ body: "too many" })).toThrow(expect.objectContaining({ code: "outbox_full" }));
  });
});

describe("over a reload", () => {
  test("what waited is sent in the order written, before what is new", async () => {
    client.disconnect();
    for (let n = 1; n <= 12; n++) room.send({ body: `${n}` });
    await soon();
    await reload();
    room.send({ body: "13" });
    await later(1_000);
    expect(stored()).toEqual(Array.from({ length: 13 }, (_, index) => `${index + 1}`));
    expect(await kept()).toBe(0);
  });

  test("a slow storage doesn't change the order", async () => {
    client.disconnect();
    room.send({ body: "1" });
    await soon();
    const quick = storage;
    storage = {
      ...quick,
      async entries(prefix) {
        if (prefix.startsWith("outbox/")) await new Promise((resolve) => setTimeout(resolve, 2_000));
        return quick.entries(prefix);
      },
    };
    await reload();
    room.send({ body: "2" });
    await later(1_900);
    expect(stored()).toEqual([]);
    await later(200);
    expect(stored()).toEqual(["1", "2"]);
  });

  test("what was sent without an ack isn't sent twice", async () => {
    server.copies = () => 0;
    server.faults.push({ event: "message:send", fault: "lost" });
    room.send({ body: "once" });
    await soon();
    await reload();
    await soon();
    expect(server.countOf("message:send")).toBe(2);
    expect(stored()).toEqual(["once"]);
    expect(await kept()).toBe(0);
  });

  test("what was refused for good is still there, and still refused", async () => {
    server.faults.push({ event: "message:send", fault: refusal("forbidden", "a block") });
    const { clientId } = room.send({ body: "1" });
    await soon();
    await reload();
    await soon();
    expect(room.pending).toMatchObject([
      { clientId, state: "failed", error: { code: "forbidden", message: "a block" } },
    ]);
    expect(server.countOf("message:send")).toBe(1);
    room.retry(clientId);
    await soon();
    expect(stored()).toEqual(["1"]);
  });

  test("what was retried is still behind what was written before that", async () => {
    server.faults.push({ event: "message:send", fault: refusal("forbidden", "a block") });
    server.faults.push({ event: "message:send", fault: refusal("unavailable", "later", 60_000) });
    const first = room.send({ body: "1" });
    room.send({ body: "2" });
    await soon();
    first.retry();
    expect(pending()).toEqual(["2 queued", "1 queued"]);
    await soon();
    await reload();
    await soon();
    expect(stored()).toEqual(["2", "1"]);
  });

  test("a clock that goes back doesn't change the order", async () => {
    client.disconnect();
    room.send({ body: "1" });
    await soon();
    vi.setSystemTime(Date.now() - 3_600_000);
    await reload();
    client.disconnect();
    room.send({ body: "2" });
    await soon();
    await reload();
    await soon();
    expect(stored()).toEqual(["1", "2"]);
  });

  test("messages are for their own user", async () => {
    client.disconnect();
    room.send({ body: "of ana" });
    await soon();
    await open();
    await signIn("ben");
    await soon();
    expect(client.outgoing).toEqual([]);
    expect(stored()).toEqual([]);
    await signIn("ana");
    await soon();
    expect(stored()).toEqual(["of ana"]);
  });

  test("logging out forgets them, the end of a session doesn't", async () => {
    client.disconnect();
    const sending = room.send({ body: "1" });
    const delivered = expect(sending.delivered()).rejects.toMatchObject({ code: "signed_out" });
    client.connect();
    server.refreshTokens.clear();
    server.tokens.clear();
    await soon();
    await delivered;
    expect(client.user).toBeUndefined();
    expect(await kept()).toBe(1);
    expect(() => room.send({ body: "2" })).toThrow(expect.objectContaining({ code: "signed_out" }));
    server.faults.push({ event: "message:send", fault: refusal("unavailable", "later", 60_000) });
    await signIn();
    expect(pending()).toEqual(["1 queued"]);
    await client.logout();
    expect(await kept()).toBe(0);
  });
});

describe("a storage that fails", () => {
  const broken = (method: keyof Storage): Storage => {
    const full = () => Promise.reject(new DOMException("full", "QuotaExceededError"));
    return { ...memoryStorage(), [method]: full };
  };

  test.each(["entries", "set", "delete"] as const)(
    "%s: messages are sent all the same, and it is told",
    async (method) => {
      client.disconnect();
      storage = broken(method);
      await open();
      const errors: Error[] = [];
      client.on("storage-error", (error) => errors.push(error));
      await signIn();
      room.send({ body: "1" });
      room.send({ body: "2" });
      await soon();
      expect(stored()).toEqual(["1", "2"]);
      expect(errors.length).toBeGreaterThan(0);
      expect(errors[0]).toMatchObject({ name: "QuotaExceededError" });
    },
  );
});
