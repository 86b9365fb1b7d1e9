// What a room promises its listeners, with each thing that it depends on broken.

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Room, RoomEvent, RoomInfo, Tertulia, TertuliaError } from "../../src/index.js";
import { ModelServer, refusal } from "./model-server.js";

let server: ModelServer;
let client: Tertulia;
let room: Room;
let seen: RoomEvent[];
let resets: RoomInfo[];
let lost: (TertuliaError | undefined)[];

const soon = () => vi.advanceTimersByTimeAsync(50);
const later = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const seqs = () => seen.map((event) => event.seq);
const upTo = (last: number, first = 1) => Array.from({ length: last - first + 1 }, (_, index) => first + index);

function write(count: number): void {
  for (let n = 0; n < count; n++) server.write("r", `m${server.room("r").events.length + 1}`);
}

async function until(holds: () => boolean): Promise<void> {
  for (let ms = 0; !holds(); ms++) {
    if (ms > 60_000) throw new Error("it never came");
    await later(1);
  }
}

/** Whatever is published from now on doesn't arrive. */
function unheard(work: () => void): void {
  const { copies } = server;
  server.copies = () => 0;
  work();
  server.copies = copies;
}

async function enter(options: { maxBehind?: number } = {}): Promise<void> {
  client = server.client(options);
  await client.login({ username: "ana", password: "" });
  room = client.room("r");
  seen = [];
  resets = [];
  lost = [];
  room.on("event", (event) => seen.push(event));
  room.on("reset", (info) => resets.push(info));
  room.on("lost", (error) => lost.push(error));
  await soon();
}

async function join(): Promise<void> {
  const joined = room.join();
  await soon();
  await joined;
}

beforeEach(async () => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  server = new ModelServer();
  server.room("r");
  await enter();
});

afterEach(() => {
  client.disconnect();
  vi.useRealTimers();
});

describe("order", () => {
  test("events come once each and in order, by name too", async () => {
    const bodies: string[] = [];
    room.on("message:new", ({ body }) => bodies.push(body));
    write(2);
    await join();
    expect(room.seq).toBe(2);
    write(3);
    await soon();
    expect(seqs()).toEqual([3, 4, 5]);
    expect(bodies).toEqual(["m3", "m4", "m5"]);
    expect(room.status).toBe("following");
  });

  test("a duplicate is dropped", async () => {
    await join();
    server.copies = () => 3;
    write(4);
    await soon();
    expect(seqs()).toEqual(upTo(4));
  });

  test("a gap is read from the log while what is ahead waits", async () => {
    await join();
    unheard(() => write(2));
    write(1);
    await later(server.latency);
    expect(seqs()).toEqual([]);
    expect(room.status).toBe("catching-up");
    write(1);
    await soon();
    expect(seqs()).toEqual(upTo(4));
    expect(server.payloadsOf("room:events")[0]).toMatchObject({ after: 0 });
    expect(room.status).toBe("following");
  });

  test("far more than is held comes in order all the same", async () => {
    await join();
    unheard(() => write(1));
    write(2_600);
    await later(1_000);
    expect(seqs()).toEqual(upTo(2_601));
  });

  test("what waited is given out without being read", async () => {
    await join();
    unheard(() => write(1));
    server.room("r").readable = 1;
    write(3);
    await soon();
    expect(seqs()).toEqual(upTo(4));
    expect(server.countOf("room:events")).toBe(1);
  });

  test("so much waits and no more", async () => {
    await join();
    unheard(() => write(1));
    server.room("r").readable = 1;
    write(1_200);
    await later(100);
    expect(seqs()).toEqual(upTo(1_001));
    server.room("r").readable = Infinity;
    await later(2_000);
    expect(seqs()).toEqual(upTo(1_201));
  });

  test("what is heard of before it can be read is asked for again", async () => {
    await join();
    unheard(() => write(1));
    server.room("r").readable = 0;
    write(1);
    await soon();
    expect(seqs()).toEqual([]);
    server.room("r").readable = Infinity;
    await later(2_000);
    expect(seqs()).toEqual([1, 2]);
    expect(resets).toEqual([]);
  });

  test("a page that is refused for now is asked for again, not before it may", async () => {
    await join();
    server.faults.push({ event: "room:events", fault: refusal("rate_limited", "slow down", 9_000) });
    unheard(() => write(1));
    write(1);
    await later(8_900);
    expect(server.countOf("room:events")).toBe(1);
    await later(200);
    expect(seqs()).toEqual([1, 2]);
  });

  test("a room whose log may not be read any more is lost", async () => {
    await join();
    server.faults.push({ event: "room:events", fault: refusal("not_found", "room") });
    unheard(() => write(1));
    write(1);
    await soon();
    expect(lost).toMatchObject([{ code: "not_found" }]);
  });

  test("a page that is lost is asked for again", async () => {
    await join();
    server.faults.push({ event: "room:events", fault: "swallow" });
    unheard(() => write(1));
    write(1);
    await later(20_000);
    expect(seqs()).toEqual([1, 2]);
  });

  test("a listener that throws takes nothing from the others", async () => {
    const complained = vi.spyOn(console, "error").mockImplementation(() => {});
    const others: number[] = [];
    room.on("event", () => {
      throw new Error("of the listener");
    });
    room.on("event", ({ seq }) => others.push(seq));
    await join();
    write(3);
    await soon();
    expect(others).toEqual([1, 2, 3]);
    expect(complained).toHaveBeenCalledTimes(3);
  });

  test("a listener that is added by another begins with the next event", async () => {
    await join();
    const added: number[] = [];
    const stop = room.on("event", () => {
      stop();
      room.on("event", ({ seq }) => added.push(seq));
    });
    write(2);
    await soon();
    expect(added).toEqual([2]);
  });

  test("a listener may close the room in the middle of a replay", async () => {
    await join();
    room.on("event", ({ seq }) => seq === 2 && room.close());
    unheard(() => write(1));
    write(4);
    await later(1_000);
    expect(seqs()).toEqual([1, 2]);
    expect(room.status).toBe("idle");
  });
});

