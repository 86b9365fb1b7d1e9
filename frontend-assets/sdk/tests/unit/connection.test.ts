// The connection: how it comes back, and what becomes of what is asked meanwhile.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { memoryStorage, type ConnectionState, type Tertulia } from "../../src/index.js";
import { ModelServer } from "./model-server.js";

let server: ModelServer;
let client: Tertulia;
let states: ConnectionState[];

const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const soon = () => later(50);
const statuses = () => states.map(({ status }) => status);

beforeEach(async () => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  server = new ModelServer();
  server.room("r");
  client = server.client();
  states = [];
  client.on("connection", (state) => states.push(state));
  await client.login({ username: "ana", password: "" });
  await soon();
});

afterEach(() => {
  client.disconnect();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("a transport that hangs", () => {
  const ways = () => server.socket.ways;
  const anew = async (storage = memoryStorage()) => {
    client.disconnect();
    client = server.client({ storage });
    await client.login({ username: "ana", password: "" });
  };

  test("is left for another one within seconds, and isn't begun with again", async () => {
    server.swallows.add("websocket");
    await anew();
    await later(6_000);
    expect(client.connection.status).toBe("connected");
    expect(ways()).toEqual(["websocket,polling", "polling,websocket upgrade"]);
    await later(60_000);
    server.socket.closed();
    await later(1_500);
    expect(client.connection.status).toBe("connected");
    expect(ways()[2]).toBe("polling,websocket upgrade");
  });

  test("is left also when it had worked before", async () => {
    await later(60_000);
    server.swallows.add("websocket");
    server.socket.closed();
    await later(12_500);
    expect(client.connection.status).toBe("connected");
    expect(server.socket.transport).toBe("polling");
  });

  test("is known to the next page", async () => {
    const storage = memoryStorage();
    server.swallows.add("websocket");
    await anew(storage);
    await later(6_000);
    await anew(storage);
    await soon();
    expect(client.connection.status).toBe("connected");
    expect(ways()).toEqual(["polling,websocket upgrade"]);
  });

  test("is begun with again once it was found to work, but not for ever", async () => {
    const storage = memoryStorage();
    server.swallows.add("websocket");
    await anew(storage);
    await later(60_000);
    server.swallows.clear();
    server.socket.closed();
    await later(10_000);
    expect(server.socket.transport).toBe("websocket");
    expect(await storage.entries("transports")).toEqual([]);
    server.socket.closed();
    await later(2_000);
    expect(ways()[3]).toBe("websocket,polling");
    // Only what a page begins with hangs, as at some proxies.
    server.swallows.add("websocket");
    server.socket.closed();
    await later(12_500);
    server.swallows.clear();
    await later(60_000);
    server.socket.closed();
    await later(10_000);
    server.socket.closed();
    await later(2_000);
    expect(ways().at(-1)).toBe("polling,websocket upgrade");
  });

  test("isn't changed to for a while where it took over and then fell silent", async () => {
    server.swallows.add("websocket");
    await anew();
    await later(60_000);
    server.socket.isSilent = true;
    server.socket.closed("ping timeout");
    await later(2_000);
    expect(ways().at(-1)).toBe("polling");
    await later(11 * 60_000);
    server.socket.closed();
    await later(2_000);
    expect(ways().at(-1)).toBe("polling,websocket upgrade");
  });

  test("polling that hangs gives way to WebSocket", async () => {
    const storage = memoryStorage();
    await storage.set("transports", "upgrade");
    server.swallows.add("polling");
    await anew(storage);
    await later(25_000);
    expect(client.connection.status).toBe("connected");
    expect(server.socket.transport).toBe("websocket");
  });
});

describe("coming back", () => {
  test("its states", async () => {
    expect(statuses()).toEqual(["connecting", "connected"]);
    server.socket.closed();
    expect(client.connection).toMatchObject({ status: "waiting", error: { code: "network" } });
    await later(2_000);
    expect(statuses()).toEqual(["connecting", "connected", "waiting", "connecting", "connected"]);
    expect(client.connection).toEqual({ status: "connected" });
  });

  test("waits grow to half a minute, with jitter, and begin anew after a good connection", async () => {
    vi.mocked(Math.random).mockRestore();
    await later(6_000);
    server.reachable = false;
    states.length = 0;
    server.socket.closed();
    await later(10 * 60_000);
    const waits = states.filter(({ status }) => status === "waiting");
    expect(waits.length).toBeGreaterThan(15);
    expect(waits.length).toBeLessThan(100);
    server.reachable = true;
    await later(40_000);
    expect(client.connection.status).toBe("connected");
    await later(6_000);
    const now = Date.now();
    server.socket.closed();
    expect(client.connection.retryAt! - now).toBeLessThanOrEqual(1_000);
  });

  test("clients that one fault hit don't come back in one moment", async () => {
    vi.mocked(Math.random).mockRestore();
    const many = Array.from({ length: 50 }, () => server.client());
    await Promise.all(many.map((one, n) => one.login({ username: `u${n}`, password: "" })));
    await soon();
    for (const socket of server.sockets) socket.closed();
    const at = many.map((one) => one.connection.retryAt!);
    expect(new Set(at).size).toBeGreaterThan(30);
    expect(Math.max(...at) - Math.min(...at)).toBeGreaterThan(400);
    for (const one of many) one.disconnect();
  });

  test("a server that accepts and drops isn't stormed", async () => {
    await later(6_000);
    for (let n = 0; n < 6; n++) {
      server.socket.closed();
      await later(client.connection.retryAt! - Date.now() + 5);
      expect(client.connection.status).toBe("connected");
    }
    const now = Date.now();
    server.socket.closed();
    expect(client.connection.retryAt! - now).toBeGreaterThan(5_000);
  });

  test("a draining server is come back to when it said, not before", async () => {
    server.socket.deliver("server:draining", { reconnectAfterMs: 4_321 });
    expect(client.connection).toMatchObject({ status: "connected", draining: true });
    await later(1_000);
    server.socket.closed();
    expect(client.connection).toMatchObject({ status: "waiting", draining: true });
    await later(3_300);
    expect(client.connection.status).toBe("waiting");
    await later(100);
    expect(client.connection).toEqual({ status: "connected" });
  });

  test("a handshake that is never answered is given up", async () => {
    server.swallows.add("websocket").add("polling");
    server.socket.closed();
    await later(1_100);
    expect(client.connection.status).toBe("connecting");
    await later(24_900);
    expect(client.connection).toMatchObject({ status: "waiting", error: { code: "timeout" } });
    server.swallows.clear();
    await later(3_000);
    expect(client.connection.status).toBe("connected");
  });

  test("a refusal for good stops it", async () => {
    server.handshake = (socket) => {
      const data = { code: "forbidden", message: "banned" };
      socket.tell("connect_error", Object.assign(new Error("banned"), { data }));
    };
    server.socket.closed();
    await later(2_000);
    expect(client.connection).toMatchObject({ status: "stopped", error: { code: "forbidden", message: "banned" } });
    const count = states.length;
    await later(10 * 60_000);
    expect(states).toHaveLength(count);
    expect(client.user?.id).toBe("ana");
  });

  test("it can be told to try at once, and to stop", async () => {
    server.reachable = false;
    server.socket.closed();
    await later(60_000);
    server.reachable = true;
    client.reconnect();
    await soon();
    expect(client.connection.status).toBe("connected");
    client.disconnect();
    await later(10 * 60_000);
    expect(client.connection).toEqual({ status: "stopped" });
    client.reconnect();
    await soon();
    expect(client.connection.status).toBe("connected");
  });

  test("stopped before its transport is open, it is closed once it is, without a word", async () => {
    client.disconnect();
    const { socket } = server;
    const handshakes = socket.handshakes.length;
    server.latency = 20;
    client.connect();
    await later(5);
    const closed = vi.spyOn(socket, "disconnect");
    client.disconnect();
    expect(closed).not.toHaveBeenCalled();
    await soon();
    expect(closed).toHaveBeenCalledOnce();
    expect(socket.handshakes).toHaveLength(handshakes);
    client.connect();
    await later(200);
    expect(client.connection).toEqual({ status: "connected" });
  });

  test("it tries at once when the network is back, or the page is looked at, unless told when", async () => {
    client.disconnect();
    const listeners = new Map<string, () => void>();
    const target = {
      addEventListener: (event: string, listener: () => void) => listeners.set(event, listener),
      removeEventListener: (event: string) => listeners.delete(event),
    };
    vi.stubGlobal("addEventListener", target.addEventListener);
    vi.stubGlobal("removeEventListener", target.removeEventListener);
    vi.stubGlobal("document", { hidden: false, ...target });
    client.connect();
    await later(6_000);

    for (const event of ["online", "visibilitychange"]) {
      server.reachable = false;
      server.socket.closed();
      await later(60_000);
      server.reachable = true;
      listeners.get(event)!();
      await soon();
      expect(client.connection.status).toBe("connected");
    }

    server.socket.deliver("server:draining", { reconnectAfterMs: 5_000 });
    server.socket.closed();
    listeners.get("online")!();
    await soon();
    expect(client.connection.status).toBe("waiting");

    client.disconnect();
    expect(listeners.size).toBe(0);
  });
});

describe("asking", () => {
  test("waits for the connection", async () => {
    server.socket.closed();
    const asked = client.request("room:events", { roomId: "r", after: 0 });
    await later(2_000);
    expect((await asked).events).toEqual([]);
  });

  test("not for ever", async () => {
    server.reachable = false;
    server.socket.closed();
    const refused = expect(client.request("room:events", { roomId: "r", after: 0 })).rejects.toMatchObject({
      code: "network",
      retryable: true,
    });
    await later(16_000);
    await refused;
  });

  test("ends with the connection", async () => {
    server.faults.push({ event: "room:events", fault: "swallow" });
    const refused = expect(client.request("room:events", { roomId: "r", after: 0 })).rejects.toMatchObject({
      code: "network",
      retryable: true,
    });
    await soon();
    server.socket.closed();
    await refused;
  });

  test("ends when nothing is answered, and with the client", async () => {
    server.faults.push({ event: "room:events", fault: "swallow" });
    const unanswered = expect(client.request("room:events", { roomId: "r", after: 0 })).rejects.toMatchObject({
      code: "timeout",
    });
    await later(16_000);
    await unanswered;
    server.reachable = false;
    server.socket.closed();
    const waiting = expect(client.request("room:events", { roomId: "r", after: 0 })).rejects.toMatchObject({
      code: "network",
    });
    client.disconnect();
    await waiting;
  });

  test("says what the server refused", async () => {
    await expect(
      (async () => {
        const asked = client.room("absent").history();
        asked.catch(() => {});
        await soon();
        return asked;
      })(),
    ).rejects.toMatchObject({ code: "not_found", retryable: false });
  });
});
