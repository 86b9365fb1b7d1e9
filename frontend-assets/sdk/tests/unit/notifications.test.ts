// The count of notifications: the server's, on every device.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Notification, Tertulia } from "../../src/index.js";
import { json, ModelServer } from "./model-server.js";

let server: ModelServer;
let client: Tertulia;
let counts: (number | undefined)[];

const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const soon = () => later(1_000);
const news: Notification = { id: "n1", kind: "mention", title: "Ana", body: "hi", data: {}, createdAt: "" };

beforeEach(() => {
  vi.useFakeTimers();
  server = new ModelServer();
  client = server.client();
  counts = [];
  client.notifications.on("changed", (unread) => counts.push(unread));
});

afterEach(() => {
  client.disconnect();
  vi.useRealTimers();
});

const page = (unread: number) => json(200, { notifications: [], hasMore: false, unread });

async function signIn(): Promise<void> {
  await client.login({ username: "ana", password: "" });
  await soon();
}

test("the count is the server's, and rises by what is new", async () => {
  server.unread = 2;
  await signIn();
  expect(client.notifications.unread).toBe(2);
  const heard: string[] = [];
  client.notifications.on("new", ({ id }) => heard.push(id));
  server.socket.notify("notification:new", news);
  expect(client.notifications.unread).toBe(3);
  expect(heard).toEqual(["n1"]);
});

test("what was read and has changed is named", async () => {
  await signIn();
  const outdated: string[] = [];
  client.on("outdated", (key) => outdated.push(key));
  server.socket.notify("cache:invalidated", { key: "user:u1" });
  expect(outdated).toEqual(["user:u1"]);
});

test("what was read on another device is counted anew, once for several", async () => {
  server.unread = 5;
  await signIn();
  const before = server.requests.length;
  server.unread = 3;
  server.socket.notify("notification:read", { ids: ["n1"] });
  server.socket.notify("notification:read", { ids: ["n2"] });
  await soon();
  expect(client.notifications.unread).toBe(3);
  expect(server.requests.length).toBe(before + 1);
});

test("an answer to what was asked before something happened takes nothing back", async () => {
  server.unread = 2;
  await signIn();
  // Two pages on their way, the first of which is answered last, and with what was before.
  const answers: ((unread: number) => void)[] = [];
  server.http.set("GET notifications", () => new Promise((resolve) => answers.push((unread) => resolve(page(unread)))));
  const first = client.notifications.list();
  const second = client.notifications.list();
  await later(0);
  answers[1]?.(5);
  await second;
  answers[0]?.(2);
  await first;
  expect(client.notifications.unread).toBe(5);
  // So is one that was asked for before a new one came.
  const third = client.notifications.list();
  await later(0);
  server.socket.notify("notification:new", news);
  answers[2]?.(5);
  await third;
  expect(client.notifications.unread).toBe(6);
  // What is true is asked for then.
  server.unread = 7;
  await soon();
  expect(client.notifications.unread).toBe(7);
});

test("a new connection counts what came meanwhile", async () => {
  await signIn();
  expect(client.notifications.unread).toBe(0);
  server.socket.closed();
  server.unread = 4;
  await later(10_000);
  expect(client.notifications.unread).toBe(4);
});

test("where there are no notifications there is no count, and all else goes on", async () => {
  server.hasNotifications = false;
  await signIn();
  expect(client.notifications.unread).toBeUndefined();
  expect(client.connection.status).toBe("connected");
  expect(counts).toEqual([]);
});

test("the next user's count begins anew", async () => {
  server.unread = 7;
  await signIn();
  await client.logout();
  expect(client.notifications.unread).toBeUndefined();
  expect(counts).toEqual([7, undefined]);
});

test("all are read at once", async () => {
  server.unread = 7;
  server.http.set("POST notifications/read-all", () => new Response(null, { status: 204 }));
  await signIn();
  await client.notifications.readAll();
  expect(client.notifications.unread).toBe(0);
});

test("a page that is listed counts, too", async () => {
  await signIn();
  server.http.set("GET notifications?limit=10", () => json(200, { notifications: [news], unread: 1, hasMore: false }));
  expect((await client.notifications.list({ limit: 10 })).notifications).toEqual([news]);
  expect(client.notifications.unread).toBe(1);
});