describe("reconnecting", () => {
  test("what was missed comes before what is new", async () => {
    write(1);
    await join();
    write(1);
    await soon();
    server.socket.closed();
    expect(room.status).toBe("catching-up");
    write(3);
    await later(2_000);
    write(1);
    await soon();
    expect(seqs()).toEqual(upTo(6, 2));
    expect(server.socket.handshakes.at(-1)?.resume).toEqual({ r: { seq: 2, epoch: "e1" } });
    expect(server.countOf("room:join")).toBe(1);
    expect(room.status).toBe("following");
  });

  test("pages that hold fewer events than asked for are paged on", async () => {
    await join();
    server.socket.closed();
    server.eventsThatFit = 7;
    write(700);
    await until(() => room.status === "following");
    expect(seqs()).toEqual(upTo(700));
    expect(resets).toEqual([]);
  });

  test("what doesn't fit into the replay is paged", async () => {
    await join();
    server.socket.closed();
    write(1_700);
    await later(3_000);
    expect(seqs()).toEqual(upTo(1_700));
    expect(room.status).toBe("following");
  });

  test("a connection lost in the middle of paging goes on where it was", async () => {
    await join();
    server.socket.closed();
    write(1_700);
    await until(() => seen.length >= 500);
    server.socket.closed();
    write(10);
    await later(3_000);
    expect(seqs()).toEqual(upTo(1_710));
  });

  test("a new connection doesn't wait for what an old one put off", async () => {
    await join();
    server.faults.push({ event: "room:events", fault: refusal("unavailable", "later", 60_000) });
    unheard(() => write(1));
    write(1_700);
    await soon();
    server.socket.closed();
    await later(3_000);
    expect(seqs()).toEqual(upTo(1_701));
  });

  test("joining from a known point delivers what came after it, page by page", async () => {
    write(1_200);
    const joined = room.join({ seq: 100, epoch: "e1" });
    await later(1_000);
    await joined;
    expect(seqs()).toEqual(upTo(1_200, 101));
    expect(server.payloadsOf("room:join")[0]).toMatchObject({ since: 100, epoch: "e1" });
  });

  test("a replay that never ends is asked for again", async () => {
    await join();
    server.resumeFault = "swallow";
    server.socket.closed();
    write(3);
    await later(14_000);
    expect(seqs()).toEqual([]);
    await later(4_000);
    expect(seqs()).toEqual(upTo(3));
    expect(server.payloadsOf("room:join").at(-1)).toMatchObject({ since: 0, epoch: "e1" });
  });

  test("a room that is lost to the server is lost to the listeners", async () => {
    await join();
    server.resumeFault = refusal("not_found", "room");
    server.socket.closed();
    await later(2_000);
    expect(lost.map((error) => error?.code)).toEqual(["not_found"]);
    expect(room.status).toBe("lost");
    server.resumeFault = undefined;
    await join();
    write(1);
    await soon();
    expect(seqs()).toEqual([1]);
  });

  test("a room that can't be resumed for now is joined again", async () => {
    await join();
    server.resumeFault = refusal("unavailable");
    server.socket.closed();
    write(2);
    await later(3_000);
    expect(seqs()).toEqual([1, 2]);
    expect(lost).toEqual([]);
  });

  test("rooms that the handshake has no place for are joined", async () => {
    const rooms = upTo(230).map((n) => client.room(`many-${n}`));
    for (const { id } of rooms) server.room(id);
    const counts = new Map<string, number>();
    for (const one of rooms) one.on("event", () => counts.set(one.id, (counts.get(one.id) ?? 0) + 1));
    const joined = Promise.all(rooms.map((one) => one.join()));
    await soon();
    await joined;
    server.sent.length = 0;
    server.socket.closed();
    for (const { id } of rooms) server.write(id, "missed");
    await later(2_000);
    expect(Object.keys(server.socket.handshakes.at(-1)?.resume ?? {})).toHaveLength(200);
    expect(server.countOf("room:join")).toBe(30);
    expect([...counts.values()]).toEqual(upTo(230).map(() => 1));
  });

  test("after resync the room is joined again from the last event", async () => {
    await join();
    write(1);
    await soon();
    unheard(() => write(4));
    server.deliver(server.socket, "resync", { roomId: "r", headSeq: 5 });
    await soon();
    expect(seqs()).toEqual(upTo(5));
    expect(server.payloadsOf("room:join").at(-1)).toMatchObject({ since: 1, epoch: "e1" });
    expect(server.countOf("room:events")).toBe(0);
  });

  test("after resync a refusal for now is tried again", async () => {
    await join();
    unheard(() => write(4));
    server.faults.push({ event: "room:join", fault: refusal("unavailable", "it fell behind", 3_000) });
    server.deliver(server.socket, "resync", { roomId: "r", headSeq: 4 });
    await later(2_900);
    expect(seqs()).toEqual([]);
    await later(200);
    expect(seqs()).toEqual(upTo(4));
  });
});

