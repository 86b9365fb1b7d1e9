// The package against the real server, over the official client.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import {
  memoryStorage,
  Tertulia,
  type OutgoingMessage,
  type Room,
  type RoomInfo,
  type TertuliaError,
  type TertuliaOptions,
} from "../../src/index.js";
import { RealServer } from "./real-server.js";

const SDK = fileURLToPath(new URL("../..", import.meta.url));
const PASSWORD = "correct horse";

let server: RealServer;
const opened: Tertulia[] = [];
let accounts = 0;

beforeAll(async () => {
  server = await RealServer.start();
}, 30_000);

afterAll(() => server.remove());

afterEach(() => {
  for (const client of opened.splice(0)) client.disconnect();
});

function open(options: TertuliaOptions = {}): Tertulia {
  const client = new Tertulia({ url: server.url, storage: memoryStorage(), ...options });
  opened.push(client);
  return client;
}

async function registered(options?: TertuliaOptions): Promise<Tertulia> {
  const client = open(options);
  await client.register({ username: `user-${++accounts}-${Date.now()}`, password: PASSWORD });
  return client;
}

async function until(holds: () => unknown, ms = 10_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function entered(client: Tertulia, { id }: RoomInfo): Promise<Room> {
  const room = client.room(id);
  await room.join();
  return room;
}

test("a conversation", async () => {
  const ana = await registered();
  const ben = open();
  await ben.guest({ displayName: "Ben" });
  const info = await ana.createRoom({ name: "a conversation", kind: "public" });
  const [hers, his] = await Promise.all([entered(ana, info), entered(ben, info)]);
  const seen: string[] = [];
  his.on("event", ({ type, seq }) => seen.push(`${type} ${seq}`));
  const typing: boolean[] = [];
  his.on("typing:changed", ({ on }) => typing.push(on));

  hers.typing();
  await until(() => typing.length === 1);
  const message = await hers.send({ body: "hello word", mentions: [ben.user!.id] }).delivered();
  const reply = await his.send({ body: "hello", replyTo: message.seq }).delivered();
  expect(reply.replyTo).toBe(message.seq);
  expect((await hers.edit(message.seq, "hello world")).editedAt).toBeDefined();
  await his.react(message.seq, "👋");
  await until(() => hers.seq === 4);
  const { messages, hasMore } = await hers.history({ limit: 1, before: reply.seq });
  expect(messages).toMatchObject([{ body: "hello world", reactions: [{ emoji: "👋", count: 1, mine: false }] }]);
  expect(hasMore).toBe(false);
  expect((await his.search("world")).messages).toHaveLength(1);
  expect((await his.presence()).count).toBe(2);
  await hers.delete(message.seq);
  await until(() => seen.length === 5);
  expect(seen).toEqual([
    "message:new 1",
    "message:new 2",
    "message:edited 3",
    "message:reacted 4",
    "message:deleted 5",
  ]);
  await until(() => typing.length === 2);

  expect(his.info?.unread).toBe(1);
  his.read(his.seq);
  await until(() => his.info?.unread === 0);
  expect((await ben.api.get("me/rooms")).rooms).toMatchObject([{ id: info.id, unread: 0, readSeq: 5 }]);
});

test("errors are those of the contract", async () => {
  const ana = await registered();
  const again = open();
  await expect(again.login({ username: ana.user!.username!, password: "wrong" })).rejects.toMatchObject({
    code: "unauthenticated",
    status: 401,
  });
  await expect(again.register({ username: "x", password: PASSWORD })).rejects.toMatchObject({
    code: "invalid",
    field: "username",
  });
  await expect(again.api.get("me")).rejects.toMatchObject({ code: "unauthenticated" });
  await expect(ana.room("absent").join()).rejects.toMatchObject({ code: "not_found" });
  await expect(ana.room("absent").history()).rejects.toMatchObject({ code: "not_found", retryable: false });
});

test("a private room that is left, one that is closed to somebody, and one that is found again", async () => {
  const [ana, ben] = await Promise.all([registered(), registered()]);
  const info = await ana.createRoom({ name: "private", kind: "private", members: [ben.user!.id] });
  const [hers, his] = await Promise.all([entered(ana, info), entered(ben, info)]);
  const lost: (TertuliaError | undefined)[] = [];
  his.on("lost", (error) => lost.push(error));
  await ana.api.delete("rooms/{roomId}/members/{userId}", { path: { roomId: info.id, userId: ben.user!.id } });
  await until(() => lost.length === 1);
  expect(his.status).toBe("lost");
  await expect(his.join()).rejects.toMatchObject({ code: "not_found" });
  await expect(his.send({ body: "let me in" }).delivered()).rejects.toMatchObject({ code: "not_found" });
  expect(his.pending).toMatchObject([{ state: "failed" }]);
  await ana.api.put("rooms/{roomId}/members/{userId}", { path: { roomId: info.id, userId: ben.user!.id }, body: {} });
  await his.join();
  his.retry(his.pending[0]!.clientId);
  await until(() => his.pending.length === 0);
  await his.leave();
  expect(his.status).toBe("lost");
  await until(() => hers.seq === 1);
});

test("a room that is deleted, with a connection and without", async () => {
  const [ana, ben, cleo] = await Promise.all([registered(), registered(), registered()]);
  const info = await ana.createRoom({ name: "deleted", kind: "public" });
  const [, his, hers] = await Promise.all([entered(ana, info), entered(ben, info), entered(cleo, info)]);
  cleo.disconnect();
  await ana.api.delete("rooms/{roomId}", { path: { roomId: info.id } });
  await until(() => his.status === "lost");
  const lost: (TertuliaError | undefined)[] = [];
  hers.on("lost", (error) => lost.push(error));
  cleo.connect();
  await until(() => lost.length === 1);
  expect(lost).toMatchObject([{ code: "not_found" }]);
});

test("notifications are heard over the same connection, which still ends with it", async () => {
  const [ana, bruno] = [await registered(), await registered()];
  await until(() => ana.notifications.unread === 0);
  const room = await ana.createRoom({ name: "kitchen", kind: "public" });
  await entered(ana, room);
  const brunos = await entered(bruno, room);
  const heard: string[] = [];
  ana.notifications.on("new", ({ body }) => heard.push(body));
  brunos.send({ body: `@${ana.user?.username} hello` });
  await until(() => heard.length > 0);
  expect(heard).toEqual([`@${ana.user?.username} hello`]);
  expect(ana.notifications.unread).toBe(1);

  const gone: string[] = [];
  brunos.on("presence:changed", ({ userId, online }) => !online && gone.push(userId));
  ana.disconnect();
  await until(() => gone.length > 0);
  ana.connect();
  await until(() => ana.notifications.unread === 1 && ana.connection.status === "connected");
  await ana.notifications.readAll();
  expect((await ana.notifications.list()).unread).toBe(0);
});

test("a session that another device revokes", async () => {
  const phone = await registered();
  const laptop = open();
  await laptop.login({ username: phone.user!.username!, password: PASSWORD });
  await until(() => phone.connection.status === "connected");
  const ended: string[] = [];
  phone.on("signed-out", (reason) => ended.push(reason));
  const { sessions } = await laptop.api.get("sessions");
  const other = sessions.find(({ current }) => !current)!;
  await laptop.api.delete("sessions/{sessionId}", { path: { sessionId: other.id } });
  await until(() => ended.length === 1);
  expect(ended).toEqual(["revoked"]);
  expect(phone.user).toBeUndefined();
});

test("what was missed beyond one replay is caught up with", async () => {
  const [ana, ben] = await Promise.all([registered(), registered()]);
  const info = await ana.createRoom({ name: "busy", kind: "public" });
  const [hers, his] = await Promise.all([entered(ana, info), entered(ben, info)]);
  const seen: number[] = [];
  his.on("event", ({ seq }) => seen.push(seq));
  ben.disconnect();
  for (let n = 0; n < 800; n++) hers.send({ body: `${n}` });
  await until(() => hers.pending.length === 0, 60_000);
  ben.connect();
  await until(() => his.status === "following" && his.seq === 800);
  expect(seen).toEqual(Array.from({ length: 800 }, (_, index) => index + 1));
}, 90_000);

test("killed and restarted again and again while two people write, nothing is lost and nothing is there twice", async () => {
  const storage = memoryStorage();
  let [ana, ben] = await Promise.all([registered({ storage }), registered()]);
  const info = await ana.createRoom({ name: "through a storm", kind: "public" });
  const [hers, his] = await Promise.all([entered(ana, info), entered(ben, info)]);
  const seen: string[] = [];
  const seqs: number[] = [];
  his.on("event", ({ seq }) => seqs.push(seq));
  his.on("message:new", ({ body }) => seen.push(body));

  let triedAgain = 0;
  const count = ({ state, attempts }: OutgoingMessage) => (triedAgain += state === "sending" && attempts > 1 ? 1 : 0);
  for (const client of [ana, ben]) client.on("outgoing", count);

  const written: string[] = [];
  let isOver = false;
  const writing = (async () => {
    for (let n = 0; !isOver; n++) {
      ana.room(info.id).send({ body: `ana ${n}` });
      his.send({ body: `ben ${n}` });
      written.push(`ana ${n}`, `ben ${n}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  for (let round = 0; round < 6; round++) {
    const before = seen.length;
    await until(() => seen.length > before + 40, 30_000);
    await server.end("SIGKILL");
    // What is written now waits.
    const waiting = ben.outgoing.length;
    await until(() => ben.outgoing.length > waiting + 5);
    if (round === 2) {
      // She reloads the page while there is no server.
      hers.close();
      ana.disconnect();
      ana = open({ storage });
      await ana.restore();
    }
    await server.start();
    for (const client of [ana, ben]) client.reconnect();
  }
  isOver = true;
  await writing;
  await until(() => ana.outgoing.length === 0 && ben.outgoing.length === 0, 60_000);
  await until(() => seen.length >= written.length, 30_000);

  const of = (who: string, bodies: string[]) => bodies.filter((body) => body.startsWith(who));
  for (const who of ["ana", "ben"]) expect(of(who, seen)).toEqual(of(who, written));
  expect(seqs).toEqual(Array.from({ length: written.length }, (_, index) => index + 1));
  const stored: string[] = [];
  for (let after = 0, hasMore = true; hasMore;) {
    const page = await his.history({ after, limit: 200 });
    stored.push(...page.messages.map(({ body }) => body));
    after = page.messages.at(-1)?.seq ?? after;
    hasMore = page.hasMore;
  }
  expect(stored).toEqual(seen);
  expect(await storage.entries("outbox/")).toEqual([]);
  // Else nothing was put to the test.
  expect(triedAgain).toBeGreaterThan(0);
}, 180_000);

test("a server that stops in order says when to come back", async () => {
  const ana = await registered();
  const room = await entered(ana, await ana.createRoom({ name: "drained", kind: "public" }));
  const states: boolean[] = [];
  ana.on("connection", ({ draining }) => states.push(draining ?? false));
  await server.end("SIGTERM");
  await server.start();
  expect(states).toContain(true);
  const sending = room.send({ body: "after" });
  ana.reconnect();
  expect((await sending.delivered()).seq).toBe(1);
}, 60_000);

test("the example of the README is the one that runs", async () => {
  const example = await readFile(`${SDK}/examples/chat.mjs`, "utf8");
  expect(await readFile(`${SDK}/README.md`, "utf8")).toContain("```js\n" + example + "```");

  const chat = (name: string) => {
    const child = spawn(process.execPath, ["examples/chat.mjs", name, server.url], { cwd: SDK });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (output += data.toString()));
    return { child, output: () => output };
  };
  const ana = chat("Ana");
  // Searches are limited.
  const pause = () => new Promise((done) => setTimeout(done, 150));
  // The first one makes the room.
  const guest = await registered();
  const lobby = async () => (await guest.api.get("rooms", { query: { query: "lobby" } })).rooms[0];
  const deadline = Date.now() + 10_000;
  while (!(await lobby())) {
    if (Date.now() > deadline) throw new Error(ana.output());
    await pause();
  }
  const ben = chat("Ben");
  await entered(guest, (await lobby())!);
  const members = async () => (await guest.room((await lobby())!.id).presence()).count;
  while ((await members()) < 3) {
    if (Date.now() > deadline) throw new Error(ana.output() + ben.output());
    await pause();
  }
  ana.child.stdin.write("hello\n");
  await until(() => ben.output() === "Ana: hello\n");
  ben.child.stdin.write("hello yourself\n");
  await until(() => ana.output() === "Ana: hello\nBen: hello yourself\n");
  for (const { child } of [ana, ben]) child.kill();
}, 30_000);
