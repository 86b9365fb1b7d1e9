// Other namespaces: there while somebody follows them, whatever becomes of the connection.

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Namespace, type NamespaceStatus } from "../../src/admin.js";
import type { Tertulia } from "../../src/index.js";
import { ModelServer } from "./model-server.js";

interface Events {
  told: { n: number };
}

let server: ModelServer;
let client: Tertulia;
let admin: Namespace<Events>;
let statuses: NamespaceStatus[];

const soon = () => vi.advanceTimersByTimeAsync(1_000);

beforeEach(async () => {
  vi.useFakeTimers();
  server = new ModelServer();
  client = server.client();
  admin = new Namespace(client, "/admin");
  statuses = [];
  admin.onStatus((status) => statuses.push(status));
  await client.login({ username: "ana", password: "" });
  await soon();
});

afterEach(() => {
  client.disconnect();
  vi.useRealTimers();
});

test("it is connected while somebody follows it, and left with the last one", () => {
  const { others } = server.socket;
  expect(others.connects).toBe(0);
  const [one, other] = [admin.follow(), admin.follow()];
  expect(others.connects).toBe(1);
  others.tell("connect");
  const heard: number[] = [];
  admin.on("told", ({ n }) => heard.push(n));
  others.tell("any", "told", { n: 7 });
  expect(heard).toEqual([7]);
  one();
  one();
  expect(others.disconnects).toBe(0);
  other();
  expect(others.disconnects).toBe(1);
  expect(statuses).toEqual(["waiting", "connected", "idle"]);
});

test("it comes back with the connection", async () => {
  const { others } = server.socket;
  admin.follow();
  others.tell("connect");
  server.socket.closed();
  others.tell("disconnect", "transport close");
  expect(admin.status).toBe("waiting");
  await vi.advanceTimersByTimeAsync(5_000);
  expect(others.connects).toBe(2);
  others.tell("connect");
  expect(admin.status).toBe("connected");
});

test("a refusal says why, and what the server ended is over", () => {
  const { others } = server.socket;
  admin.follow();
  others.tell("connect_error", Object.assign(new Error("no"), { data: { code: "forbidden", message: "for administrators" } }));
  expect(admin.status).toBe("refused");
  expect(admin.error?.code).toBe("forbidden");
  admin.follow();
  others.tell("connect");
  others.tell("disconnect", "io server disconnect");
  expect(admin.status).toBe("refused");
});