describe("starting over", () => {
  test("another epoch on reconnecting resets the room, and events go on from there", async () => {
    write(9);
    await join();
    write(3);
    await soon();
    server.socket.closed();
    Object.assign(server.room("r"), { epoch: "e2", events: [] });
    write(4);
    await later(2_000);
    expect(resets).toMatchObject([{ epoch: "e2", headSeq: 4 }]);
    expect(room.seq).toBe(4);
    expect(room.epoch).toBe("e2");
    seen.length = 0;
    write(2);
    await soon();
    expect(seqs()).toEqual([5, 6]);
    server.socket.closed();
    write(1);
    await later(3_000);
    expect(seqs()).toEqual([5, 6, 7]);
    expect(resets).toHaveLength(1);
  });

  test("events of the new life that come before the new epoch is known don't mix with the old one", async () => {
    write(9);
    await join();
    server.socket.closed();
    Object.assign(server.room("r"), { epoch: "e2", events: [] });
    write(9);
    server.latency = 20;
    await until(() => server.socket.rooms.has("r"));
    // By its number it would be the next one of the old life.
    write(1);
    await later(500);
    expect(resets).toMatchObject([{ epoch: "e2", headSeq: 10 }]);
    expect(seqs()).toEqual([]);
    write(1);
    await later(500);
    expect(seqs()).toEqual([11]);
  });

  test("what waited of the old life isn't given out in the new one", async () => {
    await join();
    unheard(() => write(4));
    server.room("r").readable = 0;
    write(2);
    await soon();
    server.socket.closed();
    Object.assign(server.room("r"), { epoch: "e2", events: [], readable: Infinity });
    write(4);
    await later(2_000);
    expect(resets).toHaveLength(1);
    write(1);
    await soon();
    expect(seqs()).toEqual([5]);
  });

  test("another epoch on joining from a known point resets the room", async () => {
    write(3);
    const joined = room.join({ seq: 2, epoch: "of another life" });
    await soon();
    expect((await joined).headSeq).toBe(3);
    expect(resets).toHaveLength(1);
    expect(seen).toEqual([]);
    expect(room.seq).toBe(3);
  });

  test("a room too far ahead starts over", async () => {
    await enter({ maxBehind: 600 });
    await join();
    server.socket.closed();
    write(2_000);
    await later(2_000);
    expect(resets).toHaveLength(1);
    expect(room.seq).toBe(2_000);
    seen.length = 0;
    write(1);
    await soon();
    expect(seqs()).toEqual([2_001]);
  });

  test("a log that isn't kept so far back starts over", async () => {
    await join();
    unheard(() => write(5));
    server.room("r").trimmed = 3;
    write(1);
    await soon();
    expect(resets).toHaveLength(1);
    expect(room.seq).toBe(6);
  });

  test("a start that the connection interrupts is made on the next one", async () => {
    await join();
    unheard(() => write(5));
    server.room("r").trimmed = 3;
    server.faults.push({ event: "room:join", fault: "swallow" });
    write(1);
    await soon();
    server.socket.closed();
    await later(2_000);
    expect(resets).toHaveLength(1);
    expect(room.status).toBe("following");
  });
});

