// Tokens: renewed once and in time, shared between windows, and given up only when the server says so.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { memoryStorage, type SignedOutReason, type Storage, type Tertulia } from "../../src/index.js";
import { json, ModelServer, problem } from "./model-server.js";

let server: ModelServer;
let storage: Storage;
let client: Tertulia;
let ended: SignedOutReason[];
const opened: Tertulia[] = [];

const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const soon = () => later(50);
const MINUTE = 60_000;
const refreshes = () => server.requests.filter((request) => request === "POST auth/refresh").length;

function open(): Tertulia {
  const made = server.client({ storage });
  opened.push(made);
  return made;
}

beforeEach(async () => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  server = new ModelServer();
  storage = memoryStorage();
  client = open();
  ended = [];
  client.on("signed-out", (reason) => ended.push(reason));
  await client.login({ username: "ana", password: "" });
  await soon();
});

afterEach(() => {
  for (const one of opened.splice(0)) one.disconnect();
  vi.useRealTimers();
});

describe("renewal", () => {
  test("a token that is about to expire is renewed first, once for all who ask", async () => {
    await later(13 * MINUTE);
    await client.api.get("me");
    expect(refreshes()).toBe(0);
    await later(1.5 * MINUTE);
    await Promise.all([client.api.get("me"), client.api.get("me"), client.reloadUser()]);
    expect(refreshes()).toBe(1);
    expect(client.user?.displayName).toBe("ana!");
  });

  test("a token that lives for seconds is used for most of its life", async () => {
    server.expiresIn = 8;
    await client.login({ username: "ana", password: "" });
    await later(5_000);
    await client.api.get("me");
    expect(refreshes()).toBe(0);
    await later(2_000);
    await client.api.get("me");
    expect(refreshes()).toBe(1);
  });

  test("a token that is refused is renewed, and the request made again", async () => {
    server.tokens.clear();
    const [a, b] = await Promise.all([client.api.get("me"), client.api.get("me")]);
    expect([a.user.id, b.user.id]).toEqual(["ana", "ana"]);
    expect(refreshes()).toBe(1);
  });

  test("a request that is refused with a new token too is refused", async () => {
    server.http.set("GET me", () => problem("unauthenticated", 401, "no"));
    await expect(client.api.get("me")).rejects.toMatchObject({ code: "unauthenticated", status: 401 });
    expect(server.requests.filter((request) => request === "GET me")).toHaveLength(2);
    expect(client.user?.id).toBe("ana");
  });

  test("a refresh that is refused ends the session", async () => {
    server.tokens.clear();
    server.refreshTokens.clear();
    await expect(client.api.get("me")).rejects.toMatchObject({ code: "unauthenticated" });
    expect(ended).toEqual(["expired"]);
    expect(client.user).toBeUndefined();
    expect(client.connection.status).toBe("stopped");
    await soon();
    expect(await storage.entries("session")).toEqual([]);
  });

  test("a refresh that doesn't get through doesn't", async () => {
    await later(15 * MINUTE);
    server.http.set("POST auth/refresh", () => problem("unavailable", 503));
    await expect(client.api.get("me")).rejects.toMatchObject({ code: "unavailable", retryable: true });
    server.http.clear();
    expect((await client.api.get("me")).user.id).toBe("ana");
    expect(ended).toEqual([]);
  });

  test("another window's tokens are taken up before one's own are used a second time", async () => {
    const other = open();
    await other.restore();
    await later(15 * MINUTE);
    await client.api.get("me");
    await other.api.get("me");
    expect(refreshes()).toBe(1);
    await later(15 * MINUTE);
    await other.api.get("me");
    await client.api.get("me");
    expect(refreshes()).toBe(2);
    expect(ended).toEqual([]);
  });

  test("another user who signs in in another window is left alone", async () => {
    await open().login({ username: "ben", password: "" });
    await later(15 * MINUTE);
    expect((await client.api.get("me")).user.id).toBe("ana");
    expect((await open().restore())?.id).toBe("ben");
    server.sockets[0]!.deliver("session:revoked", {});
    await soon();
    expect(ended).toEqual(["revoked"]);
  });

  test("the end of one user's session leaves the other's in the storage", async () => {
    await open().login({ username: "ben", password: "" });
    server.sockets[0]!.deliver("session:revoked", {});
    await soon();
    expect((await open().restore())?.id).toBe("ben");
  });
});

describe("the connection", () => {
  test("comes back with a fresh token", async () => {
    await later(20 * MINUTE);
    server.tokens.delete("access-1");
    server.socket.closed();
    await later(2_000);
    expect(server.socket.handshakes.map(({ token }) => token)).toEqual(["access-1", "access-2"]);
    expect(client.connection.status).toBe("connected");
  });

  test("renews a token that it is refused with, once", async () => {
    server.tokens.clear();
    server.socket.closed();
    await later(2_000);
    expect(server.socket.handshakes.map(({ token }) => token)).toEqual(["access-1", "access-1", "access-2"]);
    expect(client.connection.status).toBe("connected");
  });

  test("keeps the session when a new token is refused too, and doesn't storm the server", async () => {
    let good = false;
    server.http.set("POST auth/refresh", () => {
      const issued = server.issue("ana");
      if (!good) server.tokens.clear();
      return json(200, issued);
    });
    server.tokens.clear();
    server.socket.closed();
    await later(2 * MINUTE);
    expect(client.connection).toMatchObject({ status: "waiting", error: { code: "unauthenticated" } });
    expect(server.socket.handshakes.length).toBeLessThan(15);
    good = true;
    await later(MINUTE);
    expect(client.connection.status).toBe("connected");
    expect(ended).toEqual([]);
  });

  test("keeps trying while its token can't be renewed", async () => {
    await later(20 * MINUTE);
    server.http.set("POST auth/refresh", () => problem("unavailable", 503, "down", 4_000));
    server.socket.closed();
    await later(5_000);
    expect(client.connection).toMatchObject({ status: "waiting", error: { code: "unavailable" } });
    server.http.clear();
    await later(30_000);
    expect(client.connection.status).toBe("connected");
  });

  test("a revoked session is over at once", async () => {
    server.socket.deliver("session:revoked", {});
    server.socket.closed("io server disconnect");
    expect(ended).toEqual(["revoked"]);
    await later(10 * MINUTE);
    expect(server.socket.handshakes).toHaveLength(1);
  });

  test("a disconnect by the server that ends the session is found out", async () => {
    server.tokens.clear();
    server.refreshTokens.clear();
    server.socket.closed("io server disconnect");
    await later(2_000);
    expect(ended).toEqual(["expired"]);
  });

  test("a disconnect by the server that doesn't is come back from", async () => {
    server.socket.closed("io server disconnect");
    await later(2_000);
    expect(ended).toEqual([]);
    expect(client.connection.status).toBe("connected");
  });
});