describe("entering and leaving", () => {
  test("joining waits for the connection", async () => {
    client.disconnect();
    const joined = room.join();
    await later(60_000);
    expect(server.countOf("room:join")).toBe(0);
    client.connect();
    await soon();
    expect((await joined).id).toBe("r");
  });

  test("joining is tried again when it is refused for now, and when the answer is lost", async () => {
    server.faults.push({ event: "room:join", fault: refusal("rate_limited", "slow down", 5_000) });
    server.faults.push({ event: "room:join", fault: "lost" });
    const joined = room.join();
    await later(4_900);
    expect(server.countOf("room:join")).toBe(1);
    await later(25_000);
    expect((await joined).id).toBe("r");
    expect(server.countOf("room:join")).toBe(3);
  });

  test("a refusal for good is told to who joins", async () => {
    const absent = client.room("absent");
    const joined = absent.join();
    joined.catch(() => {});
    await soon();
    await expect(joined).rejects.toMatchObject({ code: "not_found" });
    expect(absent.status).toBe("lost");
  });

  test("who is removed loses the room", async () => {
    await join();
    server.deliver(server.socket, "room:member", { roomId: "r", userId: "ben", role: null });
    await soon();
    expect(room.status).toBe("following");
    server.deliver(server.socket, "room:member", { roomId: "r", userId: "ana", role: null });
    await soon();
    expect(lost).toEqual([undefined]);
    expect(room.status).toBe("lost");
    server.socket.closed();
    await later(2_000);
    expect(server.socket.handshakes.at(-1)?.resume).toBeUndefined();
  });

  test("leaving is told once, whichever comes first", async () => {
    await join();
    const left = room.leave();
    server.deliver(server.socket, "room:member", { roomId: "r", userId: "ana", role: null });
    await soon();
    await left;
    expect(lost).toEqual([undefined]);
  });

  test("a room that is new to this client is joined, not resumed", async () => {
    client.disconnect();
    void room.join({ seq: 0, epoch: "e1" });
    client.connect();
    await soon();
    expect(server.socket.handshakes.at(-1)?.resume).toBeUndefined();
    expect(server.countOf("room:join")).toBe(1);
    expect(room.status).toBe("following");
  });

  test("a room that is closed while it is joined stays closed", async () => {
    room.join().catch(() => {});
    room.close();
    await soon();
    write(2);
    await soon();
    expect(seen).toEqual([]);
    expect(room.status).toBe("idle");
  });

  test("closing rejects who still waits", async () => {
    client.disconnect();
    const joined = room.join();
    joined.catch(() => {});
    room.close();
    await expect(joined).rejects.toMatchObject({ code: "closed" });
  });

  test("a room that is closed isn't followed any more", async () => {
    await join();
    room.close();
    write(2);
    await soon();
    expect(seen).toEqual([]);
  });
});

describe("info", () => {
  test("counts what others write", async () => {
    await join();
    write(2);
    server.write("r", "mine", "ana");
    await soon();
    expect(room.info).toMatchObject({ headSeq: 3, unread: 2 });
  });

  test("counts what was missed once", async () => {
    await join();
    unheard(() => write(3));
    server.deliver(server.socket, "resync", { roomId: "r", headSeq: 3 });
    await soon();
    expect(seqs()).toEqual([1, 2, 3]);
    expect(room.info).toMatchObject({ headSeq: 3, unread: 3 });
    server.socket.closed();
    write(2);
    await later(2_000);
    expect(room.info).toMatchObject({ headSeq: 5, unread: 5 });
  });

  test("an event that this package doesn't know harms nothing", async () => {
    await join();
    for (const payload of [undefined, null, 7, "text", { roomId: "r" }])
      server.socket.deliver("room:futuristic", payload);
    write(1);
    await soon();
    expect(seqs()).toEqual([1]);
  });

  test("follows what the server says of the room", async () => {
    await join();
    server.deliver(server.socket, "room:updated", { room: { ...room.info!, name: "new name", role: undefined } });
    server.deliver(server.socket, "room:member", { roomId: "r", userId: "ana", role: "owner" });
    server.deliver(server.socket, "read:changed", { roomId: "r", userId: "ana", seq: 0 });
    await soon();
    expect(room.info).toMatchObject({ name: "new name", role: "owner", readSeq: 0 });
  });
});

describe("typing", () => {
  test("is told at most every 3 s, and taken back after a silence", async () => {
    await join();
    for (let n = 0; n < 40; n++) {
      room.typing();
      await later(100);
    }
    expect(server.payloadsOf("typing:set").map(({ on }) => on)).toEqual([true, true]);
    await later(6_000);
    expect(server.payloadsOf("typing:set").map(({ on }) => on)).toEqual([true, true, false]);
    room.typing(false);
    await soon();
    expect(server.countOf("typing:set")).toBe(3);
  });

  test("ends with the message", async () => {
    await join();
    room.typing();
    room.send({ body: "done" });
    await later(1_000);
    expect(server.payloadsOf("typing:set").map(({ on }) => on)).toEqual([true, false]);
  });
});

describe("reading", () => {
  test("is told after a pause, the last only, and never goes back", async () => {
    await join();
    for (const seq of [1, 2, 3, 2]) room.read(seq);
    await later(1_000);
    room.read(1);
    await later(1_000);
    expect(server.payloadsOf("read:set")).toEqual([{ roomId: "r", seq: 3 }]);
    expect(room.info).toMatchObject({ readSeq: 3, unread: 0 });
  });

  test("begins anew with another life of the room", async () => {
    write(9);
    await join();
    room.read(9);
    await later(1_000);
    server.socket.closed();
    Object.assign(server.room("r"), { epoch: "e2", events: [] });
    write(4);
    await later(2_000);
    room.read(4);
    await later(1_000);
    expect(server.payloadsOf("read:set").map(({ seq }) => seq)).toEqual([9, 4]);
  });

  test("is told again after a reconnect, and after a refusal for now", async () => {
    await join();
    server.faults.push({ event: "read:set", fault: "swallow" });
    server.faults.push({ event: "read:set", fault: refusal("unavailable") });
    room.read(7);
    await later(500);
    server.socket.closed();
    await later(5_000);
    expect(server.payloadsOf("read:set").map(({ seq }) => seq)).toEqual([7, 7, 7]);
    server.socket.closed();
    await later(5_000);
    expect(server.countOf("read:set")).toBe(3);
  });
});