describe("signing in and out", () => {
  test("a wrong password is what the server says it is", async () => {
    client = open();
    server.http.set("POST auth/login", () => problem("unauthenticated", 401, "the password is wrong"));
    await expect(client.login({ username: "ana", password: "x" })).rejects.toMatchObject({
      code: "unauthenticated",
      message: "the password is wrong",
      retryable: false,
    });
    expect(refreshes()).toBe(0);
    expect(client.user).toBeUndefined();
  });

  test("a session is taken up after a reload, without a network", async () => {
    client.disconnect();
    server.reachable = false;
    const reloaded = open();
    expect((await reloaded.restore())?.id).toBe("ana");
    server.reachable = true;
    await later(5_000);
    expect(reloaded.connection.status).toBe("connected");
  });

  test("without one there is nobody", async () => {
    storage = memoryStorage();
    const reloaded = open();
    expect(await reloaded.restore()).toBeUndefined();
    reloaded.connect();
    expect(reloaded.connection.status).toBe("stopped");
    await expect(reloaded.request("presence:get", { roomId: "r" })).rejects.toMatchObject({ code: "network" });
  });

  test("logging out works without a network, and is remembered", async () => {
    server.reachable = false;
    await client.logout();
    expect(ended).toEqual(["logout"]);
    await soon();
    expect(await open().restore()).toBeUndefined();
  });

  test("signing in anew as the same user goes on where it was", async () => {
    server.room("r");
    const room = client.room("r");
    const joined = room.join();
    await soon();
    await joined;
    await client.login({ username: "ana", password: "" });
    await soon();
    expect(server.socket.handshakes.map(({ token }) => token)).toEqual(["access-1", "access-2"]);
    expect(room.status).toBe("following");
  });

  test("signing in as somebody else starts anew", async () => {
    server.room("r");
    const room = client.room("r");
    const joined = room.join();
    await soon();
    await joined;
    await client.login({ username: "ben", password: "" });
    await soon();
    expect(room.status).toBe("idle");
    expect(client.room("r")).not.toBe(room);
    expect(server.socket.handshakes.at(-1)).toEqual({ token: "access-2" });
  });
});

describe("HTTP errors", () => {
  test("say which field is wrong", async () => {
    server.http.set("POST rooms", () => problem("invalid", 400, "members[2]: is nobody"));
    await expect(client.createRoom({ kind: "private", name: "x" })).rejects.toMatchObject({ field: "members[2]" });
  });

  test("say when to try again", async () => {
    server.http.set("GET sessions", () => problem("rate_limited", 429, "slow down", 1_500));
    await expect(client.api.get("sessions")).rejects.toMatchObject({ retryable: true, retryAfterMs: 1_500 });
  });

  test("of something in between are understood by their status", async () => {
    const headers = { "retry-after": "7" };
    server.http.set("GET sessions", () => new Response("<h1>Bad Gateway</h1>", { status: 502, headers }));
    await expect(client.api.get("sessions")).rejects.toMatchObject({
      code: "unavailable",
      retryable: true,
      retryAfterMs: 7_000,
      status: 502,
    });
    server.http.set("GET sessions", () => new Response("", { status: 404 }));
    await expect(client.api.get("sessions")).rejects.toMatchObject({ code: "not_found", retryable: false });
    server.http.set("GET sessions", () => new Response("<h1>Sign in to the hotel</h1>"));
    await expect(client.api.get("sessions")).rejects.toMatchObject({ code: "network", retryable: true });
  });

  test("no network", async () => {
    server.reachable = false;
    await expect(client.api.get("me")).rejects.toMatchObject({ code: "network", retryable: true });
  });

  test("an aborted request rejects with its reason", async () => {
    const aborting = new AbortController();
    server.http.set("GET sessions", ({ signal }) => {
      return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason as Error)));
    });
    const request = client.api.get("sessions", { signal: aborting.signal });
    const rejected = expect(request).rejects.toThrow("enough");
    await soon();
    aborting.abort(new Error("enough"));
    await rejected;
  });

  test("paths and queries are escaped, and absent parameters left out", async () => {
    server.http.set("GET rooms/a%2Fb%3F/messages?limit=5", () => json(200, { messages: [], hasMore: false }));
    const path = { roomId: "a/b?" };
    const page = await client.api.get("rooms/{roomId}/messages", {
      path,
      query: { limit: 5, before: undefined } as never,
    });
    expect(page.hasMore).toBe(false);
  });
});
